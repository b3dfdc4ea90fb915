"""Vision Transformer: a picture as a row of patches, each seen by all others.

    z = [class; patches W + b] + positions
    z = z + A(N(z)),  z = z + M(N(z))  for each block      A: attention softmax(q k' / sqrt(d / h)) v in h heads, then
    K numbers from N(z)[class]                             a dense layer; M: dense - act - dense, 4 d wide inside

Paper    Dosovitskiy et al. 2021, arXiv:2010.11929, eq. 1 to 4, table 1; tiny and small: Touvron et al. 2021,
         arXiv:2012.12877; stochastic depth: Huang et al. 2016.
Differs  the last layer starts at a deviation of 0.02, not at 0. `maps` gives the patches back in their places.
Counts   at K = 1000, 224 x 224, patch 16: tiny 5,717,416; small 22,050,664; base 86,567,656; large 304,326,632.
Letters  B items, N patches, d width, h heads, K classes
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.errors import DeepenError
from deepen.nn.inputs import picture_of
from deepen.nn.layers import StochasticDepth
from deepen.nn.layers import activation as activation_of
from deepen.schema import Activation, Count, Share
from deepen.signature import Signature

EPS = 1e-6  # of every norm


class ViT(nn.Module):
    """Vision Transformer; pictures whose sides the patch divides.

    patch             pixels a side; none: 16, for pictures up to 64 pixels 4
    width             numbers in each patch's row
    heads             none: one per 64 of the width
    collect           class: the token put in front; average: the mean over patches
    stochastic_depth  probability that the last block is left out for an item; it rises evenly from 0 at the first
    """

    takes = ("image",)
    aliases = {
        "vit_tiny": {"width": 192, "depth": 12}, "vit_small": {"width": 384, "depth": 12},
        "vit_base": {"width": 768, "depth": 12}, "vit_large": {"width": 1024, "depth": 24},
        "vit_huge": {"width": 1280, "depth": 32, "heads": 16, "patch": 14},
    }  # fmt: skip
    tiny = {"width": 16, "depth": 2, "heads": 2, "patch": 4}

    def __init__(
        self,
        signature: Signature,
        width: Count = 192,
        depth: Count = 12,
        heads: Count | None = None,
        patch: Count | None = None,
        collect: Literal["class", "average"] = "class",
        activation: Activation = "gelu",
        dropout: Share = 0.0,
        stochastic_depth: Share = 0.0,
    ) -> None:
        super().__init__()
        image = picture_of(signature, "vit")
        sides = (image.height, image.width)
        patch = patch or (16 if max(sides) > 64 else 4)
        heads = heads or max(1, width // 64)
        _check(sides, patch, width, heads)
        self.grid = [side // patch for side in sides]
        self.collect = collect
        self.patches = nn.Conv2d(image.channels, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width)) if collect == "class" else None
        places = self.grid[0] * self.grid[1] + (collect == "class")
        self.positions = nn.Parameter(torch.empty(1, places, width).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, activation, dropout, stochastic_depth * i / max(1, depth - 1)) for i in range(depth)
        )
        self.norm = nn.LayerNorm(width, EPS)
        self.last = nn.Linear(width, signature.answer.width)
        nn.init.trunc_normal_(self.last.weight, std=0.02)

    def rows(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to the row of patches (B, N, d) after each block, before the last norm."""
        x = self.patches(image).flatten(2).transpose(1, 2)  # (B, N, d)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x, found = self.dropout(x + self.positions), []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to feature maps (B, d, H / patch, W / patch) after each block."""
        start = int(self.token is not None)
        return [row[:, start:].transpose(1, 2).unflatten(2, self.grid) for row in self.rows(image)]

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, d)."""
        row = self.norm(self.rows(image)[-1])
        return row[:, 0] if self.collect == "class" else row.mean(1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K)."""
        return self.last(self.features(image))


class Block(nn.Module):
    """Attention, then two dense layers, each after a norm and with a way around; (B, N, d) to the same."""

    def __init__(self, width: int, heads: int, activate: str, dropout: float, drop: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width, EPS), Attention(width, heads)
        self.dense = nn.Sequential(
            nn.LayerNorm(width, EPS),
            nn.Linear(width, 4 * width),
            activation_of(activate, axis=-1),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )
        self.dropout, self.drop = nn.Dropout(dropout), StochasticDepth(drop)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, row: Tensor) -> Tensor:
        row = row + self.drop(self.dropout(self.attention(self.norm(row))))
        return row + self.drop(self.dense(row))


class Attention(nn.Module):
    """Every patch asks all patches; (B, N, d) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inside, self.outside = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, row: Tensor) -> Tensor:
        queries, keys, values = self.inside(row).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values)  # (B, h, N, d / h)
        return self.outside(mixed.transpose(1, 2).flatten(2))


def _check(sides: tuple[int, int], patch: int, width: int, heads: int) -> None:
    if any(side % patch for side in sides):
        raise DeepenError(
            "model.patch", "model.patch", f"{patch} does not divide pictures of {sides[1]} x {sides[0]}",
            "a patch that divides both sides", f"data.size={max(patch, max(sides) // patch * patch)}, or another patch",
        )  # fmt: skip
    if width % heads:
        raise DeepenError("model.heads", "model.heads", f"{heads} heads for a width of {width}", "a divisor of it")
