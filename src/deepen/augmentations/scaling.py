"""Series stronger or weaker as a whole, spectrograms with more or less contrast.

    x' = f x,  f normal about 1, one for each channel; of a spectrogram one

Paper    Um et al. 2017, arXiv:1706.00527, section 3.2.
Letters  x: what the network gets, mean 0 and deviation 1 over the training items
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn, keys, normals
from deepen.schema import NonNegative


class Scaling(Augmentation):
    """Multiply every channel of a series, or a vector or spectrogram as a whole, by a number near 1.

    What is to be foretold stays as it is: a forecast then learns not to trust the size of what it sees.

    sd  deviation of that number
    """

    takes = ("array", "series", "audio")
    scaled = True

    def __init__(self, signature: Any, sd: NonNegative = 0.1) -> None:
        self.sd = sd
        self.joint = any(tensor.join == "pad" for tensor in signature.tensors)  # loudness over time

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"key": keys(n, generator)}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        channels = items.shape[1] if items.dim() > 2 and not self.joint else 1
        factor = 1 + self.sd * normals(drawn["key"][0], channels)
        return items * factor.view(len(items), channels, *(1 for _ in items.shape[2:]))
