"""Variances that stay the same forward and backward through tanh.

    variance = gain^2 * 2 / (inputs + outputs)

Paper    Glorot and Bengio 2010, eq. 12 and 16.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.schema import Positive


class Xavier(Initialiser):
    """Variances that stay the same forward and backward through tanh.

    spread  normal or uniform
    gain    for the activation: 1 for tanh
    """

    aliases: ClassVar[dict[str, Any]] = {"glorot": {}}

    def __init__(self, spread: Literal["normal", "uniform"] = "uniform", gain: Positive = 1.0) -> None:
        self.spread, self.gain = spread, gain

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        sd = self.gain * (2 / (inputs + outputs)) ** 0.5
        if self.spread == "normal":
            nn.init.normal_(weight, 0.0, sd)
        else:
            nn.init.uniform_(weight, -(3**0.5) * sd, 3**0.5 * sd)
