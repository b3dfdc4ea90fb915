"""A user's own parts in a file beside the configuration: the example goes the whole way, mistakes in it are told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen import config as configs
from deepen import registry
from deepen.cli import main
from deepen.errors import DeepenError

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_the_example_trains_exports_and_answers_without_its_file(tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for ending in ("py", "yaml"):
        shutil.copy(EXAMPLES / f"own_parts.{ending}", folder)
    assert len((folder / "own_parts.py").read_text().splitlines()) <= 100
    assert main(["train", "mine/own_parts.yaml", "items=300", "epochs=15", "threads=1"]) == 0
    (run,) = Path("runs").glob("2*")
    assert "finding" not in capsys.readouterr().out
    assert main(["export", str(run)]) == 0
    bundle = run / "exports" / "onnx"
    expected = deepen.load(str(run))([np.array([0.3, 0.1], np.float32)])
    shutil.rmtree(folder)
    code = f"import deepen, sys; print(deepen.load({str(bundle)!r})([[0.3, 0.1]])[0]['label']); assert 'torch' not in sys.modules"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == expected[0]["label"]


def test_each_part_is_the_users_own(tmp_path):
    shutil.copy(EXAMPLES / "own_parts.py", tmp_path)
    shutil.copy(EXAMPLES / "own_parts.yaml", tmp_path)
    config = configs.from_target("own_parts.yaml", {"activate": "gelu"})
    place = str(tmp_path / "own_parts.py")
    assert config.data["name"] == f"{place}:Spirals"
    assert config.model == {"name": f"{place}:Net", "width": 32, "activate": "gelu"}
    assert config.train.optimizer == {"name": f"{place}:SignMomentum", "memory": 0.9}
    assert config.method["own"] == {"name": f"{place}:Hinge", "margin": 1.0}
    loss = registry.build("losses", config.method["own"])
    assert type(loss).__name__ == "Hinge"
    assert type(loss) is registry.load("losses", f"{place}:Hinge"), "the file is imported once"


def test_a_file_is_looked_for_beside_the_configuration_and_from_the_command_line_here(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "c.yaml").write_text('data: {name: blobs}\nmodel: {name: "net.py:Net"}\n')
    (tmp_path / "there" / "net.py").write_text("class Net:\n    def __init__(self, signature, width: int = 3): ...\n")
    shutil.copy(tmp_path / "there" / "net.py", tmp_path / "other.py")
    assert configs.from_target("there/c.yaml", {}).model["name"] == str(tmp_path / "there" / "net.py") + ":Net"
    (tmp_path / "data.py").write_text("class Data:\n    def read(self): ...\n")
    assert configs.from_target("data.py:Data", {}).data["name"] == str(tmp_path / "data.py") + ":Data"
    found = configs.from_target("there/c.yaml", {"model": "other.py:Net"})
    assert found.model["name"] == str(tmp_path / "other.py") + ":Net"


GOOD = "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, signature, width: int = 3):\n        super().__init__()\n"
OPEN = "class Net:\n    def __init__(self, signature, **more): self.more = more\nclass Bare: pass\n"


@pytest.mark.parametrize(
    ("text", "settings", "told"),
    [
        (None, {}, r"net.py:Net: No such file"),
        ("class Net\n", {}, r"net.py:Net: line 1: expected ':'"),
        ("class Other: pass\n", {}, r"net.py:Net: no class Net in it"),
        (
            "import nowhere_to_be_found\n" + OPEN,
            {},
            r"net.py:Net: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        (GOOD, {"widht": 5}, r"model.widht: unknown name 'widht'. Did you mean 'width'\?"),
        (GOOD, {"width": "wide"}, r"model.width: got 'wide'. Expected a whole number"),
        ("class Net:\n    def __init__(self, width): ...\n", {}, r"model.width: missing"),
        (b"\xff\xfe", {}, r"net.py:Net: not text in UTF-8"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, text, settings, told):
    if text is not None:
        (tmp_path / "net.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DeepenError, match=told):
        spec = registry.check(
            "models", {"name": str(tmp_path / "net.py:Net"), **settings}, "model", given=("signature",)
        )
        registry.build("models", spec, signature=None)


def test_a_class_that_is_open_to_more_is_checked_when_it_is_built(tmp_path):
    (tmp_path / "net.py").write_text(OPEN)
    spec = {"name": str(tmp_path / "net.py:Net"), "anything": 1}
    assert registry.check("models", spec, "model") == spec
    assert registry.build("models", spec, signature=None).more == {"anything": 1}
    bare = {"name": str(tmp_path / "net.py:Bare"), "anything": 1}
    with pytest.raises(DeepenError, match=r"net.py:Bare: got an unexpected keyword argument 'anything'"):
        registry.build("models", bare)


def test_no_bundle_or_dataset_names_a_file():
    """What comes from elsewhere is taken from this package by name."""
    from deepen.signature import Signature

    text = '{"format": 1, "inputs": [{"name": "x", "kind": "evil.py:Array", "shape": [1]}], "outputs": []}'
    with pytest.raises(DeepenError, match="kind 'evil.py:Array'"):
        Signature.from_json(text)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": "{}:Bare"}, "model .*own.py:Bare: a Bare. Expected a torch.nn.Module"),
        ({"model": "{}:Lazy"}, "layers without a size"),
        ({"method": "{}:Bare"}, "it has no learns. Expected a subclass of deepen.training.method.Method"),
        ({"optimizer": "{}:Bare"}, "it has no wants. Expected a subclass of deepen.optimizers.Rule"),
        ({"schedule": "{}:Bare"}, "it has no __call__"),
        (
            {"method": {"name": "supervised", "own": "mse"}},
            "method.own: got 'mse'. Expected a loss of your own: file.py:Class",
        ),
        ({"init": "{}:Bare"}, "it has no first. Expected a subclass of deepen.initialisers.Initialiser"),
        (
            {"method": {"name": "supervised", "own": "{}:Bare"}},
            r"it has no __call__. Expected __call__\(self, raw, target\)",
        ),
        ({"model": {"name": "mlp", "activation": "{}:Bare"}}, "it has no forward. Expected a torch.nn.Module"),
        ({"model": {"name": "mlp", "activation": "{}:Asks"}}, "Asks: missing a required argument: 'slope'"),
        ({"augment": ["{}:Bare"]}, "is no augmentation. Expected a subclass of Augmentation"),
    ],
)
def test_a_class_of_another_family_is_refused(tmp_path, settings, told):
    lines = [
        "from torch import nn", "class Bare:", "    def __init__(self): pass", "class Lazy(nn.Module):",
        "    def __init__(self):", "        super().__init__()", "        self.last = nn.LazyLinear(2)",
        "class Asks(nn.Module):", "    def __init__(self, slope): super().__init__()",
    ]  # fmt: skip
    (tmp_path / "own.py").write_text("\n".join(lines))
    named = json.loads(json.dumps(settings).replace("{}", str(tmp_path / "own.py")))
    with pytest.raises(DeepenError, match=told):
        deepen.train("blobs", output=str(tmp_path), epochs=1, threads=1, **named)


FAULTY = """
from torch import nn
from deepen.methods.supervised import Supervised
from deepen.schema import Spec
class Nothing:
    def read(self): return None
