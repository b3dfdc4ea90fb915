"""Lower when what is monitored no longer gets better.

f = factor^n        n: how often more than `patience` epochs in a row brought nothing better than the best so far
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Natural, NonNegative, Share


class Plateau(Schedule):
    """The rate falls when what is monitored has not risen for some epochs.

    factor    by which the rate is then multiplied
    patience  epochs in a row without a better figure that are let pass
    least     a figure is better if it is by more than this
    """

    aliases: dict[str, dict[str, float]] = {"reduce_on_plateau": {}}

    def __init__(self, factor: Share = 0.1, patience: Natural = 5, least: NonNegative = 0.0) -> None:
        self.factor, self.patience, self.least = factor, patience, least

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        best, waited, rate = -math.inf, 0, 1.0
        for figure in figures:
            waited += 1
            if figure > best + self.least:
                best, waited = figure, 0
            if waited > self.patience:
                rate, waited = rate * self.factor, 0
        return rate
