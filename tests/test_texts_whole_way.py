"""Texts from a table to the service: one item gets the same answer from a run, a bundle and a request."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen.serving.messages import Request
from tests.serving.fakes import of_bundle

WORDS = {"good": ["fine", "lovely", "great", "a joy"], "bad": ["dull", "awful", "poor", "a bore"]}
OTHERS = [
    "the",
    "film",
    "was",
    "and",
    "it",
    "had",
    "much",
    "of",
    "what",
    "one",
    "wants",
    "to",
    "see",
    "in",
    "such",
    "a",
    "place",
    ",",
    "so",
]


def review(label: str, draw: np.random.Generator) -> str:
    words = draw.choice(OTHERS, int(draw.integers(4, 25))).tolist()
    words.insert(int(draw.integers(len(words))), str(draw.choice(WORDS[label])))
    return " ".join(words)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("texts")
    draw = np.random.default_rng(0)
    labels = [("good", "bad")[i % 2] for i in range(400)]
    lines = [
        json.dumps({"mood": labels[i - (i % 20 == 0)], "text": review(label, draw), "stars": i % 5})  # some are wrong
        for i, label in enumerate(labels)
    ]
    (place / "reviews.jsonl").write_text("\n".join(lines) + "\n")
    model = {"name": "rnn", "width": 8, "embedding": 16, "bidirectional": True, "pool": "max"}
    return deepen.train(
        str(place / "reviews.jsonl"),
        target="mood",
        output=str(place / "runs"),
        model=model,
        epochs=8,
        lr=1e-2,
        threads=1,
    )


@pytest.fixture(scope="module")
def bundle(run) -> str:
    return deepen.export(str(run.path))["bundle"]


ITEMS = ["The film was fine", "it had much , so dull", "one wants a joy " * 40, "awful"]
EXPECTED = ["good", "bad", "good", "bad"]


def test_it_learns_and_is_measured(run):
    document = deepen.evaluate(str(run.path))
    assert document["metrics"]["accuracy"][0] > 0.9
    page = (run.path / "evaluation" / "report.html").read_text()
    assert '<div class="text">' in page  # the worst errors show the texts themselves
    config = (run.path / "config.yaml").read_text()
    assert "name: texts" in config
    assert "- text" in config


def ask(bundle: str, kind: str, body: str) -> dict:
    core = of_bundle(Path(bundle))
    response = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": kind}, body.encode())))
    core.close()
    assert response.status == 200, response.document
    return response.document["answers"]


def test_the_same_answers_everywhere(run, bundle, tmp_path, monkeypatch, capsys):
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    answers = here(ITEMS)
    assert [answer["label"] for answer in answers] == EXPECTED
    assert here.gap(answers, there(ITEMS)) < 1e-4
    assert here.gap(answers, ask(bundle, "application/json", json.dumps({"items": ITEMS}))) < 1e-4
    objects = [{"text": text, "stars": 3} for text in ITEMS]
    assert here.gap(answers, ask(bundle, "application/json", json.dumps({"items": objects}))) < 1e-4
    table = "stars,text\n" + "".join(f'1,"{text}"\n' for text in ITEMS)
    assert here.gap(answers, ask(bundle, "text/csv", table)) < 1e-4

    (tmp_path / "new.csv").write_text(table)
    (tmp_path / "new.jsonl").write_text("\n".join(json.dumps(x) for x in (*objects[:2], *ITEMS[2:])) + "\n")
    (tmp_path / "new").mkdir()
    for i, text in enumerate(ITEMS):
        (tmp_path / "new" / f"{i}.txt").write_text(text)
    for what in ("new.csv", "new.jsonl", "new", "-", "new/1.txt"):
        lines = io.BytesIO("\n".join([*ITEMS[:3], json.dumps(ITEMS[3])]).encode())
        monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": lines}))
        found = deepen.predict(bundle, what)
        wanted = answers[1:2] if what == "new/1.txt" else answers
        assert here.gap(wanted, [{k: v for k, v in row.items() if k != "id"} for row in found]) < 1e-4, what


def test_one_bad_text_does_not_spoil_a_folder(bundle, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "new" / "b.txt").write_text("fine")
    (tmp_path / "new" / "c.txt").write_text(" ")
    found = deepen.predict(bundle, "new")
    assert [row.get("error") for row in found] == ["not UTF-8 (byte 0)", None, "no text"]
