"""Pictures larger or smaller about their middle.

x' = x / s,  log s uniform from log least to log most        beyond the picture is black
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepen.augmentations import Drawn, Geometry, between, matrices
from deepen.errors import DeepenError
from deepen.schema import Positive


class Scale(Geometry):
    """Make the picture larger or smaller in its frame.

    least  the smallest size, of its own
    most   the largest
    """

    def __init__(self, least: Positive = 0.8, most: Positive = 1.25) -> None:
        if least > most:
            raise DeepenError("augment.range", "scale", f"least {least} above most {most}", "least up to most")
        self.least, self.most = least, most

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"size": between(math.log(self.least), math.log(self.most), n, generator).exp()}

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        step = 1 / drawn["size"][0]
        return matrices(step, step)
