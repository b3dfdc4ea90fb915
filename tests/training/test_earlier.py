"""Data that grew: what was tested on before stays so where it is asked for, and is told where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.cli import main
from deepen.config import parse
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from tests.data.test_prepare import blobs, config

QUICK = {"target": "y", "epochs": 1, "threads": 1, "model": "mlp"}


def table(rows: int) -> str:
    draw = np.random.default_rng(0)
    lines = [f"{draw.random():.6f},{draw.random():.6f},{'ab'[i % 2]}" for i in range(rows)]
    Path("t.csv").write_text("\n".join(["u,v,y", *lines]) + "\n")
    return "t.csv"


def parts(run) -> dict[str, set[str]]:
    return {part: {*names} for part, names in json.loads((run.path / "split.json").read_text()).items()}


def test_data_that_grew_keeps_its_split_where_it_is_asked_for_and_is_told_where_not(tmp_path, capsys):
    first = deepen.train(table(100), **QUICK, monitor="val_log_loss")
    assert next(iter(first.info["metrics"])) == "val_log_loss", "what decided is what `list runs` shows"
    assert "note     the data has changed" not in capsys.readouterr().out
    deepen.train("t.csv", **QUICK)
    assert "note     the data has changed" not in capsys.readouterr().out, "the same data has the same split"
    deepen.train(table(160), **QUICK, dry_run=True)
    assert "test items are learnt from now" in capsys.readouterr().out, "before anything is trained"
    again = deepen.train("t.csv", **QUICK)
    lost = len(parts(first)["test"] - parts(again)["test"])
    assert lost
    said = capsys.readouterr().out
    assert f"{lost} of its 15 test items are learnt from now" in said
    assert json.loads((again.path / "quarantine.json").read_text())["notes"][-1].startswith(
        "the data has changed since"
    )
    like = deepen.train("t.csv", **QUICK, **{"split.like": str(first.path)})
    assert "note     the data has changed" not in capsys.readouterr().out
    before, after = parts(first), parts(like)
    assert all(before[part] < after[part] for part in ("train", "val", "test"))
    assert {part: len(after[part]) for part in ("val", "test")} == {"val": 24, "test": 24}
    assert f"like: {first.path.absolute()}" in (like.path / "config.yaml").read_text(), "repeated from anywhere"


def test_a_split_like_that_of_a_run_on_other_data_is_refused(tmp_path, capsys):
    with pytest.raises(DeepenError, match="split.like|none of its items is in this data"):
        prepare(blobs(), config(), {"train": ["other"], "val": [], "test": []})
    assert main(["train", table(100), "target=y", "split.like=nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_the_parts_are_fitted_and_shared_out_as_ever(tmp_path):
    items = blobs(90)
    whole = prepare(items, config())
    ids = {part: [items.ids[row] for row in rows] for part, rows in whole.parts.items()}
    again = prepare(blobs(90), config(), ids)
    assert again.signature.to_json() == whole.signature.to_json()
    assert all((again.parts[part] == whole.parts[part]).all() for part in ids)
    more = prepare(blobs(150), config(), ids)
    assert {part: len(rows) for part, rows in more.parts.items()} == {"train": 106, "val": 22, "test": 22}
    assert parse({"data": {"name": "blobs"}, "split": {"like": "runs/x"}}).split.like == "runs/x"


def test_a_folder_of_runs_names_those_in_it(tmp_path, capsys):
    assert main(["list", "runs"]) == 0
    assert capsys.readouterr().out == "no runs below runs/\n"
    run = deepen.train(table(60), **QUICK, output="mine")
    capsys.readouterr()
    assert main(["evaluate", "mine"]) == 2
    assert f"mine: not a run (no run.json). Expected a directory that deepen train made. Runs here: mine/{run.id}." in (
        capsys.readouterr().err
    )
