"""Least confidence: ask where even the likeliest class has a low probability.

    1 - max_k p_k

Paper    Lewis and Gale 1994; Settles 2009, section 3.1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool


class LeastConfidence:
    """The items whose likeliest class has the lowest probability."""

    needs: ClassVar[tuple[str, ...]] = ("probabilities",)

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        assert pool.probabilities is not None
        return np.argsort(pool.probabilities.max(1), kind="stable")[:count]
