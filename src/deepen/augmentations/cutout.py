"""A square covered anywhere, also in part outside.

side = size min(H, W); filled with the picture's mean colour

Paper    DeVries and Taylor 2017, arXiv:1708.04552.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn
from deepen.pixels import covered
from deepen.schema import Positive


class Cutout(Augmentation):
    """Cover a square anywhere with the picture's mean colour.

    size  its side, of the picture's shorter one
    """

    def __init__(self, size: Positive = 0.5) -> None:
        self.size = size

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"centre": torch.rand((2, n), generator=generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        _, h, w, _ = items.shape
        y, x = drawn["centre"][0] * h, drawn["centre"][1] * w
        half = self.size * min(h, w) / 2
        return covered(items, y - half, y + half, x - half, x + half)
