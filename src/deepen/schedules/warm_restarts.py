"""Half a cosine, again and again, each cycle longer than the last.

    f = last + (1 - last) (1 + cos(pi q)) / 2        q: the share of the cycle done; cycle n is grow^n times the first

Paper    Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Count, Share


class WarmRestarts(Schedule):
    """Half a cosine, then from the full rate again.

    cycles  how many there are
    grow    how many times as long each is as the one before
    last    the factor at the end of a cycle
    """

    aliases: dict[str, dict[str, float]] = {"sgdr": {}}

    def __init__(self, cycles: Count = 3, grow: Count = 2, last: Share = 0.0) -> None:
        self.cycles, self.grow, self.last = cycles, grow, last

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        lengths = [self.grow**n for n in range(self.cycles)]
        at = p * sum(lengths)
        for length in lengths[:-1]:
            if at < length:
                break
            at -= length
        else:
            length = lengths[-1]
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * at / length)) / 2
