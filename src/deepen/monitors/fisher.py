"""Whether each category, and what is missing, still has its share: Fisher's exact test of one share at a time.

    p_c = 2 min(P(X <= k), P(X >= k))        X hypergeometric: of n + m items K have category c, n are in the window
    p   = min(1, C min_c p_c)                C the number of categories: Bonferroni

Paper    Fisher 1922, Journal of the Royal Statistical Society 85, 87-94.
Differs  a chi-square test over all categories at once is only right where none is rare; new categories are rare in
         training. This one is exact for every count, and it names the category. The tail of largest probability is
         doubled. The effect is the population stability index. Where categories are too many to keep, or many were seen
         once only, every other item of training chooses which are kept, and the rest are counted: chosen and counted
         by the same items, what is kept looks more frequent than it is, and what is not, new ones above all, rarer.
Letters  n items of the window, m of training, k of the window's items have the category
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from deepen.monitors import Columns, Finding, floats, psi, shares, texts
from deepen.schema import Positive

MOST = 100  # categories kept of a column; the rarer ones are counted together
ONCE = 2  # categories seen a single time from which on as many may be there that were not seen at all
OTHER = "(other)"
HERE, MISSING = "(there)", "(missing)"


class Fisher:
    """Exact test of each category's share, and of what is missing.

    least  the smallest effect (PSI) an alarm is raised for; 0.02 is a share that goes from 5 % to 8.5 %
    """

    def __init__(self, least: Positive = 0.02) -> None:
        self.least = least

    def describe(self, columns: Columns) -> dict[str, Any]:
        """Counts of each column's categories, and of missing numbers under the column's name with ` missing`."""
        found = {name: _kept(values.tolist()) for name, values in texts(columns).items() if len(values)}
        return found | {name: _most(counts) for name, counts in _missing(columns).items() if counts}

    def test(self, kept: dict[str, Any], columns: Columns) -> list[Finding]:
        known = ((name, kept[name], _known(now, kept[name])) for name, now in _counts(columns).items() if name in kept)
        return [_test(name, before, now) for name, before, now in known if now and len({*before, *now}) > 1]


def _counts(columns: Columns) -> dict[str, Counter[str]]:
    """How often each category occurs."""
    return {name: Counter(values.tolist()) for name, values in texts(columns).items()} | _missing(columns)


def _missing(columns: Columns) -> dict[str, Counter[str]]:
    """How many numbers of each column are not there."""
    found = {}
    for name, values in floats(columns).items():
        missing = int(np.isnan(values).sum())
        found[f"{name} missing"] = +Counter({MISSING: missing, HERE: len(values) - missing})
    return found


def _kept(values: list[str]) -> dict[str, int]:
    """Counts of a column's categories, the rarer ones together."""
    counts = Counter(values)
    if len(counts) <= MOST and sum(count == 1 for count in counts.values()) <= ONCE:
        return _most(counts)
    chosen = _most(Counter(values[::2]))
    return dict.fromkeys(chosen, 0) | _known(Counter(values[1::2]), chosen)


def _most(counts: Counter[str]) -> dict[str, int]:
    """The most frequent categories; the others together."""
    order = sorted(counts, key=lambda category: (-counts[category], category))
    kept = {category: counts[category] for category in order[:MOST]}
    rest = counts.total() - sum(kept.values())
    return {**kept, OTHER: kept.get(OTHER, 0) + rest} if rest else kept


def _known(counts: Counter[str], kept: Mapping[str, int]) -> dict[str, int]:
    """The same, where those that were not kept count together."""
    found: dict[str, int] = {}
    for category in sorted(counts):
        key = category if category in kept else OTHER
        found[key] = found.get(key, 0) + counts[category]
    return found


def _test(name: str, kept: Mapping[str, int], found: Mapping[str, int]) -> Finding:
    names = [*kept, *(category for category in found if category not in kept)]
    before, now = (np.array([counts.get(category, 0) for category in names]) for counts in (kept, found))
    chances = [exact(k, int(now.sum()), b, int(before.sum())) for k, b in zip(now.tolist(), before.tolist())]
    worst = int(np.argmin(chances))
    tests = len(names) if len(names) > 2 else 1  # of two categories one says all
    p, q = before[worst] / before.sum(), now[worst] / now.sum()
    says = f"{names[worst]}: {p:.1%} -> {q:.1%}"
    return Finding(
        name, min(1.0, tests * chances[worst]), psi(before, now), says, int(now.sum()), tuple(names), shares(before), shares(now)
    )  # fmt: skip


def exact(k: int, n: int, b: int, m: int) -> float:
    """Two-sided chance of a split at least as uneven as k of n here and b of m there, if both have the same share."""
    whole = k + b
    if not whole or whole == n + m:
        return 1.0
    low, high = max(0, whole - m), min(whole, n)
    lower, upper = _tail(np.arange(k, low - 1, -1), n, m, whole), _tail(np.arange(k, high + 1), n, m, whole)
    return min(1.0, 2 * min(lower, upper))


def _tail(counts: np.ndarray, n: int, m: int, whole: int) -> float:
    """Sum of the hypergeometric chances of counts that lead away from the first one."""
    first = int(counts[0])
    start = _choices(n, first) + _choices(m, whole - first) - _choices(n + m, whole)
    ratios = _ratios(counts, n, m, whole)
    return float(np.exp(start + np.r_[0.0, np.cumsum(ratios)]).sum())


def _ratios(counts: np.ndarray, n: int, m: int, whole: int) -> np.ndarray:
    """Logarithms of how each chance relates to the one before it."""
    a = counts[:-1].astype(np.float64)
    if len(counts) < 2 or counts[1] > counts[0]:
        return np.log(((n - a) * (whole - a)) / ((a + 1) * (m - whole + a + 1)))
    return np.log((a * (m - whole + a)) / ((n - a + 1) * (whole - a + 1)))


def _choices(n: int, k: int) -> float:
    """Logarithm of n over k."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
