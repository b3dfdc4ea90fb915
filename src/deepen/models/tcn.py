"""Temporal convolutional network: a text, a series or a picture's rows through convolutions that look back only.

    block i   x + D(act(N(C(D(act(N(C x)))))))      C: kernel k, the steps it sees 2^i apart, nothing after its own step

Paper    Bai, Kolter and Koltun 2018, arXiv:1803.01271, section 3.
Differs  a norm over the channels of each step in place of weight normalisation; the last activation stands before the
         sum, so that a block can leave its input as it is.
Letters  B items, L steps, C channels, K classes. A state sees 1 + 2 (k - 1) (2^blocks - 1) steps.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.layers import activation as activation_of
from deepen.nn.sequence import Steps, each, last
from deepen.nn.sequence import pool as pool_of
from deepen.schema import Activation, Count, Share
from deepen.signature import Signature


class TCN(nn.Module):
    """Dilated causal convolutions over the steps of an item.

    channels  of each block; the steps a block looks back over lie twice as far apart as the last one's
    kernel    steps that a convolution sees
    embedding numbers per piece of a text
    pool      how states become features: the last, their mean, maximum, or a learnt mean
    """

    takes = ("text", "audio", "image", "array", "series")
    tiny = {"channels": [8, 8], "embedding": 8}

    def __init__(
        self,
        signature: Signature,
        channels: tuple[Count, ...] = (64, 64, 64, 64),
        kernel: Count = 3,
        activation: Activation = "relu",
        pool: Literal["last", "mean", "max", "attention"] = "last",
        embedding: Count = 128,
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        self.steps = Steps(signature, embedding)
        inside, self.blocks = self.steps.width, nn.ModuleList()
        for i, width in enumerate(channels):
            self.blocks.append(Block(inside, width, kernel, 2**i, activation, dropout))
            inside = width
        self.pool = pool_of(pool, inside) if pool != "last" else None
        self.each = each(signature)
        self.last = nn.Linear(inside, signature.answer.width)

    def states(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """The last block's states (B, L, C), and which steps are there (B, L)."""
        steps, there = self.steps(given)
        for block in self.blocks:
            steps = block(steps)
        return steps, there

    def features(self, given: Tensor) -> Tensor:
        """To (B, d)."""
        states, there = self.states(given)
        return last(states, there) if self.pool is None else self.pool(states, there)

    def forward(self, given: Tensor) -> Tensor:
        """To (B, K); (B, L, K) where an answer is wanted at every step."""
        return self.last(self.states(given)[0] if self.each else self.features(given))


class Block(nn.Module):
    """Two convolutions and a way around them: (B, L, inside) to (B, L, width)."""

    def __init__(self, inside: int, width: int, kernel: int, apart: int, activate: str, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (Back(size, width, kernel, apart) for size in (inside, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.after = nn.Sequential(activation_of(activate), nn.Dropout(dropout))
        self.shortcut = nn.Linear(inside, width) if inside != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.after(self.norms[0](self.first(x)))
        return self.shortcut(x) + self.after(self.norms[1](self.second(inner)))


class Back(nn.Conv1d):
    """A convolution over steps (B, L, C) that sees a step and those before it, `apart` from each other."""

    def __init__(self, inside: int, width: int, kernel: int, apart: int) -> None:
        super().__init__(inside, width, kernel, dilation=apart)
        self.before = (kernel - 1) * apart
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input.transpose(1, 2), (self.before, 0))).transpose(1, 2)
