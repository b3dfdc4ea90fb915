"""deepen verify: what it says of good runs, and of each kind of bad one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import deepen
from deepen.errors import DeepenError, Refused
from deepen.store.run import Run

SMALL = {"threads": 1, "epochs": 2, "model": "mlp", "hidden": [8]}

RESTLESS = """
import random
import torch
from torch import nn


class Restless(nn.Module):
    def __init__(self, signature):
        super().__init__()
        self.last = nn.Linear(sum(t.shape[-1] for t in signature.tensors), signature.answer.width)

    def forward(self, *columns):
        x = torch.cat([c.float() for c in columns], 1)
        return self.last(x * (1 + {noise}))
"""


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    """A run on a table that lies in a file of its own."""
    place = tmp_path_factory.mktemp("table")
    rows = [f"{i % 7},{i % 5},{'high' if i % 7 > 3 else 'low'}" for i in range(140)]
    (place / "data.csv").write_text("\n".join(["a,b,level", *rows]) + "\n")
    return deepen.train(str(place / "data.csv"), target="level", output=str(place / "runs"), **SMALL)


def test_a_good_run(table_run, capsys):
    before = set(table_run.path.rglob("*"))
    result = deepen.verify(str(table_run.path), steps=6)
    assert result["resume"] == {"steps": 6, "killed_at": 3, "identical": True}
    shown = capsys.readouterr().out
    assert (
        "model.safetensors, config.yaml, signature.json, split.json, quarantine.json, reference.json, diagnosis.json, metrics.jsonl: as"
        in shown
    )
    assert set(table_run.path.rglob("*")) - before <= {table_run.path / ".lock"}


def test_a_copied_run(table_run, tmp_path):
    shutil.copytree(table_run.path, tmp_path / "copy")
    assert deepen.verify(str(tmp_path / "copy"), steps=2)["resume"]["identical"]


def test_a_bundle(digits_bundle):
    result = deepen.verify(str(digits_bundle))
    assert result["golden"] == 16
    assert result["difference"] <= 1e-3


def test_data_that_moved(table_run, tmp_path):
    data = table_run.path.parents[1] / "data.csv"
    data.rename(tmp_path / "elsewhere.csv")
    try:
        with pytest.raises(DeepenError, match=r"data.csv"):
            deepen.verify(str(table_run.path))
    finally:
        (tmp_path / "elsewhere.csv").rename(data)


def test_data_that_changed(table_run):
    data = table_run.path.parents[1] / "data.csv"
    before = data.read_text()
    data.write_text(before.replace("0,0,low", "0,1,low", 1))
    try:
        with pytest.raises(DeepenError, match="the data has changed since it began"):
            deepen.verify(str(table_run.path))
    finally:
        data.write_text(before)


def test_a_run_that_did_not_finish(tmp_path):
    run = Run.create(tmp_path, "data: {name: blobs}\n", kind="train")
    with pytest.raises(DeepenError, match=rf"has no weights \(state: new\).*deepen train --resume {run.path}"):
        deepen.verify(str(run.path))


@pytest.mark.parametrize(
    "name", ["model.safetensors", "metrics.jsonl", "split.json", "signature.json", "quarantine.json", "run.json"]
)
def test_damaged_files(table_run, tmp_path, name):
    path = tmp_path / "copy"
    shutil.copytree(table_run.path, path)
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(DeepenError):
        deepen.verify(str(path))


@pytest.mark.parametrize("verb", [deepen.verify, deepen.export, deepen.evaluate, deepen.load])
@pytest.mark.parametrize("left", ["", "first line", None])
def test_metrics_that_are_cut_are_told(table_run, tmp_path, left, verb):
    path = tmp_path / "copy"
    shutil.copytree(table_run.path, path)
    metrics = path / "metrics.jsonl"
    first = metrics.read_bytes().splitlines(keepends=True)[0]
    metrics.write_bytes(first if left else b"")
    if left is None:
        metrics.unlink()
    said = f"{len(first)} bytes of whole lines" if left else "empty, or gone"
    with pytest.raises(DeepenError, match=rf"metrics.jsonl: {said}. Expected \d+ bytes. Restore the file."):
        verb(str(path))


def edited(run: Run, place: Path, old: str, new: str) -> str:
    """A copy of a run whose config.yaml was edited."""
    shutil.copytree(run.path, place)
    text = (place / "config.yaml").read_text()
    assert old in text
    (place / "config.yaml").write_text(text.replace(old, new))
    return str(place)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  lr: 0.001\n", "  lr: 0.01\n", "train.lr is 0.01 (was 0.001)"),
        ("  target: level\n", "  target: level\n  drop: [a]\n", "data.drop is ['a'] (was None)"),
        ("  seed: 0\n", "  seed: 1\n", "split.seed is 1 (was 0), train.seed is 1 (was 0)"),
    ],
)
def test_an_edited_configuration_is_told_by_name(table_run, tmp_path, old, new, said):
    path = edited(table_run, tmp_path / "copy", old, new)
    way = f"train the edited one as a new run: deepen train {path}/config.yaml"
    for verb in (deepen.verify, deepen.export, deepen.evaluate, deepen.load):
        with pytest.raises(DeepenError) as caught:
            verb(path)
        assert said in str(caught.value)
        assert way in str(caught.value)


def test_a_run_does_not_go_on_with_an_edited_configuration(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "save_checkpoint", interrupt)
        deepen.train("blobs", output="runs", **SMALL)
    run = Run.open(next(Path("runs").glob("2*")))
    path = edited(run, tmp_path / "copy", "epochs: 2", "epochs: 3")
    with pytest.raises(DeepenError, match=r"config.yaml: train.epochs is 3 \(was 2\)"):
        deepen.train(resume=path)


def test_a_remark_and_data_that_moved_with_their_name_are_no_edit(table_run, tmp_path):
    data = table_run.path.parents[1] / "data.csv"
    shutil.copy(data, tmp_path / "data.csv")
    path = edited(table_run, tmp_path / "copy", str(data), f"{tmp_path}/data.csv  # on the new disk")
    assert deepen.verify(path, steps=2)["resume"]["identical"]


def restless(place: Path, monkeypatch: pytest.MonkeyPatch, noise: str) -> Run:
    name = f"restless_{place.name}".replace("-", "_")
    (place / f"{name}.py").write_text(RESTLESS.replace("{noise}", noise))
    monkeypatch.syspath_prepend(str(place))
    settings = {key: value for key, value in SMALL.items() if key not in {"model", "hidden"}}
    return deepen.train("blobs", model=f"{name}:Restless", **settings)


def test_a_model_with_randomness_of_its_own_is_found(tmp_path, monkeypatch):
    run = restless(tmp_path, monkeypatch, "random.random()")
    with pytest.raises(Refused, match=r"after a kill at step 3 2 of \d+ tensors differ.*random numbers of its own"):
        deepen.verify(str(run.path), steps=6)


def test_a_training_that_fails_on_its_own_is_told(tmp_path, monkeypatch):
    run = restless(tmp_path, monkeypatch, "0.0")
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    with pytest.raises(Refused, match="ended with code 1: it said nothing"):
        deepen.verify(str(run.path), steps=6)


def test_too_few_steps(table_run):
    with pytest.raises(DeepenError, match="got 1. Expected 2 to"):
        deepen.verify(str(table_run.path), steps=1)
