"""A run that begins from another: its weights, its split for the items it knew, the items labelled since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepen
from deepen.cli import main
from deepen.errors import DeepenError
from deepen.preprocess.image import png
from deepen.sources.digits import Digits
from deepen.store.run import Run
from deepen.training.assemble import build
from deepen.training.finished import config_of, data_of, load_model

SETTINGS: dict[str, Any] = {"threads": 1, "epochs": 2, "model": "mlp", "hidden": [16], "checkpoint_seconds": 0}


def folder(place: Path, items: range, names: tuple[str, ...] = ()) -> Path:
    """The digits `items` as a folder of pictures."""
    digits = Digits().read()
    for row in items:
        name = str(digits.target[row])
        if not names or name in names:
            (place / name).mkdir(parents=True, exist_ok=True)
            (place / name / f"{row}.png").write_bytes(png(digits.inputs["image"][row]))
    return place


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Run:
    place = tmp_path_factory.mktemp("parent")
    return deepen.train(str(folder(place / "photos", range(300))), output=str(place / "runs"), **SETTINGS)


def photos(run: Run) -> Path:
    return run.path.parents[1] / "photos"


@pytest.fixture
def grown(parent, tmp_path) -> Path:
    """The parent's data with 100 items more, one of them a copy of an item the parent was tested on."""
    place = folder(tmp_path / "grown", range(400))
    test = parent.read_json("split.json")["test"][0]
    (place / test).with_name("copy.png").write_bytes((place / test).read_bytes())
    return place


def test_old_items_keep_their_part_and_new_ones_are_shared_out(parent, grown, tmp_path):
    run = deepen.train(str(grown), output=str(tmp_path / "runs"), parent=str(parent.path), test=0.3)
    old, new = parent.read_json("split.json"), run.read_json("split.json")
    assert run.info["parent"] == parent.id
    for part in ("train", "val", "test"):
        assert set(old[part]) <= set(new[part])
    fresh = {part: set(new[part]) - set(old[part]) for part in new}
    copy = next(name for name in fresh["test"] if name.endswith("copy.png"))
    fresh["test"].remove(copy)
    assert {part: len(names) for part, names in fresh.items()} == {"train": 55, "val": 15, "test": 30, "unlabelled": 0}
    assert run.info["config"]["model"] == parent.info["config"]["model"]
    assert run.info["config"]["train"]["epochs"] == 2
    assert data_of(run).report()["train"] == len(new["train"])


def test_what_the_parent_did_not_know_is_drawn_as_often_as_what_it_did(parent, grown, tmp_path):
    settings = {"output": str(tmp_path / "runs"), "parent": str(parent.path), "epochs": 1}
    run = deepen.train(str(grown), new_share=0.5, **settings)
    data = build(config_of(run), data_of(run), None, parent=parent).data
    known = set(parent.read_json("split.json")["train"])
    train = data.parts["train"]
    old = torch.tensor([data.ids[int(row)] in known for row in train])
    drawn = data.weights[train]
    assert 0 < int((~old).sum()) < int(old.sum()) / 2
    assert float(drawn[~old].sum()) == pytest.approx(float(drawn[old].sum()))
    without = deepen.train(str(grown), **settings)  # what was learnt was with other draws
    first, second = (load_model(some).state_dict() for some in (run, without))
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_it_begins_with_the_weights_of_its_parent(parent, grown, tmp_path, capsys):
    """With a learning rate of next to nothing it is its parent."""
    still = {"train.lr": 1e-30, "train.weight_decay": 0.0, "train.warmup": 0.0}
    run = deepen.train(str(grown), output=str(tmp_path / "runs"), parent=str(parent.path), **still)
    before, after = load_model(parent).state_dict(), load_model(run).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)  # the normalisation too
    assert f"parent   {parent.path}: {len(before)} of {len(before)} tensors taken over" in capsys.readouterr().out


def test_what_does_not_fit_begins_anew(parent, tmp_path, capsys):
    """A new class makes the last layer larger; another width leaves nothing but the normalisation."""
    place = folder(tmp_path / "photos", range(300))
    (place / "circle").mkdir()
    for i in range(12):
        picture = np.full((8, 8, 1), 20 * i, np.uint8)
        picture[2:6, 2:6] = 255 - 20 * i
        (place / "circle" / f"{i}.png").write_bytes(png(picture))
    run = deepen.train(str(place), output=str(tmp_path / "runs"), parent=str(parent.path))
    before, after = load_model(parent).state_dict(), load_model(run).state_dict()
    fits = sum(before[name].shape == after[name].shape for name in before)
    assert 0 < fits == len(before) - 2  # all but the last layer's weight and bias
    assert f"{fits} of {len(before)} tensors taken over" in capsys.readouterr().out
    assert "circle" in data_of(run).signature.answer.classes
    deepen.train(str(photos(parent)), output=str(tmp_path / "runs"), parent=str(parent.path), hidden=[8])
    assert f"3 of {len(before)} tensors taken over" in capsys.readouterr().out  # mean, scale, the last layer's bias


def test_few_new_items_all_train(parent, tmp_path):
    place = folder(tmp_path / "photos", range(303))
    run = deepen.train(str(place), output=str(tmp_path / "runs"), parent=str(parent.path))
    assert len(run.read_json("split.json")["train"]) == len(parent.read_json("split.json")["train"]) + 3


def test_other_data_is_told(parent, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DeepenError, match=r"data of table. Expected images, as run"):
        deepen.train(str(tmp_path / "t.csv"), parent=str(parent.path))
    assert main(["train", "--resume", str(parent.path), f"parent={parent.path}"]) == 2


def test_stopped_and_resumed_it_is_as_never_stopped(parent, grown, tmp_path, monkeypatch):
    """At every point where it might have been killed: before it had weights, and after some steps."""
    settings = {"output": str(tmp_path / "runs"), "parent": str(parent.path), "new_share": 0.5}
    whole = load_model(deepen.train(str(grown), **settings)).state_dict()

    class Power(BaseException):
        pass

    def fail(*_: Any) -> None:
        raise Power

    for where in ("running.keep_data", "running.fit", "progress.Show.epoch"):
        with monkeypatch.context() as broken:
            broken.setattr(f"deepen.training.{where}", fail)
            with pytest.raises(Power):
                deepen.train(str(grown), **settings)
        newest = max((tmp_path / "runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime_ns).parent
        assert json.loads((newest / "run.json").read_text())["state"] != "finished"
        again = load_model(deepen.train(resume=str(newest))).state_dict()
        assert all(torch.equal(whole[name], again[name]) for name in whole), where


def test_an_embedding_that_grew_begins_with_the_rows_it_had(tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"{i % 7},{'abc'[i % 3]},{('up', 'down')[i % 2]}" for i in range(120)]
    table.write_text("x,kind,y\n" + "\n".join(rows) + "\n")
    terms = {"output": str(tmp_path / "runs"), "threads": 1, "model": "tab_mlp", "hidden": [8], "epochs": 1}
    first = deepen.train(str(table), target="y", **terms)
    rows += [f"{i % 7},d,up" for i in range(60)]
    table.write_text("x,kind,y\n" + "\n".join(rows) + "\n")
    second = deepen.train(str(table), parent=str(first.path), output=str(tmp_path / "runs"), lr=1e-9)
    name = "net.flat.embeddings.1.tables.0.weight"
    before, after = (load_model(run).state_dict()[name] for run in (first, second))
    assert (len(before), len(after)) == (5, 6)
    assert torch.allclose(before, after[:5], atol=1e-4)
