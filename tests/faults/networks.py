"""A network with all that a resume can get wrong: batch norm's statistics, dropout's draws, channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.signature import Signature


class Noisy(nn.Module):
    """Pictures of 8 x 8 through two convolutions."""

    def __init__(self, signature: Signature, width: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2),
            nn.Conv2d(width, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        )  # fmt: skip
        self.last = nn.Linear(4 * width, signature.answer.width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 1, 8, 8) to (B, K)."""
        return self.last(self.body(pixels))


class Dense(nn.Module):
    """Rows through batch norm and dropout."""

    def __init__(self, signature: Signature, width: int = 8, drop: float = 0.2) -> None:
        super().__init__()
        size = sum(t.shape[-1] for t in signature.tensors)
        self.body = nn.Sequential(nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(drop))
        self.last = nn.Linear(width, signature.answer.width)

    def forward(self, *columns: Tensor) -> Tensor:
        return self.last(self.body(torch.cat([c.float() for c in columns], 1)))
