"""Uniform between -bound and bound.

w = bound (2 u - 1),    u uniform in 0 ... 1
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.schema import Positive


class Uniform(Initialiser):
    """Uniform between -bound and bound.

    bound  the largest weight
    """

    def __init__(self, bound: Positive = 0.05) -> None:
        self.bound = bound

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        nn.init.uniform_(weight, -self.bound, self.bound)
