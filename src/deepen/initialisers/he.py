"""Variances that stay the same through ReLU.

    variance = gain^2 / inputs, gain^2 = 2 for ReLU

Paper    He et al. 2015, arXiv:1502.01852, eq. 10.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.schema import Positive


class He(Initialiser):
    """Variances that stay the same through ReLU.

    spread  normal or uniform
    gain    for the activation: the root of 2 for ReLU
    """

    aliases: ClassVar[dict[str, Any]] = {"kaiming": {}}

    def __init__(self, spread: Literal["normal", "uniform"] = "normal", gain: Positive = 1.4142135623730951) -> None:
        self.spread, self.gain = spread, gain

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        sd = self.gain * inputs**-0.5
        if self.spread == "normal":
            nn.init.normal_(weight, 0.0, sd)
        else:
            nn.init.uniform_(weight, -(3**0.5) * sd, 3**0.5 * sd)
