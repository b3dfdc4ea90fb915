"""Pictures whose colours are moved round the colour circle.

h' = h + a mod 1,  a uniform in -amount ... amount        h, s, v: hue, saturation and value of a pixel
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, between
from deepen.pixels import hue_turned
from deepen.schema import Chance


class Hue(Augmentation):
    """Move colours round the colour circle.

    amount  share of the circle at most, either way; 0.5 reaches every colour
    """

    colours = True

    def __init__(self, amount: Chance = 0.05) -> None:
        self.amount = amount

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"turn": between(-self.amount, self.amount, n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return hue_turned(items, drawn["turn"][0])
