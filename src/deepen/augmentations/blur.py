"""Pictures out of focus.

    x' = x * Gaussian of deviation d, with probability p;  d uniform from least to most

Paper    as used by Chen et al. 2020, arXiv:2002.05709, appendix A.
Letters  d in pixels
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn
from deepen.errors import DeepenError
from deepen.pixels import smoothed
from deepen.schema import Chance, NonNegative, Positive


class Blur(Augmentation):
    """Smooth the picture.

    p      how often
    least  deviation at least, in pixels
    most   deviation at most, in pixels
    """

    def __init__(self, p: Chance = 0.5, least: NonNegative = 0.1, most: Positive = 1.5) -> None:
        if least > most:
            raise DeepenError("augment.range", "blur", f"least {least} above most {most}", "least up to most")
        self.p, self.least, self.most = p, least, most

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        chance, deviation = torch.rand((2, n), generator=generator)
        deviation = self.least + (self.most - self.least) * deviation
        return {"deviation": (deviation * (chance < self.p))[None]}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        return smoothed(items, drawn["deviation"][0], self.most)
