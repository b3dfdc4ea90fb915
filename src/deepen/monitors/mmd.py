"""Whether all columns together still have their joint distribution: discrepancy of the means of random features.

    T = n m / (n + m) d' (C + g)^-1 d        d = mean phi(window) - mean phi(training)
    without a change T is distributed as sum_i l_i / (l_i + g) chi2_1        l_i the eigenvalues of C = cov(phi)

The discrepancy of the means alone (Gretton et al. 2012) hardly sees, from ten columns on, that two of them no longer go
together: it is ruled by what varies most. Weighed by the covariance (Harchaoui, Bach and Moulines 2007) it does.

Paper    Gretton et al. 2012, JMLR 13, 723-773; Harchaoui et al. 2007, NeurIPS; Rahimi and Recht 2007, NeurIPS (phi);
         Kuonen 1999, Biometrika 86, 929-935 (the chance that such a sum exceeds T: saddlepoint).
Differs  phi(z) = [cos W z, sin W z], each row of W looks at two columns; numbers enter as their rank among training's
         quantiles, so that no outlier decides, a category as a random direction of its own. g is a share of the
         mean eigenvalue. Training keeps the mean and the covariance of phi: no item can be had from them.
Letters  n items of the window, m of training, F random frequencies (rows of W), z the columns of an item
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from typing import Any

import numpy as np

from deepen.monitors import Columns, Finding, floats, quantiles, texts
from deepen.schema import Positive

FREQUENCIES = 64  # at most
EACH = 32  # training items for each frequency: from fewer the covariance is too uncertain, and p too small
FEWEST = 50  # items of a window: the mean of fewer is not yet normal
RIDGE = 0.3  # g, as a share of the mean eigenvalue
GRID = 33  # quantiles kept of each number
NAME = "all together"


class MMD:
    """Test of all columns at once: finds that they no longer go together as they did.

    least  the smallest effect (squared distance of the means as a share of the scatter) an alarm is raised for
    """

    def __init__(self, least: Positive = 0.003) -> None:
        self.least = least

    def describe(self, columns: Columns) -> dict[str, Any]:
        """The random features' mean and covariance; nothing for a single column or very few items."""
        grids = {name: _grid(values) for name, values in floats(columns).items()}
        grids = {name: grid for name, grid in grids.items() if grid[0] < grid[-1]}
        names = [*grids, *texts(columns)]
        frequencies = min(FREQUENCIES, len(columns[names[0]]) // EACH) if len(names) > 1 else 0
        if frequencies < 2:
            return {}
        phi = _features(grids, names, columns, frequencies)
        spread = np.cov(phi.T)
        if np.trace(spread) < 1e-9:
            return {}
        return {
            "columns": names,
            "quantiles": grids,
            "items": len(phi),
            "mean": _text(phi.mean(0)),
            "covariance": _text(spread[np.tril_indices(len(spread))]),
        }

    def test(self, kept: dict[str, Any], columns: Columns) -> list[Finding]:
        n = len(next(iter(columns.values()), ()))
        if not kept or n < FEWEST or not set(kept["columns"]) <= columns.keys():
            return []
        mean = _numbers(kept["mean"])
        eigenvalues, vectors = np.linalg.eigh(_covariance(kept["covariance"], len(mean)))
        eigenvalues = np.maximum(eigenvalues, 0)
        ridge = RIDGE * eigenvalues.mean()
        phi = _features(kept["quantiles"], kept["columns"], columns, len(mean) // 2)
        moved = (phi.mean(0) - mean) @ vectors
        distance = float((moved**2 / (eigenvalues + ridge)).sum())
        weights, m = eigenvalues / (eigenvalues + ridge), kept["items"]
        effect = max(0.0, distance / float(weights.sum()) - (1 / n + 1 / m))
        p = weighted_chi2(distance * n * m / (n + m), weights)
        return [Finding(NAME, p, effect, f"moved by {effect:.2%} of the scatter", n)]


def _text(values: np.ndarray) -> str:
    """Numbers as text that JSON carries in few bytes: float32 in base64."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)


def _covariance(text: str, size: int) -> np.ndarray:
    """The symmetric matrix whose lower half was kept."""
    whole = np.zeros((size, size))
    rows, columns = np.tril_indices(len(whole))
    whole[rows, columns] = whole[columns, rows] = _numbers(text)
    return whole


def _grid(values: np.ndarray) -> list[float]:
    values = values[~np.isnan(values)].astype(np.float64)
    return quantiles(values, GRID).tolist() if len(values) else [0.0, 0.0]


def _features(grids: dict[str, list[float]], names: list[str], columns: Columns, frequencies: int) -> np.ndarray:
    """phi (n, 2 F)."""
    turned = np.zeros((len(columns[names[0]]), frequencies))
    for name, looked in zip(names, _pairs(len(names), frequencies)):
        values = columns[name]
        if name in grids:
            turned[:, looked] += np.outer(_rank(np.array(grids[name]), values), _direction(name)[:frequencies][looked])
        else:
            present, place = np.unique(values, return_inverse=True)
            turned[:, looked] += np.stack(
                [_direction(f"{name}\0{category}")[:frequencies][looked] for category in present]
            )[place]
    turned /= math.sqrt(2)  # the width of the kernel: two items differ by 2 a column in the mean
    return np.concatenate([np.cos(turned), np.sin(turned)], axis=1)


def _pairs(count: int, frequencies: int) -> np.ndarray:
    """Which frequencies look at each of so many columns, bool (columns, F): all pairs in turn, in a fixed random order."""
    pairs = [(a, b) for b in range(count) for a in range(b)]
    order = np.random.RandomState(0).permutation(len(pairs))
    looked = np.zeros((count, frequencies), bool)
    for f in range(frequencies):
        looked[list(pairs[order[f % len(pairs)]]), f] = True
    return looked


def _rank(grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where a value stands among the training values, with mean 0 and variance 1; missing is the middle.

    A value that training had often stands in the middle of its like.
    """
    steps = np.linspace(0, 1, len(grid))
    low, high = np.searchsorted(grid, values, "left"), np.searchsorted(grid, values, "right")
    between = np.interp(values, grid, steps)
    tied = steps[np.minimum(low, len(grid) - 1)] + steps[np.clip(high - 1, 0, len(grid) - 1)]
    rank = np.where(high - low > 1, tied / 2, between)
    return np.where(np.isnan(values), 0.0, (rank - 0.5) * math.sqrt(12))


@functools.lru_cache(100_000)
def _direction(name: str) -> np.ndarray:
    """Normal numbers, one a frequency, that belong to a name, the same everywhere and always (the stream of RandomState is frozen)."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest())
    return np.random.RandomState(seed).standard_normal(FREQUENCIES)


def weighted_chi2(q: float, weights: np.ndarray) -> float:
    """Chance that sum_i w_i chi2_1 exceeds q (Kuonen 1999, eq. 3-4, after Lugannani and Rice)."""
    weights = weights[weights > 1e-9 * weights.max()]
    mean = float(weights.sum())
    if q <= 0:
        return 1.0
    if abs(q - mean) < 1e-4 * mean:  # the formula is 0 / 0 there: a step aside on either side
        return (weighted_chi2(mean * (1 - 3e-4), weights) + weighted_chi2(mean * (1 + 3e-4), weights)) / 2
    z = _saddle(q, weights)
    inner = 1 - 2 * z * weights
    w = math.copysign(math.sqrt(2 * (z * q + 0.5 * float(np.log(inner).sum()))), z)
    v = z * math.sqrt(2 * float(((weights / inner) ** 2).sum()))
    return min(1.0, max(0.0, 0.5 * math.erfc((w + math.log(v / w) / w) / math.sqrt(2))))


def _saddle(q: float, weights: np.ndarray) -> float:
    """Where the cumulant generating function has slope q: by halving, the slope rises all the way."""
    low, high = -len(weights) / (2 * q), (1 - 1e-12) / (2 * float(weights.max()))
    for _ in range(200):
        middle = (low + high) / 2
        if float((weights / (1 - 2 * middle * weights)).sum()) < q:
            low = middle
        else:
            high = middle
    return (low + high) / 2
