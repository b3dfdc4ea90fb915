"""Several inputs from a table to the service: one item gets the same answer from a run, a bundle and a request."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deepen
from deepen.serving.messages import Request
from tests import dirty
from tests.serving.fakes import of_bundle

NOTES = ("what is bright here is taken for good", "what is dark here is taken for good")


def table(place: Path, n: int = 240) -> Path:
    """Whether an item is good takes the picture (bright or dark) and the note (which of them is)."""
    place.mkdir(parents=True)
    draw = np.random.default_rng(0)
    lines = ["photo,note,size,label"]
    for i in range(n):
        bright, which = draw.integers(2, size=2)
        light = 60 + 120 * bright + draw.integers(-20, 20, (8, 8))
        Image.fromarray(light.astype(np.uint8)).save(place / f"{i}.png")
        photo = "" if i % 20 == 0 else f"{i}.png"
        lines.append(f"{photo},{NOTES[which]} {i},{draw.normal():.2f},{('bad', 'good')[int(bright != which)]}")
    (place / "items.csv").write_text("\n".join(lines) + "\n")
    return place / "items.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return table(tmp_path_factory.mktemp("mixed") / "data")


@pytest.fixture(scope="module")
def bundle(data) -> str:
    model = {
        "name": "multimodal", "fusion": "cross", "width": 16, "hidden": [16], "dropout": 0.0, "leave_out": 0.0,
        "image": {"name": "mlp", "hidden": [8]}, "text": {"name": "rnn", "width": 8, "embedding": 8, "pool": "max"},
        "row": {"name": "mlp", "hidden": [4]},
    }  # fmt: skip
    run = deepen.train(
        str(data),
        target="label",
        output=str(data.parent / "runs"),
        model=model,
        epochs=25,
        lr=1e-2,
        augment=[],
        threads=1,
    )
    return deepen.export(str(run.path))["bundle"]


@pytest.mark.slow
def test_what_takes_both_is_learnt_and_answered_alike_everywhere(bundle, data, tmp_path):
    run = Path(bundle).parents[1]
    here, there = deepen.load(str(run)), deepen.load(bundle)
    new = table(tmp_path / "new", 40)
    truth = [line.rsplit(",", 1)[1] for line in new.read_text().split("\n")[1:-1]]
    found = deepen.predict(bundle, str(new))
    right = [row["label"] == label for row, label in zip(found, truth)]
    assert np.mean([r for i, r in enumerate(right) if i % 20]) > 0.95, "where both are there"
    photo = (new.parent / "1.png").read_bytes()
    rows = [line.split(",") for line in new.read_text().split("\n")[1:3]]
    items = [{"note": rows[0][1], "size": float(rows[0][2])}]
    items.append({"photo": base64.b64encode(photo).decode(), "note": rows[1][1], "row": {"size": float(rows[1][2])}})
    answers = here([here.parse(item) for item in items])
    assert here.gap(answers, [{k: v for k, v in row.items() if k != "id"} for row in found[:2]]) < 1e-4
    assert here.gap(answers, there([there.parse(item) for item in items])) < 1e-4
    core = of_bundle(Path(bundle))
    headers = {"content-type": "application/json"}
    response = asyncio.run(core.handle(Request("POST", "/predict", headers, json.dumps({"items": items}).encode())))
    assert response.status == 200, response.document
    assert here.gap(answers, response.document["answers"]) < 1e-4
    refused = asyncio.run(core.handle(Request("POST", "/predict", headers, b'{"items": [{"note": "x", "sise": 1}]}')))
    core.close()
    assert refused.status == 422
    assert "unknown key 'sise'. Did you mean 'size'?" in refused.document["error"]
    assert deepen.evaluate(str(run))["metrics"]["accuracy"][0] > 0.8
    (new.parent / "2.png").write_bytes(dirty.PNG[:60])
    assert [row.get("error") for row in deepen.predict(bundle, str(new))[:3]] == [None, None, "truncated or damaged"]
