"""Sequences of unequal length in one batch: what goes in as steps, which of them are there, and one vector of many.

Steps that only fill up stand at the end of an item. Nothing they hold may reach an answer.
Letters  B items, L steps, d features of a step
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deepen.preprocess.audio import OUTSIDE, Audio
from deepen.preprocess.pair import Pair
from deepen.preprocess.text import Text
from deepen.signature import Signature


@runtime_checkable
class Sequential(Protocol):
    """A network that has something of each step before it makes one vector of them."""

    def states(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, d), and which steps are there (B, L)."""


BELOW = -1e4  # under any score or feature, and finite: an item without a single step gets an answer too


class Steps(nn.Module):
    """Pieces of texts embedded, sounds and series step by step, pictures row by row: (B, L, d) and there (B, L).

    A series is (B, C, L, ...) and its step C numbers (or C maps); (B, L) has one number a step. `width` is d, `longest`
    the most steps of an item.
    """

    def __init__(self, signature: Signature, width: int, deviation: float = 0.1) -> None:
        super().__init__()
        (encoder,) = signature.inputs.values()
        self.embedding: nn.Embedding | None = None
        self.heard = isinstance(encoder, Audio)
        if isinstance(encoder, (Text, Pair)):
            self.embedding = nn.Embedding(encoder.count, width, padding_idx=0)
            nn.init.normal_(self.embedding.weight[1:], std=deviation)
            marks = 2 if isinstance(encoder, Pair) else 0  # before and after an answer
            self.width, self.longest = width, encoder.longest + marks
        elif isinstance(encoder, Audio):
            self.width, self.longest = encoder.pitches, encoder.longest
        else:
            inside, self.longest, *others = _shape(signature)
            self.width = inside * math.prod(others)

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        if self.embedding is not None:
            return self.embedding(given), given > 0
        if self.heard:
            return heard(given)
        steps = given.unsqueeze(2) if given.dim() == 2 else given.movedim(2, 1).flatten(2)
        return steps, torch.ones_like(steps[:, :, 0], dtype=torch.bool)


def heard(sound: Tensor) -> tuple[Tensor, Tensor]:
    """A sound's frames (B, L, d), 0 behind its end, and which are there (B, L)."""
    there = sound[:, :, 0] > OUTSIDE / 2
    return torch.where(there.unsqueeze(2), sound, 0), there


def _shape(signature: Signature) -> tuple[int, ...]:
    """Numbers of a step, steps, and further sizes of a step, as the network gets them: pictures come as planes."""
    (tensor,) = signature.tensors
    sizes = tuple(int(size) for size in tensor.shape[1:])
    if tensor.dtype == "uint8":
        height, width, channels = sizes
        return channels, height, width
    return sizes if len(sizes) > 1 else (1, *sizes)


def each(signature: Signature) -> bool:
    """Whether an answer is wanted at every step, from that step and those before it."""
    return any(getattr(kind, "each", False) for kind in signature.outputs.values())


def last(steps: Tensor, there: Tensor) -> Tensor:
    """(B, L, d) to the last step of each item (B, d)."""
    place = (there.sum(1) - 1).clamp(min=0)
    return steps.gather(1, place[:, None, None].expand(-1, 1, steps.shape[2]))[:, 0]


def backwards(steps: Tensor, there: Tensor) -> Tensor:
    """Each item's steps in the opposite order; what fills up stays at the end. Twice is nothing."""
    place = torch.arange(steps.shape[1], device=steps.device).expand_as(there)
    place = torch.where(there, there.sum(1, keepdim=True) - 1 - place, place)
    return steps.gather(1, place.unsqueeze(2).expand_as(steps))


class Mean(nn.Module):
    """The mean over an item's steps."""

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        kept = there.unsqueeze(2).to(steps.dtype)
        return (steps * kept).sum(1) / kept.sum(1).clamp(min=1)


class Max(nn.Module):
    """The largest value of each feature."""

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        return steps.masked_fill(~there.unsqueeze(2), BELOW).amax(1)


class Weighed(nn.Module):
    """A mean whose weights are learnt: softmax of v tanh(W h + b) (Yang et al. 2016, hierarchical attention, eq. 5-7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        weights = self.score(steps).masked_fill(~there.unsqueeze(2), BELOW).softmax(1)  # (B, L, 1)
        return (weights * steps).sum(1)


def pool(name: str, width: int) -> nn.Module:
    """`mean`, `max` or `attention`: (B, L, d) and there (B, L) to (B, d)."""
    return {"mean": Mean, "max": Max}[name]() if name != "attention" else Weighed(width)
