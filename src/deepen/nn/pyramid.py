"""From the feature maps of any network for pictures to boxes at every place of several scales.

    Pyramid    P_l = C3(N(C1(maps_l)) + up(P_l+1'))         every level sees what the coarser ones know
    Branches   the same convolutions over all levels, norms of each level's own; their ends give
               K logits and the distances (l, t, r, b) = exp(x) * stride from the place to the four sides

Papers   pyramid: Lin et al. 2017, arXiv:1612.03144; boxes without anchors: Tian et al. 2019, arXiv:1904.01355;
         shared convolutions, norms apart: Lyu et al. 2022, arXiv:2212.07784, section 3.1.
Letters  B pictures, L levels, A places of all levels, K classes, C channels, Ck a convolution with kernel k, N batch norm
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.layers import activation, convolution, norm

PRIOR = 0.01  # score of every place before anything is learnt (Lin et al. 2017, arXiv:1708.02002, section 3.3)
FARTHEST = 7.0  # log of the largest distance in strides: keeps wild guesses finite


class Pyramid(nn.Module):
    """Maps [(B, C_l, H_l, W_l)], fine to coarse, to as many of `width` channels."""

    def __init__(self, channels: Sequence[int], width: int, activate: str = "relu") -> None:
        super().__init__()
        self.sides = nn.ModuleList(nn.Sequential(convolution(c, width, 1), norm("batch", width)) for c in channels)
        self.ends = nn.ModuleList(
            nn.Sequential(convolution(width, width, 3), norm("batch", width), activation(activate)) for _ in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        found: list[Tensor] = []
        above: Tensor | None = None
        for given, side, end in reversed(list(zip(maps, self.sides, self.ends))):
            here = side(given)
            above = here if above is None else here + F.interpolate(above, size=given.shape[-2:], mode="nearest")
            found.append(end(above))
        return found[::-1]


class Branch(nn.Module):
    """Convolutions that all levels share, each followed by a norm of the level's own; `outside` numbers a place."""

    def __init__(self, width: int, depth: int, levels: int, outside: int, activate: str = "relu") -> None:
        super().__init__()
        self.shared = nn.ModuleList(convolution(width, width, 3) for _ in range(depth))
        self.norms = nn.ModuleList(nn.ModuleList(norm("batch", width) for _ in range(depth)) for _ in range(levels))
        self.activate = activation(activate)
        self.last = nn.Conv2d(width, outside, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """To (B, A, outside)."""
        found = []
        for x, norms in zip(maps, self.norms):
            for layer, own in zip(self.shared, norms):  # type: ignore[call-overload]
                x = self.activate(own(layer(x)))
            found.append(self.last(x).flatten(2).transpose(1, 2))
        return torch.cat(found, 1)


class Branches(nn.Module):
    """Logits (B, A, K) and boxes (B, A, 4) as shares of the frame."""

    places: Tensor

    def __init__(self, width: int, depth: int, classes: int, places: Sequence[Tensor], activate: str = "relu") -> None:
        super().__init__()
        self.classes = Branch(width, depth, len(places), classes, activate)
        self.sides = Branch(width, depth, len(places), 4, activate)
        nn.init.constant_(self.classes.last.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        self.register_buffer("places", torch.cat(list(places)), persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        centre, stride = self.places[:, :2], self.places[:, 2:]
        before, after = self.sides(maps).float().clamp(max=FARTHEST).exp().split(2, -1)
        boxes = torch.cat([centre - before * stride, centre + after * stride], -1)
        return boxes, self.classes(maps).float(), self.places


def places(height: int, width: int) -> Tensor:
    """A level's places (h * w, 4) row by row: their centres x, y and their strides, as shares of the frame."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    stride = torch.tensor([1 / width, 1 / height])
    return torch.cat([torch.stack([x.flatten(), y.flatten()], 1) * stride, stride.expand(height * width, 2)], 1)
