"""Pictures turned about their middle.

(x', y') = R(a) (x, y) in pixels,  a uniform in -degrees ... degrees        beyond the picture is black
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepen.augmentations import Drawn, Geometry, between, turned
from deepen.schema import Positive


class Rotate(Geometry):
    """Turn the picture; corners that come in from outside are black.

    degrees  the largest angle, either way
    """

    def __init__(self, degrees: Positive = 15.0) -> None:
        self.degrees = degrees

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"angle": between(-self.degrees, self.degrees, n, generator) * (math.pi / 180)}

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        return turned(drawn["angle"][0], height, width)
