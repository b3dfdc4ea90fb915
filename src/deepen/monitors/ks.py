"""Whether the numbers of a column still have their distribution: Kolmogorov-Smirnov over training's quantiles.

    D = max_e |F_n(e) - F_m(e)|        p = 2 sum_k (-1)^(k-1) exp(-2 k^2 D^2 n m / (n + m))

Paper    Smirnov 1948, Annals of Mathematical Statistics 19, 279-281, for two samples.
Differs  the distance is taken at kept quantiles only, so D, and with it p, errs on the side of no alarm; so it does
         where values repeat. The effect is the population stability index of the same bins.
Letters  n items of the window, m of training, e the edges: quantiles of the training values, smallest and largest among them
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from deepen.console import digits
from deepen.monitors import Columns, Finding, floats, psi, quantiles, shares
from deepen.schema import Positive

BINS = 20


class KS:
    """Kolmogorov-Smirnov test of each number, over quantiles of the training values.

    least  the smallest effect (PSI) an alarm is raised for; 0.02 is a shift by 0.14 standard deviations
    """

    def __init__(self, least: Positive = 0.02) -> None:
        self.least = least

    def describe(self, columns: Columns) -> dict[str, Any]:
        """Edges and counts of each column; a value at an edge belongs to the bin below it."""
        return {name: kept for name, values in floats(columns).items() if (kept := _bins(values))}

    def test(self, kept: dict[str, Any], columns: Columns) -> list[Finding]:
        found = (
            _test(name, kept[name], values[~np.isnan(values)])
            for name, values in floats(columns).items()
            if name in kept
        )
        return [finding for finding in found if finding is not None]

    def likelier(self, kept: dict[str, Any], columns: Columns) -> list[np.ndarray]:
        """Of each column, by item, log(q / p) of the bin it lies in: its share now over that in training; missing is 0."""
        return [_likelier(kept[name], values) for name, values in floats(columns).items() if name in kept]


def _likelier(kept: dict[str, Any], values: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values)
    edges, before = np.array(kept["edges"]), np.array(kept["counts"])
    now = _counts(edges, values[there])
    q, p = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (now, before))
    found = np.zeros(len(values))
    found[there] = np.log(q / p)[np.searchsorted(edges, values[there], "left")]
    return found


def _bins(values: np.ndarray) -> dict[str, Any]:
    values = values[~np.isnan(values)].astype(np.float64)
    if not len(values):
        return {}
    found = quantiles(values, BINS + 1)
    edges = np.unique(np.r_[np.nextafter(found[0], -np.inf), found])  # the first bin lies below all values
    return {"edges": edges.tolist(), "counts": _counts(edges, values).tolist()}


def _counts(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1)


def _test(name: str, kept: dict[str, Any], values: np.ndarray) -> Finding | None:
    if not len(values):
        return None  # all of it missing: that share has a test of its own
    edges, before = np.array(kept["edges"]), np.array(kept["counts"])
    now = _counts(edges, values)
    n, m = now.sum(), before.sum()
    gaps = np.cumsum(now) / n - np.cumsum(before) / m
    at = int(np.abs(gaps).argmax())
    more = "more" if gaps[at] > 0 else "fewer"
    says = (
        f"median {digits(_quantile(edges, before))} -> {digits(float(np.median(values)))}; "
        f"{abs(gaps[at]):.1%} {more} at or below {digits(float(edges[min(at, len(edges) - 1)]))}"
    )
    p = kolmogorov(float(abs(gaps[at])) * math.sqrt(n * m / (n + m)))
    bins = (f"below {digits(edges[1])}", *(f"to {digits(edge)}" for edge in edges[1:]), f"above {digits(edges[-1])}")
    return Finding(name, p, psi(before, now), says, int(n), bins, shares(before), shares(now))


def _quantile(edges: np.ndarray, counts: np.ndarray, share: float = 0.5) -> float:
    """The value that a share of the training values does not exceed, to the next edge."""
    return float(edges[min(int(np.searchsorted(np.cumsum(counts), share * counts.sum())), len(edges) - 1)])


def kolmogorov(x: float) -> float:
    """Chance that sqrt(n m / (n + m)) D exceeds x where nothing has changed, for large n and m (Smirnov 1948)."""
    if x < 0.2:
        return 1.0  # the series converges slowly there; 1 to 12 digits
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 40))
    return min(1.0, 2 * math.fsum(terms))
