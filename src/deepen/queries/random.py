"""Any item with equal chance: what the others must beat, and the only choice that leaves the labels unbiased.

p = 1 / n for each of n items
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool


class Random:
    """Any item with equal chance: unbiased, and what the others must beat."""

    needs: ClassVar[tuple[str, ...]] = ()

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).permutation(pool.size)[:count]
