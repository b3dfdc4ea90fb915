"""A power of what is left of the training.

f = last + (1 - last) (1 - p)^power
"""

from __future__ import annotations

from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Positive, Share


class Polynomial(Schedule):
    """Down to `last` along a power of what is left; `linear` is the power 1.

    power  1: a straight line
    last   the factor at the end
    """

    aliases: dict[str, dict[str, float]] = {"linear": {"power": 1.0}}

    def __init__(self, power: Positive = 2.0, last: Share = 0.0) -> None:
        self.power, self.last = power, last

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        return self.last + (1 - self.last) * (1 - p) ** self.power
