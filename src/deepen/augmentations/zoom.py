"""A random part of the picture over the whole frame (random resized crop).

    area = width height, uniform from least to 1;  width / height = exp(u), u uniform in -log 4/3 ... log 4/3

Paper    Szegedy et al. 2015, arXiv:1409.4842, section 6.
Differs  a side is cut to the picture's where the other one asks for more, instead of drawing again. A picture is only
         ever enlarged, so nothing is to be smoothed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from deepen.augmentations import Drawn, Geometry, matrices
from deepen.schema import Chance


class Zoom(Geometry):
    """Scale a random part, up to a third wider or higher than the picture, to the whole frame.

    least  share of the area that is left at least
    """

    aliases: ClassVar[dict[str, Any]] = {"random_resized_crop": {}}

    def __init__(self, least: Chance = 0.35) -> None:
        self.least = least

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        area, shape, x, y = torch.rand((4, n), generator=generator)
        area = self.least + (1 - self.least) * area
        ratio = torch.exp((shape - 0.5) * 2 * torch.log(torch.tensor(4 / 3)))
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        return {"frame": torch.stack([width, height, (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)])}

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        return matrices(*drawn["frame"])
