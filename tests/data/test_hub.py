"""Networks of huggingface.co: fetched with leave, once, at one commit, without pickle and code. A stand-in plays the hub."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import deepen
from deepen.config import parse
from deepen.data import hub
from deepen.errors import DeepenError
from deepen.models.bert import BLOCK
from deepen.nn.bert import EMBEDDINGS, Bert, Sizes
from deepen.training.finished import config_of

library = pytest.importorskip("huggingface_hub")
errors = pytest.importorskip("huggingface_hub.errors")
OLD, NEW = "a" * 40, "b" * 40
PIECES = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "was", "good", "bad", "##ly")
CONFIG = {
    "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
    "max_position_embeddings": 16,
}  # fmt: skip


class Hub:
    """What the library's two functions give: one model at two commits. `asked`: each call; `down`: an error instead."""

    def __init__(self) -> None:
        self.files = dict.fromkeys(("config.json", "model.safetensors", "vocab.txt"), b"{}")
        self.files |= {"pytorch_model.bin": b"pickle", "modeling.py": b"code", "onnx/model.onnx": b"", "README.md": b""}
        self.asked: list[Any] = []
        self.down: Exception | None = None
        self.newest = NEW
        self.cut = 0  # bytes that are lost on the way

    def model_info(self, api: Any, name: str, revision: str | None = None, **options: Any) -> Any:
        self.asked.append(("about", name, revision))
        if self.down is not None:
            raise self.down
        files = [SimpleNamespace(rfilename=name, size=len(data)) for name, data in self.files.items()]
        return SimpleNamespace(sha={"v1": OLD, None: self.newest}.get(revision, revision), siblings=files)

    def snapshot_download(self, name: str, revision: str, allow_patterns: list[str], local_dir: Path) -> str:
        self.asked.append(("fetch", name, revision, tuple(allow_patterns)))
        for file in allow_patterns:
            (Path(local_dir) / file).write_bytes(self.files[file][self.cut :])
        (Path(local_dir) / ".cache").mkdir()
        (Path(local_dir) / ".cache" / "note").write_text("of that library")
        return str(local_dir)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """A hub that answers; copies go into this test's own directory."""
    made = Hub()
    monkeypatch.setenv("DEEPEN_CHECKPOINTS", str(tmp_path / "copies"))
    monkeypatch.setattr(library.HfApi, "model_info", lambda *given, **options: made.model_info(*given, **options))
    monkeypatch.setattr(library, "snapshot_download", made.snapshot_download)
    return made


def config(**model: Any) -> Any:
    return parse({"data": {"name": "digits"}, "model": {"name": "huggingface", "checkpoint": "org/net", **model}})


def said(problem: type[Exception], **fields: Any) -> Exception:
    """One of that library's errors, as it would be raised."""
    made = problem.__new__(problem)
    made.args = ("503 somewhere",)
    vars(made).update(fields)
    return made


def test_it_is_fetched_once_and_the_commit_is_written_down(there):
    wanted = ("config.json", "model.safetensors", "vocab.txt")
    found = hub.pinned(config(download=True))
    assert found.model["revision"] == NEW
    assert there.asked == [("about", "org/net", None), ("fetch", "org/net", NEW, wanted)]
    copy = hub.directory() / "org--net" / NEW
    assert sorted(path.name for path in copy.iterdir()) == sorted(wanted), "no pickle, no code, no notes"
    there.down, there.newest = ConnectionError("cable"), OLD
    assert hub.pinned(config(download=True)).model["revision"] == NEW
    assert hub.pinned(config(download=True, revision=NEW[:7])).model["revision"] == NEW
    assert hub.folder("org/net", True, NEW, "x") == str(copy)
    assert len(there.asked) == 2
    with pytest.raises(DeepenError, match="cable"):
        hub.pinned(config(download=True, revision="v1"))
    there.down = None
    assert hub.pinned(config(download=True, revision="v1")).model["revision"] == OLD, "a revision that is asked for"
    assert hub.folder("org/net", True, NEW, "x") == str(copy), "the run's commit, not the one that came last"


def test_nothing_is_fetched_without_leave(there, tmp_path):
    for given in ({}, {"download": False}):
        assert hub.pinned(config(**given)) == config(**given)
    with pytest.raises(
        DeepenError, match=r"no config.json in org/net. .*without leave: model.download=true .*hf download"
    ):
        hub.folder("org/net", False, None, "a folder")
    with pytest.raises(
        DeepenError, match=f"no copy of org/net at {OLD}.*[Bb]ring it: hf download org/net --revision {OLD} --local-dir"
    ):
        hub.folder("org/net", True, OLD, "a folder")
    with pytest.raises(DeepenError, match="Nothing is fetched: copy the folder here first"):
        hub.folder(str(tmp_path / "absent"), False, None, "a folder")
    (tmp_path / "org" / "net").mkdir(parents=True)
    assert hub.pinned(config(download=True)).model == config(download=True).model, "a folder of that name is meant"
    assert not there.asked


