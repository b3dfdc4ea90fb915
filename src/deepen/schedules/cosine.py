"""Half a cosine.

    f = last + (1 - last) (1 + cos(pi p)) / 2

Paper    Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5, one cycle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Share


class Cosine(Schedule):
    """Half a cosine from 1 down to `last`; the default.

    last  the factor at the end
    """

    def __init__(self, last: Share = 0.0) -> None:
        self.last = last

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * p)) / 2
