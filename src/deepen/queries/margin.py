"""Margin sampling: ask where the two likeliest classes are closest to each other.

    p_first - p_second

Paper    Scheffer, Decomain and Wrobel 2001; Settles 2009, section 3.1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool


class Margin:
    """The items whose two likeliest classes are closest to each other."""

    needs: ClassVar[tuple[str, ...]] = ("probabilities",)

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        assert pool.probabilities is not None
        second, first = np.partition(pool.probabilities, -2, axis=1)[:, -2:].T
        return np.argsort(first - second, kind="stable")[:count]
