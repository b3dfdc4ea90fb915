"""Pictures mirrored left and right.

x' = -x with probability p
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from deepen import pixels
from deepen.augmentations import Drawn, Geometry, matrices
from deepen.schema import Chance


class Flip(Geometry):
    """Mirror left and right.

    p  how often
    """

    aliases: ClassVar[dict[str, Any]] = {"horizontal_flip": {}}
    whole = True

    def __init__(self, p: Chance = 0.5) -> None:
        self.p = p

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"flip": torch.rand((1, n), generator=generator) < self.p}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return pixels.mirrored(items, drawn["flip"][0], 2)

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        sign = 1 - 2 * drawn["flip"][0].float()
        return matrices(sign, torch.ones_like(sign))
