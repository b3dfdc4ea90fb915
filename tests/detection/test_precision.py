"""Average precision against pycocotools' own answers, and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deepen.detection import precision
from deepen.detection.precision import Boxes
from tests.detection.made_up import CLASSES, PICTURES, boxes

SAID = json.loads((Path(__file__).parent / "fixtures" / "pycocotools.json").read_text())


def once() -> np.ndarray:
    return np.ones((1, PICTURES))


def made(*rows: tuple) -> Boxes:
    """Rows of x1, y1, x2, y2, class, picture, score or crowd."""
    table = np.array(rows, float).reshape(-1, 7)
    return Boxes(table[:, :4], table[:, 4].astype(int), table[:, 5].astype(int), table[:, 6])


@pytest.mark.parametrize("seed", SAID)
def test_all_figures_are_those_of_pycocotools(seed):
    truth, found = boxes(int(seed))
    said = SAID[seed]
    figures = precision.figures(truth, found, PICTURES, CLASSES, once())
    assert set(figures) == set(precision.FIGURES)
    for name, value in figures.items():
        assert value[0] == pytest.approx(said[name], abs=1e-9), name
    ap, _ = precision.by_class(truth, found, PICTURES, CLASSES)
    np.testing.assert_allclose(np.nan_to_num(ap, nan=-1), said["ap"], atol=1e-9)


def test_the_made_up_boxes_tell_the_difference():
    """Were crowds, sizes or classes passed over, the fixture would say other numbers."""
    truth, found = boxes(0)
    said = SAID["0"]
    assert len({round(said[name], 3) for name in precision.FIGURES}) == len(precision.FIGURES)
    assert (truth.score > 0).sum() > 10
    assert set(found.label) - set(truth.label) == {CLASSES - 1}


def test_resamples_are_the_pictures_repeated():
    truth, found = boxes(1)
    counts = np.random.default_rng(0).multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), size=2).astype(float)
    together = precision.figures(truth, found, PICTURES, CLASSES, counts)
    assert np.isnan(together["ap_small"]).all()
    for row, count in enumerate(counts.astype(int)):
        parts = [np.repeat(np.arange(PICTURES), count), np.arange(count.sum())]
        repeated = []
        for them in (truth, found):
            rows = [(b, k, new, s) for old, new in zip(*parts) for b, k, _, s in zip(*them.of(them.picture == old))]
            box, label, picture, score = zip(*rows)
            repeated.append(Boxes(np.array(box), np.array(label), np.array(picture), np.array(score)))
        plain = precision.figures(*repeated, int(count.sum()), CLASSES, np.ones((1, int(count.sum()))))
        for name in ("map", "ap50", "ap75", "recall_100"):
            assert together[name][row] == pytest.approx(plain[name][0], abs=1e-9), name


def test_by_hand():
    """Two things; found: one rightly at 0.9, nothing at 0.8, the other at 0.7. Precision 1 up to recall 0.5, then 2 / 3."""
    truth = made((0, 0, 10, 10, 0, 0, 0), (50, 50, 90, 90, 0, 0, 0))
    found = made((0, 0, 10, 10, 0, 0, 0.9), (20, 0, 30, 10, 0, 0, 0.8), (50, 50, 90, 90, 0, 0, 0.7))
    figures = precision.figures(truth, found, 1, 1, np.ones((1, 1)))
    assert figures["ap50"][0] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert figures["recall_100"][0] == 1
    assert figures["ap_small"][0] == pytest.approx(1)  # what lies in no such size is passed over
    assert figures["ap_medium"][0] == pytest.approx(1)
    assert np.isnan(figures["ap_large"][0])
    twice = precision.figures(truth, made((0, 0, 10, 10, 0, 0, 0.9), (0, 0, 10, 10, 0, 0, 0.8)), 1, 1, np.ones((1, 1)))
    assert twice["ap50"][0] == pytest.approx(51 / 101)  # a second box of the same thing is a wrong one
    assert precision.figures(truth, made(), 1, 1, np.ones((1, 1)))["map"][0] == 0
    assert np.isnan(precision.figures(made(), found, 1, 1, np.ones((1, 1)))["map"][0])


def test_f1_of_each_picture():
    truth = made((0, 0, 10, 10, 0, 0, 0), (50, 50, 90, 90, 1, 0, 0), (0, 0, 9, 9, 0, 2, 0))
    found = made((0, 0, 10, 10, 0, 0, 0.9), (50, 50, 90, 90, 0, 0, 0.8), (0, 0, 10, 10, 0, 3, 0.9))
    np.testing.assert_allclose(precision.f1(truth, found, 4, 2), [0.5, 1, 0, 0])
