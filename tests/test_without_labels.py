"""Runs without labels through every verb, as a user does it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.errors import DeepenError
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle

QUICK = {"epochs": 2, "threads": 1}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run that tells the digits again."""
    place = str(tmp_path_factory.mktemp("told"))
    settings = {"model.code": 6, "model.form": "dense", "model.hidden": [24]}
    return deepen.train("digits", output=place, method="reconstruct", **QUICK, **settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that makes digits."""
    place = str(tmp_path_factory.mktemp("made"))
    return deepen.train("digits", output=place, method="gan", draws=8, channels=[8, 8], **QUICK)


def ask(bundle: Path, items: list) -> list:
    core = of_bundle(bundle)
    head = {"content-type": "application/json"}
    response = asyncio.run(core.handle(Request("POST", "/predict", head, json.dumps({"items": items}).encode())))
    core.close()
    assert response.status == 200, response.document
    return response.document["answers"]


@pytest.mark.slow
def test_an_item_told_again_from_training_to_service(told):
    document = deepen.evaluate(str(told.path))
    assert document["metrics"]["loss"][0] < document["baseline"]["loss"]
    assert {"loss", "r2", "mae", "psnr"} == {*document["metrics"]}
    page = (told.path / "evaluation" / "report.html").read_text()
    assert "Items and what they became" in page
    assert "data:image/png;base64," in page
    bundle = Path(deepen.export(str(told.path))["bundle"])
    own, exported = deepen.load(str(told.path)), deepen.load(str(bundle))
    dark = np.zeros((8, 8), np.uint8)
    wild = np.random.default_rng(0).integers(256, size=(8, 8), dtype=np.uint8)
    answers = own([dark, wild])
    assert own.gap(answers, exported([dark, wild])) < 1e-4
    assert exported.gap(answers, ask(bundle, [dark.tolist(), wild.tolist()])) < 1e-4
    usual = [answer["loss"] for answer in own([*_digits(60)])]
    assert answers[1]["loss"] > max(usual), "noise is unlike any digit"


def _digits(count: int) -> np.ndarray:
    from deepen.sources.digits import Digits

    return Digits().read().inputs["image"][:count]


def test_what_was_learnt_without_labels_is_where_labels_begin(told, tmp_path, capsys):
    settings = {"method": "supervised", "output": str(tmp_path), "epochs": 1, "threads": 1}
    run = deepen.train("digits", parent=str(told.path), **settings)
    assert "6 of 8 tensors taken over" in capsys.readouterr().out  # all but the layer that answers
    assert "val_accuracy" in run.rows()[0]


@pytest.mark.slow
def test_an_item_made_from_a_draw_from_training_to_service(made):
    document = deepen.evaluate(str(made.path))
    assert {"likeness", "frechet_error", "precision", "coverage"} == {*document["metrics"]}
    bundle = Path(deepen.export(str(made.path))["bundle"])
    own, exported = deepen.load(str(made.path)), deepen.load(str(bundle))
    seeds = [{"seed": seed} for seed in (1, 2, 1)]
    one, two, again = own(seeds)
    assert one == again
    assert one != two
    assert own.gap([one, two], ask(bundle, seeds[:2])) < 1e-2
    numbers = np.random.default_rng(1).standard_normal(8).tolist()
    assert exported.gap(exported([numbers]), [one]) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("which", ["told", "made"])
def test_it_is_verified_and_resumed_like_any_other(which, request):
    run = request.getfixturevalue(which)
    assert deepen.verify(str(run.path), steps=4)["resume"]["identical"]


def test_users_mistakes_are_told(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(40, 3)))
    path = str(tmp_path / "x.npz")
    with pytest.raises(DeepenError, match=r"none of 40 items has a label\. Expected arrays x and y"):
        deepen.train(path)
    with pytest.raises(DeepenError, match=r"model mlp\. .*model=autoencoder"):
        deepen.train(path, method="reconstruct", model="mlp")
    with pytest.raises(DeepenError, match=r"model sagan: .*arrays of shape \(3,\).*model=dcgan"):
        deepen.train(path, method="gan", model="sagan")
    with pytest.raises(DeepenError, match=r"method.likelihood=gaussian\.$"):
        deepen.train(path, method="elbo", likelihood="bernoulli")
    np.savez(tmp_path / "flat.npz", x=np.arange(40.0))
    with pytest.raises(DeepenError, match=r"x: shape \(40,\)\. Expected a row per item"):
        deepen.train(str(tmp_path / "flat.npz"), method="reconstruct")
    with pytest.raises(DeepenError, match=r"code: unknown name|got 0"):
        deepen.train(path, method="reconstruct", code=0)
    (tmp_path / "t.csv").write_text("a,town\n" + "\n".join(f"{i},{'x' if i % 3 else 'y'}" for i in range(60)))
    with pytest.raises(DeepenError, match=r"rows of numbers alone.*data\.drop"):
        deepen.train(str(tmp_path / "t.csv"), method="reconstruct")
    with pytest.raises(DeepenError, match="which column to predict is not said"):
        deepen.train(str(tmp_path / "t.csv"))


def test_a_table_without_a_target_finds_the_odd_row(tmp_path):
    rng = np.random.default_rng(0)
    width = rng.normal(size=300)
    rows = "\n".join(f"{w:.4f},{2 * w + 1:.4f},{-w:.4f}" for w in width)
    (tmp_path / "t.csv").write_text(f"a,b,c\n{rows}\n")
    settings = {"method": "reconstruct", "code": 1, "hidden": [], "lr": 0.03, "threads": 1, "epochs": 8}
    run = deepen.train(str(tmp_path / "t.csv"), output=str(tmp_path), **settings)
    usual, odd = deepen.load(str(run.path))([{"a": 1, "b": 3, "c": -1}, {"a": 1, "b": -1, "c": -1}])
    assert odd["loss"] > 20 * usual["loss"]
    assert usual["again"]["b"] == pytest.approx(3, abs=0.3)
