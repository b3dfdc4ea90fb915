"""Pictures moved by whole pixels.

    x' = x + s,  s uniform in -padding ... padding        each way; what comes in from outside is black

Paper    He et al. 2016, arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from deepen import pixels
from deepen.augmentations import Drawn, Geometry, matrices
from deepen.schema import Natural


class Crop(Geometry):
    """Move the picture a little; what comes in from outside is black.

    padding  pixels each way at most
    """

    whole = True

    def __init__(self, padding: Natural = 4) -> None:
        self.padding = padding

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"shift": torch.randint(0, 2 * self.padding + 1, (2, n), generator=generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        b, h, w, _ = items.shape
        p = self.padding
        padded = F.pad(items, (0, 0, p, p, p, p))  # (B, H + 2p, W + 2p, C)
        windows = (
            padded.unfold(1, h, 1).unfold(2, w, 1).permute(0, 1, 2, 4, 5, 3)
        )  # (B, 2p + 1, 2p + 1, H, W, C), a view
        return pixels.picked(windows, torch.arange(b, device=items.device), *drawn["shift"])

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        down, right = (drawn["shift"] - self.padding).float()
        one = torch.ones_like(down)
        return matrices(one, one, 2 * right / width, 2 * down / height)
