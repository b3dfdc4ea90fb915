"""What the kinds give the report: right figures, and something sensible for every odd part."""

from __future__ import annotations

import math
import warnings

import msgspec
import numpy as np
import pytest

from deepen.kinds.classes import Classes
from deepen.kinds.labels import Labels
from deepen.kinds.number import Number
from deepen.panels import Curves, Gallery, Histogram, Matrix, Table


def classes(k: int, n: int, seed: int = 0, only: int | None = None):
    rng = np.random.default_rng(seed)
    target = np.full(n, only) if only is not None else rng.integers(k, size=n)
    p = rng.dirichlet(np.ones(k), n) * 0.6 + 0.4 * np.eye(k)[target]
    return Classes(tuple(f"class {i}" for i in range(k))), target, {"probabilities": p.astype(np.float32)}


def labels(k: int, n: int, rate: float = 0.3):
    rng = np.random.default_rng(0)
    target = (rng.random((n, k)) < rate).astype(np.float32)
    p = np.clip(0.5 * rng.random((n, k)) + 0.4 * target, 0, 1)
    return Labels(tuple(f"label {i}" for i in range(k))), target, {"probabilities": p.astype(np.float32)}


def number(n: int, constant: bool = False):
    rng = np.random.default_rng(0)
    target = np.full(n, 3.0) if constant else rng.normal(50, 9, n)
    return Number(50.0, 9.0), target.astype(np.float32), {"value": (target + rng.normal(0, 3, n)).astype("f4")[:, None]}


CASES = {
    "two classes": classes(2, 50),
    "a hundred classes": classes(100, 400),
    "one class only": classes(3, 20, only=1),
    "one item": classes(3, 1),
    "all right": (Classes(("a", "b")), np.array([0, 1]), {"probabilities": np.eye(2, dtype=np.float32)}),
    "labels": labels(5, 80),
    "one label of one item": labels(1, 1),
    "no label at all": labels(3, 10, rate=0),
    "every label": labels(3, 10, rate=1),
    "numbers": number(300),
    "one number": number(1),
    "a constant": number(20, constant=True),
}


def finite(value) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("case", CASES)
def test_every_case_gives_whole_panels(case):
    kind, target, outputs = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        panels = kind.panels(target, outputs)
        what, value = kind.baseline(target, target)
        per_item = kind.per_item(target, outputs)
        groups = list(kind.slices(target))
    assert panels
    assert finite(msgspec.to_builtins(panels))
    assert what.startswith("always answering")
    assert math.isfinite(value)
    assert per_item.values.shape == (len(target),)
    assert all(mask.shape == (len(target),) and mask.dtype == bool for _, mask in groups)
    for panel in panels:
        if isinstance(panel, Table):
            assert {len(row) for row in panel.rows} <= {len(panel.columns)}
        if isinstance(panel, Histogram):
            assert len(panel.edges) == len(panel.counts) + 1
        if isinstance(panel, Gallery):
            assert len(panel.rows) == len(panel.captions) > 0
            assert max(panel.rows) < len(target)


@pytest.mark.parametrize("case", CASES)
def test_every_case_resamples(case):
    kind, target, outputs = CASES[case]
    plain = kind.metrics(target, outputs)
    once = kind.resampled(target, outputs, np.ones((1, len(target))))
    assert plain == {name: value[0] for name, value in once.items() if not np.isnan(value[0])}
    assert kind.metric in plain


def of(panels, kind, title):
    return next(p for p in panels if isinstance(p, kind) and p.title == title)


def test_the_matrix_and_its_confusions():
    p = np.eye(3)[[0, 0, 1, 2, 2]].astype(np.float32)
    panels = Classes(("a", "b", "c")).panels(np.array([0, 0, 1, 1, 1]), {"probabilities": p})
    assert of(panels, Matrix, "Confusion matrix").counts == ((2, 0, 0), (0, 1, 2), (0, 0, 0))
    (row,) = of(panels, Table, "Most frequent confusions").rows
    assert row[:3] == ("b", "c", 2)
    assert row[3].value == pytest.approx(2 / 3)


def test_classes_stand_worst_first_and_absent_last():
    p = np.eye(3)[[0, 1, 0, 0]].astype(np.float32)
    table = of(Classes(("a", "b", "c")).panels(np.array([0, 1, 1, 1]), {"probabilities": p}), Table, "Classes")
    assert [row[0] for row in table.rows] == ["b", "a", "c"] or [row[0] for row in table.rows] == ["a", "b", "c"]
    absent = table.rows[-1]
    assert absent[1] == 0
    assert [cell.value for cell in absent[2:]] == [None] * 4
    assert "1 of the classes do not occur" in table.note


def test_the_surest_wrong_answer_comes_first():
    p = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], np.float32)
    gallery = of(Classes(("a", "b")).panels(np.array([1, 1, 1, 0]), {"probabilities": p}), Gallery, "Worst errors")
    assert gallery.rows == (1, 0)
    assert gallery.captions[0] == ("is b", "taken for a", "0.900 sure")


def test_of_many_classes_few_are_drawn():
    kind, target, outputs = CASES["a hundred classes"]
    panels = kind.panels(target, outputs)
    assert len(of(panels, Curves, "ROC curves").lines) == 6
    assert len(of(CASES["two classes"][0].panels(*CASES["two classes"][1:]), Curves, "ROC curves").lines) == 1


def test_the_calibration_of_a_liar():
    """Sure of 0.95 and right in half of the cases."""
    p = np.tile(np.array([[0.95, 0.05]], np.float32), (20, 1))
    panels = Classes(("a", "b")).panels(np.arange(20) % 2, {"probabilities": p})
    curve = of(panels, Curves, "Calibration")
    assert curve.lines[0].x == pytest.approx((0.95,))
    assert curve.lines[0].y == (0.5,)
    assert "too sure of itself, by 0.450" in curve.note


def test_baselines():
    assert Classes(("a", "b")).baseline(np.array([0, 1, 1]), np.array([0, 0, 1, 0])) == ("always answering 'b'", 0.25)
    what, value = Number().baseline(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    assert (what, value) == ("always answering the mean, 2", pytest.approx(math.sqrt(2)))
    assert Labels(("a", "b")).baseline(np.array([[0, 1]]), np.array([[0, 1], [1, 0]]))[1] == pytest.approx(0.5)


def test_slices_of_a_number_are_quarters():
    masks = [mask for _, mask in Number().slices(np.arange(100.0))]
    assert [int(m.sum()) for m in masks] == [25, 25, 25, 25]


def test_errors_by_tenth_cover_every_item():
    kind, target, outputs = CASES["numbers"]
    assert sum(row[1] for row in of(kind.panels(target, outputs), Table, "Error by size of the true value").rows) == 300


def test_a_constant_target_is_one_line_of_the_table():
    kind, target, outputs = CASES["a constant"]
    (row,) = of(kind.panels(target, outputs), Table, "Error by size of the true value").rows
    assert row[:2] == ("3 to 3", 20)
