"""All weights the same number.

w = value: units of a layer have equal gradients for ever (Goodfellow et al. 2016, Deep Learning, section 8.4)
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.initialisers import Initialiser


class Constant(Initialiser):
    """All weights the same number.

    value  the number
    """

    warning = "all units of a layer begin alike, get the same gradients and stay alike; he or xavier can learn"

    def __init__(self, value: float = 0.01) -> None:
        self.value = value

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        nn.init.constant_(weight, self.value)
