"""Slower or not: two hundred equal pairs of versions, and thirty of which one is slow."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from deepen.serving.pace import FINE, by_chance, p95, seconds_of, slow, step


def paced(seconds) -> Counter[int]:
    return Counter(map(step, seconds))


def test_the_scale_and_its_percentile():
    seconds = np.random.default_rng(0).lognormal(-4, 1, 5000)
    for value in (1e-9, 1e-6, *seconds[:50]):
        assert value <= seconds_of(step(value)) or value < 1e-6
    found = p95(paced(seconds))
    assert 1 <= found / np.quantile(seconds, 0.95) < 2 ** (1 / FINE) + 1e-3
    assert p95(paced([0.0625] * 19 + [1.0])) == 0.0625  # 95 of 100, not one more


def test_the_bound_holds_and_is_not_far_from_the_chance():
    for n, k in ((20, 9), (100, 20), (1000, 90)):
        exact = math.fsum(math.comb(n, i) * 0.05**i * 0.95 ** (n - i) for i in range(k, n + 1))
        assert exact <= by_chance(k, n, 0.05) < 40 * exact
    assert by_chance(20, 20, 0.05) == pytest.approx(0.05**20)
    assert by_chance(1, 20, 0.05) == 1.0


def service(rng, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of requests dealt out to two equal versions: their sizes, a busy machine, halts that hit whoever is there."""
    base = rng.choice([0.0005, 0.005, 0.05, 0.5])
    seconds = base * rng.lognormal(0, 0.5, count) * np.repeat(rng.uniform(1, 4, -(-count // 50)), 50)[:count]
    for at in rng.integers(0, count, count // 100):
        seconds[at : at + rng.integers(1, 30)] += rng.exponential(0.2)
    return seconds, rng.random(count) < rng.choice([0.1, 0.5])


def first(seconds: np.ndarray, new: np.ndarray) -> int | None:
    """After how many answers of the new one it goes, looked at after every ten requests."""
    before, now = Counter(), Counter()
    for at, (value, mine) in enumerate(zip(seconds, new), 1):
        (now if mine else before)[step(value)] += 1
        if at % 10 == 0 and slow(before, now, 3.0):
            return now.total()
    return None


def test_of_two_hundred_equal_pairs_none_goes():
    rng = np.random.default_rng(1)
    assert [first(*service(rng, 1000)) for _ in range(200)] == [None] * 200


def test_of_thirty_slow_ones_all_go_within_a_hundred_answers():
    """Six times as slow, or a third of the answers five times the mean late. What is in the noise of threads is not meant."""
    rng = np.random.default_rng(2)
    found = []
    for number in range(30):
        seconds = rng.choice([0.02, 0.05, 0.5]) * rng.lognormal(0, 0.3, 2000)
        new = rng.random(2000) < 0.5
        slower = seconds * 6 if number % 2 else seconds + (5 * seconds.mean() + 0.05) * (rng.random(2000) < 1 / 3)
        found.append(first(np.where(new, slower, seconds), new))
    assert all(count is not None and count <= 100 for count in found), found


def test_few_requests_small_differences_and_a_factor_of_nothing_say_nothing():
    quick, late = paced([0.02] * 19), paced([0.5] * 19)
    assert slow(quick, late, 3.0) == ""
    quick, late = paced([0.02] * 50), paced([0.5] * 50)
    assert (
        slow(quick, late, 3.0)
        == "its answers take up to 500 ms an item (95 % of them), those of the version before 22.1 ms"
    )
    assert slow(quick, late, 0.0) == slow(late, quick, 3.0) == ""
    assert slow(paced([0.001] * 99), paced([0.01] * 99), 3.0) == ""  # ten times as slow, by less than the noise
    assert slow(quick, paced([0.02] * 90 + [0.5] * 10), 3.0) == ""  # a tenth of them may be chance
