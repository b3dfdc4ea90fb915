"""Pictures moved by whole pixels.

    x' = x + s,  s uniform in -padding ... padding        each way; what comes in from outside is black

Paper    He et al. 2016, arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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
        windows = padded.unfold(1, h, 1).unfold(2, w, 1)  # (B, 2p + 1, 2p + 1, C, H, W), a view
        rows = torch.arange(b, device=items.device)
        return windows[rows, drawn["shift"][0], drawn["shift"][1]].permute(0, 2, 3, 1)

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        down, right = (drawn["shift"] - self.padding).float()
        one = torch.ones_like(down)
        return matrices(one, one, 2 * right / width, 2 * down / height)
