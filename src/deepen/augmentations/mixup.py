"""Items added to each other, and their targets with them.

    x' = s x + (1 - s) o,    y' = s y + (1 - s) y_o,    s from Beta(alpha, alpha)

Paper    Zhang et al. 2018, arXiv:1710.09412, eq. 1 and 2.
Differs  every item has a share of its own, the paper draws one for a batch.
Letters  x an item, o its partner, y and y_o their targets
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Drawn, Inputs, Mix, share_of
from deepen.schema import Positive


class Mixup(Mix):
    """Add an item and another one, weighed by chance.

    alpha  0.2: mostly nearly one of them, 1: any share alike
    """

    takes = ("image", "array", "row")

    def __init__(self, alpha: Positive = 0.2) -> None:
        self.alpha = alpha

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        partner = torch.randperm(n, generator=generator)[None]
        return {"partner": partner, "share": share_of(self.alpha, n, generator)[None]}

    def apply(self, inputs: Inputs, others: Inputs, drawn: Drawn) -> tuple[Inputs, Tensor]:
        (share,) = drawn["share"]
        return tuple(
            o.lerp(x, share.to(x.device).view(-1, *(1 for _ in x.shape[1:]))) for x, o in zip(inputs, others)
        ), share
