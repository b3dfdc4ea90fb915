"""Bootstrap intervals: their coverage, their limits, and the two ways of resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepen import metrics
from deepen.evaluation import intervals as own
from deepen.evaluation.intervals import chance, intervals, wilson
from deepen.kinds.classes import Classes
from deepen.kinds.number import Number
from deepen.tensors import Tensor


class Plain:
    """A kind that only has plain metrics."""

    width = 1
    results = (Tensor("value", "float32", ("batch", 1)),)

    def metrics(self, target, outputs):
        return metrics.number(target, outputs["value"][:, 0])


class Ragged(Plain):
    results = (Tensor("value", "float32", ("found", 1), join="concat"),)


class Windows(Number):
    block = 20


def numbers(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=n)
    return target, {"value": (target + rng.normal(size=n))[:, None]}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == pytest.approx(b[name]), name


def test_coverage_of_the_bootstrap():
    """The mean error's true value is 0: of 100 intervals about 93 hold it (95 from many items and resamples)."""
    times, held = 200, 0
    for seed in range(times):
        _, low, high = intervals(Number(), *numbers(60, seed), seed=seed, resamples=100)["bias"]
        held += low <= 0 <= high
    assert abs(held / times - 0.93) < 4 * math.sqrt(0.93 * 0.07 / times)


def test_a_mean_has_its_usual_interval():
    target, outputs = numbers(400)
    value, low, high = intervals(Number(), target, outputs, resamples=4000)["bias"]
    half = 1.96 * (outputs["value"][:, 0] - target).std() / math.sqrt(400)
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.06 * half)


def test_coverage_of_shares():
    """Accuracy 0.9 on 40 items: Wilson's interval holds it about 95 times in 100, also where all answers are right."""
    rng, times = np.random.default_rng(0), 2000
    held = 0
    for right in rng.binomial(40, 0.9, times):
        low, high = wilson(right / 40, 40)
        held += low <= 0.9 <= high
    assert abs(held / times - 0.95) < 0.02


def test_wilson_by_hand():
    # Newcombe 1998, table I: 81 of 263 is 0.2553 to 0.3662; 0 of 20 is 0 to 0.1611
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_all_right_is_not_certain():
    p = np.eye(2)[np.zeros(5, int)]
    value, low, high = intervals(Classes(("a", "b")), np.zeros(5, int), {"probabilities": p})["accuracy"]
    assert (value, high) == (1, 1)
    assert low < 0.6


def answers(right: np.ndarray) -> dict[str, np.ndarray]:
    """Of two classes, where the first one is always right."""
    return {"probabilities": np.stack([right, ~right], 1).astype(float)}


@pytest.mark.parametrize(
    ("gained", "lost", "exact"), [(8, 0, 1 / 256), (5, 0, 1 / 32), (3, 1, 5 / 16), (1, 3, 15 / 16), (0, 0, 1)]
)
def test_of_right_and_wrong_chance_is_the_sign_test(gained, lost, exact):
    rows = np.arange(40)
    before, after = rows >= gained, (rows < 40 - lost)
    found = chance(Classes(("a", "b")), np.zeros(40, int), answers(before), answers(after))
    assert abs(found - exact) < 4 * math.sqrt(exact * (1 - exact) / 2000) + 1 / 2000


def test_of_errors_less_is_better_and_neighbours_are_swapped_together():
    target, worse = numbers(60)
    better = {"value": (worse["value"] + target[:, None]) / 2}
    assert chance(Number(), target, worse, better) == 1 / 2001
    assert chance(Number(), target, better, worse) == 1
    assert abs(chance(Windows(), target, worse, better) - 1 / 8) < 0.03  # as they are all three stay
    assert math.isnan(chance(Number(), target[:1], {"value": target[:1, None]}, {"value": target[:1, None]}))


def test_the_two_ways_agree():
    target, outputs = numbers(50)
    same(intervals(Number(), target, outputs), intervals(Plain(), target, outputs))


def test_in_chunks_as_in_one(monkeypatch):
    target, outputs = numbers(50)
    whole = intervals(Number(), target, outputs)
    monkeypatch.setattr(own, "CHUNK", 350)
    same(intervals(Number(), target, outputs), whole)


def test_what_cannot_be_drawn_has_no_interval():
    value, low, high = intervals(Ragged(), *numbers(20))["rmse"]
    assert value > 0
    assert math.isnan(low)
    assert math.isnan(high)


def test_one_item_has_no_interval():
    value, low, high = intervals(Number(), np.array([1.0]), {"value": np.array([[3.0]])})["rmse"]
    assert value == 2
    assert math.isnan(low)
    assert math.isnan(high)


def test_same_seed_same_interval():
    assert intervals(Number(), *numbers(30)) == intervals(Number(), *numbers(30))
    assert intervals(Number(), *numbers(30)) != intervals(Number(), *numbers(30), seed=1)


def test_large_sets_are_resampled_less_often(monkeypatch):
    seen = []
    monkeypatch.setattr(own, "BUDGET", 20_000)
    original = own._counts
    monkeypatch.setattr(own, "_counts", lambda n, times, *more: seen.append(times) or original(n, times, *more))
    for n in (10, 100, 1000):
        intervals(Number(), *numbers(n))
    assert seen == [400, 200, own.FEWEST]


def test_a_calibrated_network_has_its_error_within_its_interval():
    """Gaps of either sign add up: resampling alone opens some where there are none."""
    right = np.repeat([0.55, 0.7, 0.9], 100)
    target = (np.tile(np.arange(100), 3) >= np.round(right * 100)).astype(int)
    value, low, high = intervals(Classes(("a", "b")), target, {"probabilities": np.stack([right, 1 - right], 1)})["ece"]
    assert low <= value < 1e-6 < high < 0.06
