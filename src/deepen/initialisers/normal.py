"""Normal with mean 0.

w = sd t,    t standard normal
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.schema import Positive


class Normal(Initialiser):
    """Normal with mean 0.

    sd  standard deviation
    """

    def __init__(self, sd: Positive = 1.0) -> None:
        self.sd = sd

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        nn.init.normal_(weight, 0.0, self.sd)
