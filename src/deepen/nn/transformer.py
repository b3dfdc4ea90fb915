"""Blocks of attention and dense layers: encoder, decoder, and both together.

    before  x + A(N(x)), then x + F(N(x)), and a norm after the last block      (Xiong et al. 2020, arXiv:2002.04745)
    after   N(x + A(x)), then N(x + F(x))                                       (Vaswani et al. 2017, arXiv:1706.03762)

F is dense - act - dense; a decoder's block looks at the encoder's rows between A and F.
Letters  B items, L rows, S rows of the source, d width, V pieces
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from deepen.nn.attention import MultiHead
from deepen.nn.layers import activation as activation_of

Order = Literal["before", "after"]


class Block(nn.Module):
    """Attention, with `cross` also to a source, and two dense layers; (B, L, d) to the same."""

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        activation: str = "gelu",
        dropout: float = 0.0,
        norm: Order = "before",
        cross: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.order = norm
        self.attention, self.norm = MultiHead(width, heads, dropout), nn.LayerNorm(width, eps)
        self.cross = MultiHead(width, heads, dropout) if cross else None
        self.cross_norm = nn.LayerNorm(width, eps) if cross else None
        self.dense = nn.Sequential(
            nn.Linear(width, inner), activation_of(activation, axis=-1), nn.Dropout(dropout), nn.Linear(inner, width)
        )
        self.dense_norm = nn.LayerNorm(width, eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        there: Tensor | None = None,
        causal: bool = False,
        source: Tensor | None = None,
        source_there: Tensor | None = None,
    ) -> Tensor:
        """`there` (B, L) and `source_there` (B, S): which rows may be looked at."""
        x = self._around(x, self.norm, lambda rows: self.attention(rows, None, there, causal))
        if self.cross is not None and self.cross_norm is not None:
            cross = self.cross
            x = self._around(x, self.cross_norm, lambda rows: cross(rows, source, source_there))
        return self._around(x, self.dense_norm, self.dense)

    def _around(self, x: Tensor, norm: nn.Module, inner: nn.Module | object) -> Tensor:
        """What `inner` makes of x, added to x."""
        if self.order == "before":
            return x + self.dropout(inner(norm(x)))  # type: ignore[operator]
        return norm(x + self.dropout(inner(x)))  # type: ignore[operator]


class Stack(nn.Module):
    """`depth` blocks; where norms stand before, one more after the last."""

    def __init__(
        self,
        width: int,
        heads: int,
        depth: int,
        inner: int | None = None,
        activation: str = "gelu",
        dropout: float = 0.0,
        norm: Order = "before",
        cross: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, inner or 4 * width, activation, dropout, norm, cross) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width) if norm == "before" else nn.Identity()
        start(self, depth)

    def forward(
        self,
        x: Tensor,
        there: Tensor | None = None,
        causal: bool = False,
        source: Tensor | None = None,
        source_there: Tensor | None = None,
    ) -> Tensor:
        for block in self.blocks:
            x = block(x, there, causal, source, source_there)
        return self.norm(x)


def start(stack: nn.Module, depth: int, deviation: float = 0.02) -> None:
    """Dense layers at a small deviation; what is added to the way around smaller with depth (Radford et al. 2019, 2.3)."""
    for name, layer in stack.named_modules():
        if isinstance(layer, nn.Linear):
            added = name.endswith((".out", "dense.3"))
            nn.init.normal_(layer.weight, std=deviation / (math.sqrt(2 * depth) if added else 1))
            nn.init.zeros_(layer.bias)


class Sinusoids(nn.Module):
    """Sine and cosine of each place at wavelengths from 2 pi to 20,000 pi, added (Vaswani et al. 2017, section 3.5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None]  # (L, 1)
        step = torch.arange(0, self.width, 2, device=x.device, dtype=torch.float32)
        angle = place * torch.exp(step * (-math.log(10_000.0) / self.width))  # (L, d / 2)
        waves = torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, : self.width]
        return x + waves.to(x.dtype)


class Learned(nn.Module):
    """A learnt row for each of at most `longest` places, added."""

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(longest, width).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rows[: x.shape[1]]
