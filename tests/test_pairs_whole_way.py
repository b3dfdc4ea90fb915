"""Texts that answer texts, from a table to the service: copying and reversing is learnt, and answered alike everywhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle

pytestmark = pytest.mark.slow
TASKS = {"copy": lambda text: text, "reverse": lambda text: text[::-1]}


@pytest.fixture(scope="module", params=TASKS)
def run(request, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    draw = np.random.default_rng(0)
    words = {"".join(draw.choice(list("abcdefghij"), int(draw.integers(3, 9)))) for _ in range(8000)}
    rows = [f"{word},{TASKS[request.param](word)}" for word in sorted(words)]
    (place / "pairs.csv").write_text("\n".join(["source,target", *rows]) + "\n")
    model = {"name": "transformer", "width": 64, "dropout": 0.0}
    settings = {"text": "source", "target": "target", "longest": 10, "batch_size": 64, "epochs": 10, "lr": 2e-3}
    run = deepen.train(str(place / "pairs.csv"), output=str(place / "runs"), model=model, threads=1, **settings)
    return request.param, run


def test_it_is_learnt_and_answered_alike_everywhere(run, tmp_path, capsys):
    task, made = run
    document = deepen.evaluate(str(made.path))
    figures = {name: values[0] for name, values in document["metrics"].items()}
    assert figures["exact_match"] >= 0.99
    bundle = deepen.export(str(made.path))["bundle"]
    words = ["abc", "jihgfedc", "aabbccdd"]
    answers = deepen.load(str(made.path))(words)
    assert [answer["text"] for answer in answers] == [TASKS[task](word) for word in words]
    there = deepen.load(bundle)
    assert there.gap(answers, there(words)) == 0
    core = of_bundle(Path(bundle))
    for items in (words, [{"source": word, "more": 1} for word in words]):
        body = json.dumps({"items": items}).encode()
        response = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "application/json"}, body)))
        assert response.status == 200
        assert there.gap(answers, response.document["answers"]) == 0
    core.close()
    Path("lines.jsonl").write_text("\n".join(json.dumps(word) for word in words) + "\n")
    assert [row["text"] for row in deepen.predict(bundle, "lines.jsonl")] == [answer["text"] for answer in answers]
