"""The same rate all the time.

f = 1
"""

from __future__ import annotations

from collections.abc import Sequence

from deepen.schedules import Schedule


class Constant(Schedule):
    """The same rate all the time."""

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        return 1.0
