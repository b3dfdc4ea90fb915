"""Who had what, from a table of events to the service: nothing later goes in, nothing comes twice, new ones are answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle

THINGS = 30


def table(place: Path, users: int = 150) -> Path:
    """Everybody walks around a circle of things, mostly to the next one; some things are begun with more often."""
    draw = np.random.default_rng(0)
    events = []
    for user in range(users):
        at, moment = int(draw.integers(0, 6)), float(draw.uniform(0, 1000))
        for _ in range(int(draw.integers(4, 15))):
            events.append((moment, f"u{user}", f"t{at}"))
            at, moment = (at + (1 if draw.random() < 0.9 else 2)) % THINGS, moment + 1
    place.mkdir(parents=True)
    lines = ["user,item,time", *(f"{user},{item},{moment:.3f}" for moment, user, item in sorted(events))]
    (place / "events.csv").write_text("\n".join(lines) + "\n")
    return place / "events.csv"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["two_tower", "sequence_recommender"])
def test_the_same_proposals_everywhere(model, tmp_path):
    data = table(tmp_path / "data")
    run = deepen.train(
        str(data), user="user", item="item", time="time", output=str(tmp_path / "runs"), epochs=12, lr=1e-2, threads=1,
        model={"name": model, "width": 16, "latest": 3},
    )  # fmt: skip
    document = deepen.evaluate(str(run.path))
    assert document["metric"] == "ndcg_10"
    assert document["metrics"]["hit_rate_10"][0] > 0.8
    assert document["metrics"]["ndcg_10"][0] > document["baseline"]["ndcg_10"] + 0.2
    bundle = deepen.export(str(run.path))["bundle"]
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    raw = [[], ["t3"], ["t3", "t4", "t5"], ["not known"], [f"t{i}" for i in range(10)]]
    answers = here(raw)
    assert here.gap(answers, there(raw)) < 1e-4
    assert here.gap(answers, [here([item])[0] for item in raw]) < 1e-4
    assert answers[2]["items"][0]["item"] in {"t6", "t7"}
    assert not {one["item"] for one in answers[4]["items"]} & set(raw[4])
    assert {one["item"] for one in answers[0]["items"]} == {one["item"] for one in answers[3]["items"]}
    core = of_bundle(Path(bundle))
    headers = {"content-type": "application/json"}
    response = asyncio.run(core.handle(Request("POST", "/predict", headers, json.dumps({"items": raw}).encode())))
    assert response.status == 200, response.document
    assert here.gap(answers, response.document["answers"]) < 1e-4
    refused = asyncio.run(core.handle(Request("POST", "/predict", headers, b'{"items": [{"user": "u1"}]}')))
    core.close()
    assert refused.status == 422
    assert "a list of ids" in refused.document["error"]
    (tmp_path / "new.jsonl").write_text("\n".join(json.dumps(item) for item in raw) + "\n")
    found = deepen.predict(bundle, str(tmp_path / "new.jsonl"))
    assert here.gap(answers, [{k: v for k, v in row.items() if k != "id"} for row in found]) < 1e-4
