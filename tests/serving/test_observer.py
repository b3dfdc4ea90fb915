"""What is kept of a request: the items drawn, which they were, and their raw form where the encoded one says less."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepen.kinds.classes import Classes
from deepen.kinds.number import Number
from deepen.preprocess.array import Array
from deepen.preprocess.graph import Graph
from deepen.preprocess.row import Row
from deepen.preprocess.text import Text
from deepen.serving import observer, rest
from deepen.serving.observer import Observer, Seen
from deepen.serving.version import Part
from deepen.signature import Signature
from deepen.store.live import Live, Sample
from tests.serving.fakes import ask, only, service

ROW = Row(numbers=("rooms",), categories={"town": ("Lyon",)})


@pytest.fixture
def sampled(tmp_path: Path):
    """The samples of one request to a model with an encoder."""

    def make(encoder: Any, items: list[Any], **options: Any) -> list[Sample]:
        core, live = service(encoder, **options), Live.create(tmp_path / "live")
        core.observers["m"] = Observer(live, 1.0)
        body = json.dumps({"items": items}).encode()
        assert ask(core, "/predict", body, content_type="application/json").status == 200
        core.close()
        return list(live.samples())

    return make


@pytest.mark.parametrize(
    ("encoder", "items", "raw"),
    [
        (ROW, [{"rooms": "1,200"}, {"town": "Oslo"}], [{"rooms": "1,200", "town": None}, {"rooms": None, "town": "Oslo"}]),
        (Text(("a",)), ["nobody knows", {"text": "a"}], ["nobody knows", "a"]),
        (Array((2,)), [[1, None], [2, 3]], [None, None]),
    ],
    ids=["rows", "texts", "arrays"],
)  # fmt: skip
def test_what_was_asked_is_kept_where_what_was_encoded_says_less(sampled, encoder, items, raw):
    found = sampled(encoder, items)
    assert [sample.raw for sample in found] == raw
    assert [(sample.row, sample.of) for sample in found] == [(0, 2), (1, 2)]


def test_across_batches_each_item_keeps_its_own(sampled):
    found = sampled(Text(("a",)), [f"text {at}" for at in range(5)], max_batch_size=2)
    assert [(sample.row, sample.raw) for sample in found] == [(at, f"text {at}") for at in range(5)]


def test_each_item_is_kept_with_its_own_answer(sampled):
    items = [[at * 50, at] for at in range(5)]
    core = service(Array((2,)))
    right = only(core).predictor(items)
    core.close()
    assert len({answer["probability"] for answer in right}) == 5
    found = sampled(Array((2,)), items)
    assert [sample.answers[0]["probability"] for sample in found] == [answer["probability"] for answer in right]


def test_what_is_long_is_not_kept(sampled, monkeypatch):
    monkeypatch.setattr(observer, "LONGEST", 20)
    assert [sample.raw for sample in sampled(Text(("a",)), ["short", "x" * 30])] == ["short", None]


def test_of_a_large_body_nothing_raw_waits_to_be_written(sampled, monkeypatch):
    monkeypatch.setattr(rest, "RAW_BODY", 10)
    assert [sample.raw for sample in sampled(Text(("a",)), ["short"])] == [None]


def test_items_that_cannot_be_cut_apart_are_drawn_together(tmp_path):
    """Any of them draws them all, so they had more chances than one."""
    core, live = service(Graph(1)), Live.create(tmp_path / "live")
    arrays = {
        "nodes": np.ones((2, 1), np.float32), "edges": np.zeros((2, 0), np.int64), "graph": np.array([0, 1], np.int64),
    }  # fmt: skip
    one = Observer(live, 0.5)
    one.observe(Seen(only(core), Part(arrays, 2), [1], [{"label": "a"}, {"label": "b"}], 0.1, "x", 7.0, 3, 5))
    one.close()
    core.close()
    (sample,) = live.samples()
    assert (sample.items, sample.share, sample.row, sample.of, len(sample.answers)) == (2, 0.75, 3, 5, 2)


def test_of_several_answers_the_first_says_how_sure_the_model_is():
    signature = Signature({"x": Array((1,))}, {"y": Classes(("a", "b")), "z": Number(mean=0.0, scale=1.0)})
    outputs = {"y.probabilities": np.array([[0.5, 0.5], [1.0, 0.0]], np.float32), "z.value": np.zeros((2, 1))}
    version = SimpleNamespace(predictor=SimpleNamespace(signature=signature, run=lambda arrays: outputs))
    assert observer.uncertainty(version, {}) == pytest.approx([1.0, 0.0], abs=1e-6)