@pytest.mark.parametrize(
    ("files", "match"),
    [(("config.json", "pytorch_model.bin"), r"in pytorch_model.bin alone\. Expected .*safetensors.*save_pretrained"),
     (("config.json", "model.safetensors.index.json"), "its weights are in several files"),
     (("README.md",), "no config.json among its 1 file"), (("config.json",), "no model.safetensors among its 1 file")],
)  # fmt: skip
def test_weights_that_cannot_be_read_safely_are_refused(there, files, match):
    there.files = dict.fromkeys(files, b"")
    with pytest.raises(DeepenError, match=rf"huggingface.co/org/net: .*{match}"):
        hub.pinned(config(download=True))
    assert len(there.asked) == 1
    assert not hub.directory().exists()


@pytest.mark.parametrize(
    ("down", "match"),
    [(said(errors.RepositoryNotFoundError), "no such model. Check the name"),
     (said(errors.GatedRepoError), "its owner gives it on request. .*hf auth login"),
     (said(errors.RevisionNotFoundError), "no revision v9. Leave out model.revision"),
     (said(errors.HfHubHTTPError), r"not reached \(503 somewhere\). .*--local-dir FOLDER"),
     (errors.OfflineModeIsEnabled("offline mode"), r"not reached \(offline mode\)"),
     (OSError(-3, "Name or service not known"), "not reached .*Name or service not known")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_goes_wrong_on_the_way_is_told(there, down, match):
    there.down = down
    with pytest.raises(DeepenError, match=rf"huggingface.co/org/net: {match}"):
        hub.pinned(config(download=True, revision="v9"))


def test_what_comes_torn_or_bears_no_commit_is_not_kept(there):
    there.cut = 1
    with pytest.raises(DeepenError, match="what came is not what is there"):
        hub.pinned(config(download=True))
    there.newest = "../../elsewhere"
    with pytest.raises(DeepenError, match="its commit is '../../elsewhere'"):
        hub.pinned(config(download=True))
    assert not list(hub.directory().glob("*/*"))


@pytest.mark.parametrize(
    ("name", "match"), [("", "no checkpoint to fetch"), ("../net", "'../net'"), ("a/b/c", "'a/b/c'")]
)
def test_only_names_are_asked_for(there, name, match):
    with pytest.raises(DeepenError, match=match):
        hub.pinned(config(download=True, checkpoint=name))
    assert not there.asked


def test_without_the_library_the_way_to_install_it_is_told(there, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DeepenError, match=r"huggingface_hub: not installed.*to fetch org/net.*deepen\[huggingface\]"):
        hub.pinned(config(download=True))


def test_parts_of_a_network_are_fetched_too(there):
    inner = {"name": "timm", "checkpoint": "org/net", "download": True}
    made = parse({"data": {"name": "digits"}, "model": {"name": "detector", "backbone": inner}})
    assert hub.pinned(made).model["backbone"] == {**inner, "revision": NEW}


def test_a_network_of_the_hub_is_trained_and_used_without_it(there, tmp_path):
    """Vocabulary and weights are of one commit; the run is used, and trained again, with the hub out of reach."""
    torch.manual_seed(0)
    state = Bert(Sizes(16, 8, 1, 2, 8, 16, 8), 0.0, 0.0).state_dict()
    begins = {**EMBEDDINGS, "pool": "pooler.dense"} | {
        f"blocks.0.{k}": f"encoder.layer.0.{v}" for k, v in BLOCK.items()
    }
    named = {}
    for name, tensor in state.items():
        own = max((start for start in begins if name.startswith(start)), key=len)
        named[begins[own] + name.removeprefix(own)] = tensor
    save_file(named, tmp_path / "w")
    there.files |= {"model.safetensors": (tmp_path / "w").read_bytes(), "config.json": json.dumps(CONFIG).encode()}
    there.files["vocab.txt"] = "\n".join(PIECES).encode() + b"\n"
    lines = [f"{'ab'[i % 2]},the film was {('good', 'bad')[i % 2]} {i % 9}" for i in range(60)]
    (tmp_path / "t.csv").write_text("label,text\n" + "\n".join(lines) + "\n")
    spec = {"name": "bert", "checkpoint": "org/net", "download": True}
    run = deepen.train(
        "t.csv", target="label", text="text", vocabulary="org/net", longest=16, epochs=1, threads=1, model=spec
    )
    there.down = ConnectionError("cable")
    made = config_of(run)
    assert made.model["revision"] == NEW
    assert made.data["vocabulary"] == str(hub.directory() / "org--net" / NEW)
    assert deepen.load(str(run.path))(["the film was good"])[0]["label"] in "ab"
    again = deepen.train(str(run.path / "config.yaml"), epochs=1, output=str(tmp_path / "again"))
    assert (again.path / "model.safetensors").read_bytes() == (run.path / "model.safetensors").read_bytes()
    assert len(there.asked) == 2