class Uneven:
    def read(self):
        from deepen.data.items import Items
        return Items(["a", "b"], {"p": [1.0]}, {"p": ("array", {})}, ["x", "y"], "classes")
class Each:
    def __call__(self, raw, target): return raw.sum(1)
class Cut:
    def __call__(self, raw, target): return raw.detach().mean()
class Few:
    def __call__(self, raw): return raw.mean()
class Method(Supervised):
    def loss(self, batch): return batch
class Calls(Supervised):
    def __init__(self, model, output, own: Spec | None = None): super().__init__(model, output, own=own)
    def loss(self, batch, player): return super().loss(batch, player)
class Layer(nn.Module):
    def forward(self, x): return x @ x
class Net(nn.Module):
    def __init__(self, signature):
        super().__init__()
        self.layer = Layer()
        self.last = nn.Linear(2, 3)
    def forward(self, x): return self.last(self.layer(x))
class Silent(Net):
    def forward(self, x): self.last(x[:, :2])
class Broken(nn.Module):
    def __init__(self, signature): self.width = signature.nothing
class Schedule:
    def __call__(self, progress, figures): return "fast"
"""


def line_of(text: str) -> int:
    return next(i for i, line in enumerate(FAULTY.splitlines(), 1) if text in line)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["data.name={}:Nothing"], ["own.py:Nothing: read() gives NoneType. Expected deepen.data.items.Items"]),
        (["data.name={}:Uneven"], ["items p: 1 for 2 ids. Expected one per id"]),
        (["method.own={}:Each"], ["its loss is a tensor of shape (16,). Expected one number"]),
        (["method.own={}:Cut"], ["its loss is detached from the weights. Expected one number"]),
        (["method.own={}:Few"], [f"own.py:{line_of('(self, raw):')}: TypeError: Few.__call__() takes 2 positional"]),
        (["method={}:Calls", "method.own={}:Few"], [f"own.py:{line_of('(self, raw):')}: TypeError: Few.__call__()"]),
        (["method={}:Method"], [f"own.py:{line_of('loss(self, batch)')}: TypeError: Method.loss() takes 2"]),
        (["model={}:Net"], [f"own.py:{line_of('x @ x')}: RuntimeError: mat1 and mat2", "Mend Layer.forward."]),
        (["model={}:Silent"], ["model Silent: answers of type NoneType to 16 items. Expected (16, 3)"]),
        (["model={}:Broken"], [f"own.py:{line_of('nothing')}: AttributeError: ", "Mend Broken.__init__."]),
        (["schedule={}:Schedule"], ["schedule Schedule: it gives a text. Expected a share of the rate, a number"]),
    ],
)
def test_what_a_users_own_code_does_wrong_is_told_by_its_line(tmp_path, capsys, settings, told):
    (tmp_path / "own.py").write_text(FAULTY)
    (tmp_path / "c.yaml").write_text("data: {name: blobs}\ntrain: {epochs: 1, threads: 1}\n")
    code = main(["train", "c.yaml", *(setting.format("own.py") for setting in settings)])
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("error: ")
    assert all(text in said for text in told), said
    assert all(json.loads(file.read_text())["state"] == "failed" for file in Path("runs").glob("*/run.json"))
