"""Core-set: ask about items that lie far from everything that has a label, one after the other.

    next = argmax over the pool of the distance to the nearest item labelled or already chosen     (k-centre, greedy)

Paper    Sener and Savarese 2018, arXiv:1708.00489, algorithm 1.
Differs  the greedy solution only, without the mixed-integer step that sets outliers aside; where nothing has a label,
         it begins with the item nearest to the mean.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool

CHUNK = 256  # labelled items compared at once


class CoreSet:
    """Items far, in the model's features, from everything labelled or chosen before (k-centre, greedy)."""

    needs: ClassVar[tuple[str, ...]] = ("features",)

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        assert pool.features is not None
        x = pool.features.astype(np.float64)  # (n, d)
        far = np.full(len(x), np.inf)
        chosen: list[int] = []
        if pool.labelled is not None and len(pool.labelled):
            for start in range(0, len(pool.labelled), CHUNK):
                far = np.minimum(far, _squared(x, pool.labelled[start : start + CHUNK]).min(1))
        elif len(x):
            chosen.append(int(_squared(x, x.mean(0, keepdims=True))[:, 0].argmin()))
        while len(chosen) < min(count, len(x)):
            if chosen:
                far = np.minimum(far, ((x - x[chosen[-1]]) ** 2).sum(1))
                far[chosen[-1]] = -1  # not again, even where copies leave nothing but distances of 0
            chosen.append(int(far.argmax()))
        return np.array(chosen[:count], int)


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m)."""
    b = b.astype(np.float64)
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)
