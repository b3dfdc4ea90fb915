"""Noise on numbers, pixels, series and spectrograms (jitter).

    x' = x + sd e,  e standard normal        x: what the network gets, mean 0 and deviation 1 over the training items

Paper    Bishop 1995, Training with noise is equivalent to Tikhonov regularization; on series: Um et al. 2017,
         arXiv:1706.00527, section 3.2.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, keys, normals
from deepen.schema import NonNegative


class Noise(Augmentation):
    """Add normal noise to every number, after all other changes.

    sd  its deviation, where 1 is that of the training items
    """

    aliases: ClassVar[dict[str, Any]] = {"jitter": {}}
    takes = ("image", "array", "row", "series", "audio")
    scaled = True

    def __init__(self, sd: NonNegative = 0.05) -> None:
        self.sd = sd

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"key": keys(n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return items + self.sd * normals(drawn["key"][0], items[0].numel()).view_as(items)
