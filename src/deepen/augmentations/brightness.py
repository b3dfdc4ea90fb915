"""Pictures brighter or darker.

x' = f x,  f uniform in 1 - amount ... 1 + amount        cut to 0 ... 255, as for all changes of colour
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, around
from deepen.pixels import blended
from deepen.schema import NonNegative


class Brightness(Augmentation):
    """Make the picture brighter or darker.

    amount  how far the factor is from 1 at most
    """

    def __init__(self, amount: NonNegative = 0.3) -> None:
        self.amount = amount

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"factor": around(self.amount, n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return blended(items, 0.0, drawn["factor"][0])
