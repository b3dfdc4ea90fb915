"""Queries say which unlabelled items to ask about first. One file each, NumPy only.

needs                     what of the pool it looks at: probabilities, features, uncertainty
order(pool, count, seed)  places in the pool (count,), the most wanted first
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pool(NamedTuple):
    """What is known of n unlabelled items; None where the query does not need it."""

    size: int
    probabilities: np.ndarray | None = None  # (n, K), each row one distribution over classes
    features: np.ndarray | None = None  # (n, d)
    labelled: np.ndarray | None = None  # (m, d), the features of the items that have a label
    uncertainty: np.ndarray | None = None  # (n,), as the kind of answer says it
