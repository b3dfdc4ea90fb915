"""What notices that items or answers are no longer those of training, one test per file, NumPy only.

A monitor looks at columns: of each item one number (float, NaN where missing) or one category (text) under a name.

    describe(columns)     what it keeps of the training data, as JSON has it: sums and counts, never single items
    test(kept, columns)   a Finding for each column it can judge, for one window of items in service

Each Finding has a p-value that holds for windows of any size, and the size of the effect: with many items the smallest
change is significant, and only one of some size matters. `least` is the smallest effect an alarm is raised for.

PSI, the population stability index, is the symmetric form of the Kullback-Leibler divergence,

    psi = sum_i (q_i - p_i) log(q_i / p_i)        p, q: shares of the bins in training and in the window

which is d^2 for two normal distributions d standard deviations apart. Counted from n and m items it is too large by
about (bins - 1) (1/n + 1/m) where nothing has changed; that is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

Columns = Mapping[str, np.ndarray]  # name -> (n,): float with NaN for missing, or text


class Finding(msgspec.Struct, frozen=True):
    """One column in one window. `bins`, `before` and `now`: shares in training and in the window, for who wants to look."""

    column: str
    p: float
    effect: float
    says: str
    items: int
    bins: tuple[str, ...] = ()
    before: tuple[float, ...] = ()
    now: tuple[float, ...] = ()


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """Population stability index of two counts over the same bins, without what chance alone makes of it."""
    seen = (before + now) > 0
    p, q = ((counts[seen] + 0.5) / (counts.sum() + 0.5 * seen.sum()) for counts in (before, now))
    by_chance = (seen.sum() - 1) * (1 / before.sum() + 1 / now.sum())
    return max(0.0, float(((q - p) * np.log(q / p)).sum() - by_chance))


def shares(counts: np.ndarray) -> tuple[float, ...]:
    """Counts as shares of their sum, to five digits."""
    return tuple(float(f"{share:.5g}") for share in (counts / max(counts.sum(), 1)).tolist())


def quantiles(values: np.ndarray, count: int) -> np.ndarray:
    """So many quantiles, ends among them, each a value that occurs, rounded to about a thousandth of their span.

    They are kept in files that travel: nobody's exact salary is to be found there.
    """
    found = np.quantile(values, np.linspace(0, 1, count), method="inverted_cdf")
    span = float(found[-1] - found[0])
    if not 1e-300 < span < 1e300:
        return found
    return np.round(found, 3 - math.floor(math.log10(span)))


Sketch = dict[str, float] | list[float]  # category -> share, or evenly spaced quantiles
SKETCHED = 50  # quantiles, and categories, the others of which are taken together


def sketches(before: np.ndarray, now: np.ndarray) -> tuple[Sketch, Sketch]:
    """Two columns of the same items in few numbers. What differs by less than a hundredth of the numbers' scatter, or a
    thousandth of their size, may be the same then: rounding is no change.
    """
    if before.dtype.kind == "U":
        names, counts = np.unique(np.concatenate([before, now]), return_counts=True)
        most = names[np.argsort(-counts, kind="stable")[:SKETCHED]].tolist()
        return tuple({name: float((values == name).mean()) for name in most} for values in (before, now))  # type: ignore
    there = [values[~np.isnan(values)] for values in (before, now)]
    both = np.concatenate(there)
    step = 0.01 * float(both.std()) + 1e-3 * float(np.median(np.abs(both))) if len(both) else 0.0
    return tuple(_spaced(np.round(values / step) * step if step else values) for values in there)  # type: ignore


def _spaced(values: np.ndarray) -> list[float]:
    return np.quantile(values, np.linspace(0, 1, SKETCHED), method="inverted_cdf").tolist() if len(values) else []


def chance(p: float) -> str:
    """A p-value for a person: how small the smallest ones are says nothing any more."""
    return "< 1e-9" if p < 1e-9 else f"{p:.2g}" if p >= 1e-3 else f"{p:.0e}"


def texts(columns: Columns) -> dict[str, np.ndarray]:
    """The columns that hold categories."""
    return {name: values for name, values in columns.items() if values.dtype.kind == "U"}


def floats(columns: Columns) -> dict[str, np.ndarray]:
    """The columns that hold numbers."""
    return {name: values for name, values in columns.items() if values.dtype.kind == "f"}
