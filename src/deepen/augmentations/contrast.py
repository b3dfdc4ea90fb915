"""Pictures with more or less contrast.

x' = m + f (x - m),  f uniform in 1 - amount ... 1 + amount        m: the mean of the grey picture
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, around
from deepen.pixels import blended, grey
from deepen.schema import NonNegative


class Contrast(Augmentation):
    """Give the picture more or less contrast.

    amount  how far the factor is from 1 at most
    """

    def __init__(self, amount: NonNegative = 0.3) -> None:
        self.amount = amount

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"factor": around(self.amount, n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return blended(items, grey(items).mean((1, 2, 3), keepdim=True), drawn["factor"][0])
