"""Pictures with stronger or weaker colours.

x' = g + f (x - g),  f uniform in 1 - amount ... 1 + amount        g: the grey picture
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, around
from deepen.pixels import blended, grey
from deepen.schema import NonNegative


class Saturation(Augmentation):
    """Make colours stronger or weaker.

    amount  how far the factor is from 1 at most
    """

    colours = True

    def __init__(self, amount: NonNegative = 0.3) -> None:
        self.amount = amount

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"factor": around(self.amount, n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return blended(items, grey(items), drawn["factor"][0])
