"""A rectangle of another picture in each, and their targets by what is left.

    a rectangle of 1 - s of the picture comes from the other one, s from Beta(alpha, alpha); y' by the share of pixels

Paper    Yun et al. 2019, arXiv:1905.04899, eq. 1 and 2.
Differs  every picture has a rectangle of its own, the paper draws one for a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.augmentations import Drawn, Inputs, Mix, share_of
from deepen.pixels import within
from deepen.schema import Positive


class Cutmix(Mix):
    """Put a rectangle of another picture in.

    alpha  1: any share alike; below: mostly one of them
    """

    def __init__(self, alpha: Positive = 1.0) -> None:
        self.alpha = alpha

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        partner = torch.randperm(n, generator=generator)[None]
        share = share_of(self.alpha, n, generator)[None]
        return {"partner": partner, "share": share, "centre": torch.rand((2, n), generator=generator)}

    def apply(self, inputs: Inputs, others: Inputs, drawn: Drawn) -> tuple[Inputs, Tensor]:
        h, w = inputs[0].shape[2:]
        half = (1 - drawn["share"][0]).sqrt() / 2
        y, x = drawn["centre"]
        mask = (
            within(h, (y - half) * h, (y + half) * h)[:, :, None] & within(w, (x - half) * w, (x + half) * w)[:, None]
        )
        share = 1 - mask.float().mean((1, 2))  # what is beyond the border is not cut
        return tuple(torch.where(mask[:, None].to(i.device), o, i) for i, o in zip(inputs, others)), share
