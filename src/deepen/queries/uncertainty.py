"""What the kind of answer itself calls uncertain: for labels, boxes and classes alike.

Paper  Lewis and Gale 1994, SIGIR, 3-12 (uncertainty sampling); what is uncertain stands in the kind's own file.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from deepen.queries import Pool


class Uncertainty:
    """The items of whose answer the model is least sure, as the kind of answer measures it."""

    needs: ClassVar[tuple[str, ...]] = ("uncertainty",)

    def order(self, pool: Pool, count: int, seed: int) -> np.ndarray:
        assert pool.uncertainty is not None
        return np.argsort(-pool.uncertainty, kind="stable")[:count]
