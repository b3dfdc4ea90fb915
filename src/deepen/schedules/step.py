"""Equal steps down.

f = factor^floor(p stretches)
"""

from __future__ import annotations

from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Count, Share


class Step(Schedule):
    """The rate falls by a factor after each of several equally long stretches.

    stretches  how many
    factor     by which the rate is multiplied after each
    """

    def __init__(self, stretches: Count = 3, factor: Share = 0.1) -> None:
        self.stretches, self.factor = stretches, factor

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        return self.factor ** min(int(p * self.stretches), self.stretches - 1)
