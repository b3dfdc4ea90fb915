"""A rectangle covered inside.

    with probability p: area uniform from least to most, height / width = exp(u), u uniform in -log 1/0.3 ... log 1/0.3

Paper    Zhong et al. 2020, arXiv:1708.04896, algorithm 1.
Differs  filled with the picture's mean colour; high ones are drawn as often as wide ones; a side longer than the picture's
         is cut to it, the paper draws again.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from deepen.augmentations import Augmentation, Drawn
from deepen.errors import DeepenError
from deepen.pixels import covered
from deepen.schema import Chance


class Erase(Augmentation):
    """Cover a rectangle inside with the picture's mean colour.

    p      how often
    least  share of the area at least
    most   share of the area at most
    """

    aliases: ClassVar[dict[str, Any]] = {"random_erasing": {}}

    def __init__(self, p: Chance = 0.5, least: Chance = 0.02, most: Chance = 0.33) -> None:
        if least > most:
            raise DeepenError("augment.range", "erase", f"least {least} above most {most}", "least up to most")
        self.p, self.least, self.most = p, least, most

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        chance, area, shape, y, x = torch.rand((5, n), generator=generator)
        area = (self.least + (self.most - self.least) * area) * (chance < self.p)
        ratio = torch.exp((shape - 0.5) * 2 * torch.log(torch.tensor(1 / 0.3)))  # from 0.3 to 1 / 0.3
        height, width = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        top, left = y * (1 - height), x * (1 - width)
        return {"box": torch.stack([top, top + height, left, left + width])}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        _, h, w, _ = items.shape
        top, bottom, left, right = drawn["box"]
        return covered(items, top * h, bottom * h, left * w, right * w)
