"""Bootstrap intervals: the figures over resampled items (Efron 1979, percentile method). Torch-free.

Shares of items (accuracy) get Wilson's interval (Wilson 1927): resampling says nothing where all answers are right,
Wilson's stays honest there and for a handful of items. Items that overlap with those beside them, as windows of a series
do, are resampled in blocks (circular block bootstrap, Politis and Romano 1992): a kind says in `block` of how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from deepen.metrics import higher_is_better
from deepen.tensors import Arrays, join

RESAMPLES = 400
FEWEST = 100
SWAPS = 2000, 300  # draws of `chance` at the most and at the least
BUDGET = 100_000_000  # items x outputs x resamples looked at in all: some seconds; large sets are resampled less often
CHUNK = 500_000  # counts held at a time: what fits into a processor's cache

Interval = tuple[float, float, float]


def intervals(
    kind: Any, target: np.ndarray, outputs: Arrays, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Each metric of the kind as (value, low, high). NaN: not defined for these items, or no interval from one item."""
    n = len(target)
    times = max(FEWEST, min(resamples, BUDGET // max(n * kind.width, 1)))
    block = getattr(kind, "block", 1)
    resampled = getattr(kind, "resampled", None)  # a kind without it is measured draw by draw
    if resampled is None:
        plain = kind.metrics(target, outputs)
        if any(t.join != "stack" for t in kind.results):  # parts of items cannot be drawn by the item's number
            return {name: (value, float("nan"), float("nan")) for name, value in plain.items()}
        rows = [_draw_metrics(kind, target, outputs, draw) for draw in _draws(n, times, seed, block)]
        drawn = {name: np.array([row.get(name, np.nan) for row in rows]) for name in plain}
    else:
        plain = {name: float(v[0]) for name, v in resampled(target, outputs, np.ones((1, n))).items()}
        parts = [resampled(target, outputs, counts) for counts in _counts(n, times, seed, block)]
        drawn = {name: np.concatenate([part[name] for part in parts]) for name in plain}
    for name in getattr(kind, "distances", ()):  # between sets: doubled items move them apart
        drawn[name] = np.maximum(drawn[name] + plain[name] - np.median(drawn[name]), 0)
    shares = getattr(kind, "shares", ())
    return {
        name: (value, *(wilson(value, n, level) if name in shares else _percentiles(drawn[name], n, level)))
        for name, value in plain.items()
    }


def weighted(
    kind: Any, target: np.ndarray, outputs: Arrays, weights: np.ndarray, level: float = 0.95, seed: int = 0
) -> Interval:
    """The figure that decides where items (n,) stand for unequally many; NaN for a kind that cannot be measured so.

    Of a share the interval is Wilson's for (sum w)^2 / sum w^2 items (Kish 1965): as many as would say as much unweighted.
    """
    resampled = getattr(kind, "resampled", None)
    if resampled is None:
        return (float("nan"),) * 3
    figure = lambda counts: resampled(target, outputs, counts)[kind.metric]
    value, n = float(figure(weights[None])[0]), len(target)
    if kind.metric in getattr(kind, "shares", ()):
        return value, *wilson(value, weights.sum() ** 2 / (weights**2).sum(), level)
    times = max(FEWEST, min(RESAMPLES, BUDGET // max(n * kind.width, 1)))
    drawn = np.concatenate([figure(counts * weights) for counts in _counts(n, times, seed, 1)])
    return value, *_percentiles(drawn, n, level)


def change(
    kind: Any, target: np.ndarray, before: Arrays, after: Arrays, level: float = 0.95, seed: int = 0
) -> Interval:
    """How much the figure that decides moves from one model's answers to another's, on the same items; paired.

    Without an interval (NaN) where the kind cannot be measured over many resamples at once.
    """
    resampled = getattr(kind, "resampled", None)
    if resampled is None:
        moved = kind.metrics(target, after)[kind.metric] - kind.metrics(target, before)[kind.metric]
        return moved, float("nan"), float("nan")
    gap = lambda counts: resampled(target, after, counts)[kind.metric] - resampled(target, before, counts)[kind.metric]
    n = len(target)
    times = max(FEWEST, min(RESAMPLES, BUDGET // max(n * kind.width, 1)))
    drawn = np.concatenate([gap(counts) for counts in _counts(n, times, seed, getattr(kind, "block", 1))])
    return float(gap(np.ones((1, n)))[0]), *_percentiles(drawn, n, level)


def chance(kind: Any, target: np.ndarray, before: Arrays, after: Arrays, seed: int = 0) -> float:
    """How often one of two models that are equally good is better by as much as the second is here, or more; in 0 ... 1.

    A permutation test (Fisher 1935): of each item it is drawn anew which answer is whose. Of right and wrong it is the sign
    test, and it holds for a handful of items, where the percentiles of resamples promise too much. NaN: not to be said.
    """
    resampled, n = getattr(kind, "resampled", None), len(target)
    if resampled is None or n < 2:
        return float("nan")
    sign, twice = (1 if higher_is_better(kind.metric) else -1), np.concatenate([target, target])
    answers = join(kind.results, [before, after])
    figure = lambda own: sign * resampled(twice, answers, own.astype(float))[kind.metric]
    gap = lambda swapped: figure(np.hstack([swapped, ~swapped])) - figure(np.hstack([~swapped, swapped]))
    rng, most, least = np.random.default_rng(seed), *SWAPS
    times = max(least, min(most, BUDGET // max(2 * n * kind.width, 1)))
    some = max(1, CHUNK // (2 * n))
    drawn = [gap(_coins(rng, min(some, times - at), n, getattr(kind, "block", 1))) for at in range(0, times, some)]
    gaps = np.concatenate(drawn)
    here = gap(np.zeros((1, n), bool))[0]
    if np.isnan(here):
        return float("nan")
    return float((1 + (gaps >= here - 1e-12).sum()) / (1 + (~np.isnan(gaps)).sum()))


def _coins(rng: np.random.Generator, times: int, n: int, block: int) -> np.ndarray:
    """Heads or tails (times, n), the same for a block of neighbours."""
    return np.repeat(rng.random((times, -(-n // block))) < 0.5, block, axis=1)[:, :n]


def wilson(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of n items (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _percentiles(values: np.ndarray, n: int, level: float) -> tuple[float, float]:
    """Of the resamples in which the figure is defined."""
    values = values[~np.isnan(values)]
    if n < 2 or not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _draws(n: int, times: int, seed: int, block: int) -> Iterator[np.ndarray]:
    """Rows of each resample: blocks of rows that follow each other, the last one cut, the first after the last."""
    rng = np.random.default_rng(seed)
    if block == 1:
        return (rng.integers(n, size=n) for _ in range(times))
    within = np.arange(block)
    return (((rng.integers(n, size=-(-n // block))[:, None] + within) % n).ravel()[:n] for _ in range(times))


def _counts(n: int, times: int, seed: int, block: int) -> Iterator[np.ndarray]:
    """How often each resample holds each item, some resamples at a time: (R, n)."""
    some = max(1, CHUNK // n)
    draws = _draws(n, times, seed, block)
    while batch := [np.bincount(draw, minlength=n) for _, draw in zip(range(some), draws)]:
        yield np.array(batch, float)


def _draw_metrics(kind: Any, target: np.ndarray, outputs: Arrays, rows: np.ndarray) -> dict[str, float]:
    return kind.metrics(target[rows], {name: array[rows] for name, array in outputs.items()})
