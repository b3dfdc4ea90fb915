"""Heads of what no target teaches: raw outputs to answers. What is learnt from is the method's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Link(nn.Module):
    """Log odds (B,) or (B, 1); answers are sigmoid probabilities. Training pairs are links all: a bound teaches them."""

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float().sigmoid()


class Graphs(nn.Module):
    """What was made, as it is: nodes (B, n, d), links (B, n, n), sizes (B,)."""

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def forward(self, raw: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        return raw


class Likeness(nn.Module):
    """Items on the scale of training, pictures as (B, C, H, W), to the items' own unit, pictures as (B, H, W, C)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.picture = kind.picture
        shape = (1, -1, 1, 1) if kind.picture else (1, *kind.shape)
        self.register_buffer("mean", torch.tensor(kind.mean).reshape(shape))
        self.register_buffer("scale", torch.tensor(kind.scale).reshape(shape))

    def scaled(self, items: Tensor) -> Tensor:
        """Items in their own unit as a network sees them; what is missing is the mean."""
        planes = items.permute(0, 3, 1, 2) if self.picture else items
        return torch.nan_to_num((planes - self.mean) * self.scale)

    def own(self, raw: Tensor) -> Tensor:
        """In the item's unit, pictures still as planes."""
        return raw.float() / self.scale + self.mean

    def forward(self, raw: Tensor) -> Tensor:
        own = self.own(raw)
        return own.clamp(0, 255).permute(0, 2, 3, 1) if self.picture else own


class Reconstruction(nn.Module):
    """(item told again, code (B, d), loss (B,)); where levels are chances, what is told are their logits."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.chances = kind.likelihood == "bernoulli"
        self.likeness = Likeness(kind)

    def forward(self, raw: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        again, code, loss = raw
        told = again.float().sigmoid().permute(0, 2, 3, 1) * 255 if self.chances else self.likeness(again)
        return told, code.float(), loss.float()


class Density(nn.Module):
    """log p on the scale of training (B,) to that of the items in their own unit; of ink it has none."""

    volume: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        volume = torch.tensor(kind.scale).log().sum()
        self.register_buffer("volume", torch.zeros_like(volume) if kind.ink else volume)

    def forward(self, raw: Tensor) -> Tensor:
        return raw.float() + self.volume


class Columns(nn.Module):
    """(log P of what is known (B,), chances of all states (B, S)) as they are."""

    def __init__(self, kind: Any) -> None:
        super().__init__()

    def forward(self, raw: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return raw[0].float(), raw[1].float()
