"""Steps down at given places.

    f = factor^(number of places passed)

Paper    He et al. 2016, arXiv:1512.03385, section 4.2: a tenth at half and at three quarters.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepen.schedules import Schedule
from deepen.schema import Share


class MultiStep(Schedule):
    """The rate falls by a factor at each of these shares of the training.

    at      shares of the training
    factor  by which the rate is multiplied at each
    """

    def __init__(self, at: tuple[Share, ...] = (0.5, 0.75), factor: Share = 0.1) -> None:
        self.at, self.factor = at, factor

    def __call__(self, p: float, figures: Sequence[float] = ()) -> float:
        return self.factor ** sum(p >= place for place in self.at)
