"""Schedules: the factor on the learning rate over a training. One file each, torch-free.

    factor = schedule(p, figures)

p        the share of training done after warm-up, in [0, 1]: the length of a training changes no schedule's shape
figures  what was monitored at the end of each epoch so far, larger is better: all that a schedule may react to. It
         remembers nothing itself, so a resumed training goes on with the same rates
"""

from __future__ import annotations

from collections.abc import Sequence


class Schedule:
    """What every schedule is."""

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        raise NotImplementedError
