"""Entropy sampling: ask where the answer is spread most evenly over all classes.

    - sum_k p_k log p_k

Paper    Settles 2009, Active Learning Literature Survey, section 3.1 (Shannon 1948).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool


class Entropy:
    """The items whose answer is spread most evenly over all classes."""

    needs: ClassVar[tuple[str, ...]] = ("probabilities",)

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        assert pool.probabilities is not None
        p = pool.probabilities.astype(np.float64)
        terms = p * np.log(p, out=np.zeros_like(p), where=p > 0)  # 0 log 0 = 0
        return np.argsort(terms.sum(1), kind="stable")[:count]
