"""What methods get: one named tuple per shape of problem. `items` weighs a part of a batch against the whole."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Labeled(NamedTuple):
    """inputs: the network's inputs, each (B, ...) or joined as the signature says; target (B,) or (B, K).

    rows  int64 (B,): which items they are, where that is known
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    rows: Tensor | None = None

    @property
    def items(self) -> int:
        return len(self.target)


class Unlabeled(NamedTuple):
    """inputs: the network's inputs; items: how many they are of (the nodes of a graph are not items)."""

    inputs: tuple[Tensor, ...]
    items: int


class Semi(NamedTuple):
    """A labelled batch beside unlabelled items (augmented twice, each on its own)."""

    labeled: Labeled
    weak: Unlabeled
    strong: Unlabeled

    @property
    def items(self) -> int:
        return self.labeled.items
