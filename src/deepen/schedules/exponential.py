"""By the same share in every step.

f = last^p
"""

from __future__ import annotations

from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Positive


class Exponential(Schedule):
    """Down to `last` by the same share in every step.

    last  the factor at the end
    """

    def __init__(self, last: Positive = 0.01) -> None:
        self.last = last

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        return self.last**p
