"""Normal with mean 0, drawn again beyond two deviations.

w = sd / 0.8796 t,    t standard normal within [-2, 2], whose own deviation is 0.8796
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.schema import Positive

NARROWER = 0.8796256610342398  # standard deviation of a standard normal that is cut at two


class TruncatedNormal(Initialiser):
    """Normal with mean 0, nothing beyond 2.3 deviations.

    sd  standard deviation of what is drawn
    """

    def __init__(self, sd: Positive = 0.02) -> None:
        self.sd = sd

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        wide = self.sd / NARROWER
        nn.init.trunc_normal_(weight, 0.0, wide, -2 * wide, 2 * wide)
