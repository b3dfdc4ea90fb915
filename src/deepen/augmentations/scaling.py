"""Series stronger or weaker as a whole.

    x' = f x,  f normal about 1, one for each channel

Paper    Um et al. 2017, arXiv:1706.00527, section 3.2.
Letters  x: what the network gets, mean 0 and deviation 1 over the training items
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, keys, normals
from deepen.schema import NonNegative


class Scaling(Augmentation):
    """Multiply every channel of a series, or a vector as a whole, by a number near 1.

    sd  deviation of that number
    """

    takes = ("array",)
    scaled = True

    def __init__(self, sd: NonNegative = 0.1) -> None:
        self.sd = sd

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"key": keys(n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        channels = items.shape[1] if items.dim() > 2 else 1
        factor = 1 + self.sd * normals(drawn["key"][0], channels)
        return items * factor.view(len(items), channels, *(1 for _ in items.shape[2:]))
