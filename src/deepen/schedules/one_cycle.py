"""One cycle: up, then down to almost nothing, along half cosines.

    f = 1/start ... 1 while p <= rise, then 1 ... 1/(start end)        half a cosine each

Paper    Smith and Topin 2018, arXiv:1708.07120; cosines and figures as fast.ai and PyTorch have them.
Differs  momentum is not moved the other way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Positive, Share


class OneCycle(Schedule):
    """Up from a small rate to the full one, then far below where it began. Best without `warmup`.

    rise   share of the training on the way up
    start  how many times smaller the first rate is than the full one
    end    how many times smaller the last rate is than the first
    """

    def __init__(self, rise: Share = 0.3, start: Positive = 25.0, end: Positive = 1e4) -> None:
        self.rise, self.start, self.end = rise, start, end

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        if p < self.rise:
            return between(1 / self.start, 1.0, p / self.rise)
        return between(1.0, 1 / (self.start * self.end), (p - self.rise) / (1 - self.rise))


def between(first: float, last: float, q: float) -> float:
    """Half a cosine from one value to another."""
    return last + (first - last) * (1 + math.cos(math.pi * q)) / 2
