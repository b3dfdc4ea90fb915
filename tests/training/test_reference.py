"""What training leaves for the monitor, and that it travels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen import bundle, gate
from deepen.errors import DeepenError
from deepen.monitoring import drift
from deepen.training.finished import data_of, load_model, predictor_of
from deepen.training.reference import measure, written


def test_a_run_keeps_what_its_inputs_and_answers_were_like(digits_run):
    found = drift.read(digits_run.read("reference.json"), "reference.json")
    prepared = data_of(digits_run)
    train, val = (prepared.parts[name] for name in ("train", "val"))
    assert found.items == {"inputs": len(train) + len(val), "answers": len(val)}
    light = prepared.columns["image"][np.concatenate([train, val])].mean((1, 2, 3)) / 255
    kept = found.inputs["ks"]["brightness"]
    assert sum(kept["counts"]) == len(light)
    assert kept["edges"][-1] == pytest.approx(light.max(), abs=1e-3)
    answers = [a["label"] for a in predictor_of(digits_run)(prepared.items.raw(val))]
    assert found.answers["fisher"]["class"] == {name: answers.count(name) for name in set(answers)}


def test_it_travels_in_the_bundle_and_is_hashed(digits_run, digits_bundle):
    assert (digits_bundle / "reference.json").read_bytes() == digits_run.read("reference.json")
    assert "reference.json" in bundle.manifest(digits_bundle)["files"]


def test_a_run_from_before_gets_the_same_one_from_its_data(digits_run):
    prepared = data_of(digits_run)
    assert measure(load_model(digits_run), prepared) == written(digits_run, load_model(digits_run), prepared)
    old = type(digits_run)(digits_run.path, {**digits_run.info, "hashes": {}})
    again = drift.read(written(old, load_model(digits_run), prepared), "")
    assert again == drift.read(digits_run.read("reference.json"), "")


def test_a_changed_reference_is_not_believed(digits_run):
    broken = type(digits_run)(digits_run.path, {**digits_run.info, "hashes": {"reference.json": "0" * 64}})
    with pytest.raises(DeepenError, match="not what was written"):
        written(broken, load_model(digits_run), data_of(digits_run))


def test_the_test_part_is_like_the_reference(digits_run):
    """By the way of the service: raw items, the program's answers."""
    prepared, predictor = data_of(digits_run), predictor_of(digits_run)
    raw = prepared.items.raw(prepared.parts["test"])
    now = {
        "inputs": drift.input_columns(predictor.signature, predictor.encode(raw)),
        "answers": drift.answer_columns(predictor.signature, gate.collect(predictor, raw, 64)),
    }
    judge = drift.Drift(drift.read(digits_run.read("reference.json"), ""))
    assert not any(j.alarm for j in judge.check([now]))
    dark = [(picture // 2).astype(np.uint8) for picture in raw]
    now["inputs"] = drift.input_columns(predictor.signature, predictor.encode(dark))
    assert any(j.alarm for j in judge.check([now]))


def test_a_table_has_one_too_and_no_value_of_a_single_row_is_in_it(tmp_path: Path):
    draw = np.random.default_rng(0)
    rows = [f"{draw.normal():.9f},{draw.choice(['a', 'b'])},{draw.normal():.9f}" for _ in range(400)]
    (tmp_path / "t.csv").write_text("x,c,y\n" + "\n".join(rows) + "\n")
    run = deepen.train(str(tmp_path / "t.csv"), target="y", epochs=1, threads=1)
    document = json.loads(run.read("reference.json"))
    assert set(document["inputs"]["ks"]) == {"x"}
    assert set(document["inputs"]["fisher"]) == {"c", "x missing"}
    assert set(document["answers"]["ks"]) == {"value"}
    text = run.read("reference.json").decode()
    shown = sum(row.split(",")[0].rstrip("0") in text for row in rows)
    assert shown == 0
