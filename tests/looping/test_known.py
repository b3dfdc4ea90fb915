"""Labels of a loop's queue as a figure of the live model: weighed by what they stand for, nothing counted twice."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from deepen.data.arrivals import Arrivals
from deepen.evaluation.intervals import weighted, wilson
from deepen.evaluation.quality import LEVEL, quality
from deepen.kinds.classes import Classes
from deepen.kinds.number import Number
from deepen.labelling.asking import mark_of
from deepen.looping.known import known
from deepen.preprocess.row import Row
from deepen.store.dataset import Dataset, New, place
from deepen.store.live import Live, Sample
from deepen.store.loop import Ledger

KIND = Classes(("up", "down"))
ENCODER = Row(numbers=("x",))


@pytest.fixture
def watched(tmp_path) -> Any:
    parity = {"metric": "accuracy", "candidate": 0.9, "items": 200, "interval": None}
    (tmp_path / "parity.json").write_text(json.dumps(parity))
    return SimpleNamespace(
        path=tmp_path, signature=SimpleNamespace(inputs={"row": ENCODER}, outputs={"y": KIND}, answer=KIND)
    )


class Asked:
    """A round that chose 40 of 100 samples: 10 drifted, all answered wrongly, 10 uncertain, half of them, and 20 at random of
    the other 80, of which every tenth is wrong. The true answer is always up."""

    def __init__(self, place_: Any) -> None:
        (place_ / "t.csv").write_text("x,y\n1,up\n")
        self.path, self.live = str(place_ / "t.csv"), Live.create(place_ / "live" / "one")
        wrong = [i < 10 or (10 <= i < 20 and i % 2 == 1) or (i >= 20 and i % 10 == 0) for i in range(100)]
        told = [
            {
                "label": ("up", "down")[w],
                "probability": 0.8,
                "probabilities": {"up": 0.8 - 0.6 * w, "down": 0.2 + 0.6 * w},
            }
            for w in wrong
        ]
        self.samples = [
            Sample(float(i), f"r{i}", "1", "run", {}, [told[i]], [0.5], 0.1, 0.5, raw={"x": i}) for i in range(100)
        ]
        self.live.keep(self.samples)
        self.names = [Arrivals(self.path, ENCODER).name(mark_of(sample)) for sample in self.samples]
        why = ["drifted"] * 10 + ["uncertain"] * 10 + ["random"] * 20
        self.line = {
            "version": "1", "since": 0.0, "pool": 100, "data": self.path, "items": dict(zip(self.names, why)), "says": ""
        }  # fmt: skip
        Ledger(self.live.path).note(1, "chosen", **self.line)

    def label(self, rows: Any, annotator: str = "ann", value: str = "up") -> None:
        with Dataset.create(place(self.path), kind="classes", names=["up", "down"]) as dataset:
            dataset.write([New(f"{annotator}{r}", self.names[r], "content", annotator, value) for r in rows])


@pytest.fixture
def asked(tmp_path) -> Asked:
    return Asked(tmp_path)


def test_the_figure_of_the_whole_pool_by_hand(asked, watched):
    asked.label(range(40))
    found = quality(watched, [], {}, "labels", known(asked.live, "1", watched))
    assert found is not None
    assert found.now[0] == pytest.approx((0 + 5 + 80 * 18 / 20) / 100)
    weights = np.array([1.0] * 20 + [4.0] * 20)
    assert found.now[1:] == pytest.approx(wilson(0.77, weights.sum() ** 2 / (weights**2).sum(), LEVEL))
    assert (found.items, found.asked) == (40, 40)
    assert "40 labelled items in service (40 a loop asked about" in found.says


def test_labels_that_are_still_to_come_are_stood_for_by_those_of_their_group(asked, watched):
    asked.label([*range(5), *range(10, 14), *range(20, 40, 2), 21, 23])
    found = known(asked.live, "1", watched)
    weights = {one.key[0]: one.weight for one in found}
    assert (weights["r0"], weights["r10"], weights["r20"]) == pytest.approx((4, 5, 80 / 12 * 2))  # half are sampled


def test_of_a_group_without_a_label_of_other_versions_and_old_rounds_nothing_is_said(asked, watched):
    asked.label(range(20))
    assert known(asked.live, "1", watched) == []
    asked.label(range(20, 40))
    assert len(known(asked.live, "1", watched)) == 40
    assert known(asked.live, "2", watched) == []
    asked.live.erase(lambda sample: sample.id == "r39")
    assert len(known(asked.live, "1", watched)) == 39
    ledger = Ledger(asked.live.path)
    ledger.file.unlink()
    ledger.note(1, "chosen", **{key: value for key, value in asked.line.items() if key != "pool"})
    assert known(asked.live, "1", watched) == []


def test_nothing_is_counted_twice(asked, watched):
    """Two people, an item that was asked again, and a file that names the same: each item is there once."""
    asked.label(range(40))
    asked.label(range(0, 40, 2), "bob")
    asked.label([39], "eve", "down")  # she does not agree: no label
    later = [msgspec.structs.replace(sample, id="again", time=50.0) for sample in asked.samples[:9]]
    asked.live.keep([msgspec.structs.replace(sample, version="2") for sample in asked.samples[:9]] + later)
    found = known(asked.live, "1", watched)
    assert len(found) == len({one.key for one in found}) == 39
    assert not {"again", "r39"} & {one.key[0] for one in found}
    file = {(f"r{i}", None): "up" for i in (*range(40), 50, 60, 61)}
    both = quality(watched, asked.samples, file, "labels", found)
    assert both is not None
    assert (both.items, both.asked) == (43, 39)  # and r39, which only the file knows


def test_figures_that_are_no_shares_are_weighed_too():
    kind = Number(mean=0.0, scale=1.0)
    errors = np.r_[np.full(50, 3.0), np.full(50, 1.0)] * np.tile([1, -1], 50)
    weights = np.r_[np.full(50, 1.0), np.full(50, 7.0)]
    outputs = {"value": errors.astype(np.float32)[:, None]}
    value, low, high = weighted(kind, np.zeros(100), outputs, weights, 0.99)
    assert value == pytest.approx(np.sqrt((9 + 7 * 1) / 8))
    assert low < value < high < 3
