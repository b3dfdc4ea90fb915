"""Agreement against published figures, scikit-learn and the definition."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from deepen.labelling.agreement import alpha, kappa

# Krippendorff 2011, section C: four observers, twelve units, missing values
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
UNITS = [[value for value in unit if value is not None] for unit in zip(*OBSERVERS)]


def equal(a: object, b: object) -> float:
    return float(a != b)


def squared(a: float, b: float) -> float:
    return (a - b) ** 2


def test_alpha_is_krippendorffs():
    assert alpha(UNITS, equal) == pytest.approx(0.743, abs=5e-4)
    assert alpha(UNITS, squared) == pytest.approx(0.849, abs=5e-4)


def test_alpha_by_its_definition():
    rng = np.random.default_rng(0)
    items = [rng.integers(0, 4, n).tolist() for n in rng.integers(1, 5, 40)]
    pairable = [each for each in items if len(each) > 1]
    every = [v for each in pairable for v in each]
    within = sum(sum(squared(a, b) for a, b in permutations(each, 2)) / (len(each) - 1) for each in pairable)
    among = np.mean([squared(a, b) for a, b in permutations(every, 2)])
    assert alpha(items, squared) == pytest.approx(1 - within / len(every) / among)


def test_kappa_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    a = rng.integers(0, 4, 200)
    b = np.where(rng.random(200) < 0.6, a, rng.integers(0, 4, 200))
    pairs = list(zip(a.tolist(), b.tolist()))
    assert kappa(pairs, equal) == pytest.approx(sklearn.cohen_kappa_score(a, b))
    assert kappa(pairs, squared) == pytest.approx(sklearn.cohen_kappa_score(a, b, weights="quadratic"))


def test_where_nothing_can_be_said():
    assert alpha([], equal) is None
    assert alpha([["a"], ["b"]], equal) is None
    assert alpha([["a", "a"], ["a", "a"]], equal) is None
    assert kappa([], equal) is None
    assert kappa([("a", "a")], equal) is None


def test_perfect_and_none():
    assert alpha([["a", "a"], ["b", "b"]], equal) == 1
    assert kappa([("a", "b"), ("b", "a")], equal) == -1


def test_many_different_answers_are_sampled():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=3000)
    items = np.stack([truth, truth + 0.5 * rng.normal(size=3000)], 1)
    assert alpha(items.tolist(), squared) == pytest.approx(1 - 0.125 / items.var(), abs=0.05)
