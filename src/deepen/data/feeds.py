"""Feeds say which items stand in batch k of an epoch, at random access: resuming in mid-epoch costs nothing.

Order and augmentation are functions of (seed, epoch, k) alone. A batch can be had in parts (micro-batches, processes):
the parts together are the batch.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from deepen.data.batch import Labeled, Semi, Unlabeled
from deepen.data.data import Data, generator_of


class Feed(Protocol):
    """What the engine draws batches from."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def items(self, epoch: int, k: int) -> int:
        """Items in batch k, all parts together."""

    def batch(self, epoch: int, k: int, part: int = 0, parts: int = 1) -> Any:
        """Part `part` of `parts` of batch k."""

    def names(self, epoch: int, k: int) -> list[str]:
        """Ids of the items in batch k, to name a batch that fails."""


class Rows:
    """Shuffled rows in batches of `size`, reshuffled each epoch; the last batch may be smaller."""

    def __init__(self, rows: Tensor, size: int, seed: int) -> None:
        self.rows, self.size, self.seed = rows, min(size, len(rows)), seed
        self._epoch = -1
        self._order = rows

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def items(self, k: int) -> int:
        return min(self.size, len(self.rows) - k * self.size)

    def of(self, epoch: int, k: int) -> Tensor:
        """Row numbers of batch k."""
        if epoch != self._epoch:
            self._order = self.rows[torch.randperm(len(self.rows), generator=generator_of(self.seed, epoch))]
            self._epoch = epoch
        return self._order[k * self.size : (k + 1) * self.size]


def share(n: int, part: int, parts: int) -> slice:
    """Part `part` of n things cut into `parts` nearly equal runs."""
    return slice(part * n // parts, (part + 1) * n // parts)


class LabeledFeed:
    """Augmented training items with their targets."""

    def __init__(self, data: Data, size: int, seed: int, part: str = "train") -> None:
        self.data, self.order, self.seed = data, Rows(data.parts[part], size, seed), seed

    def __len__(self) -> int:
        return len(self.order)

    def items(self, epoch: int, k: int) -> int:
        return self.order.items(k)

    def batch(self, epoch: int, k: int, part: int = 0, parts: int = 1) -> Labeled:
        rows = self.order.of(epoch, k)
        piece = share(len(rows), part, parts)
        draw = generator_of(self.seed, epoch, k) if self.data.picture is not None else None
        return Labeled(self.data.inputs(rows, draw, piece), self.data.targets(rows[piece]))

    def names(self, epoch: int, k: int) -> list[str]:
        return [self.data.ids[int(i)] for i in self.order.of(epoch, k)]


class UnlabeledFeed:
    """Augmented items without their targets: every item there is for training, labelled or not."""

    def __init__(self, data: Data, size: int, seed: int) -> None:
        rows = torch.cat([data.parts["train"], data.unlabelled]).sort().values
        self.data, self.order, self.seed = data, Rows(rows, size, seed), seed

    def __len__(self) -> int:
        return len(self.order)

    def items(self, epoch: int, k: int) -> int:
        return self.order.items(k)

    def batch(self, epoch: int, k: int, part: int = 0, parts: int = 1) -> Unlabeled:
        rows = self.order.of(epoch, k)
        draw = generator_of(self.seed, epoch, k)
        return Unlabeled(self.data.inputs(rows, draw, share(len(rows), part, parts)))

    def names(self, epoch: int, k: int) -> list[str]:
        return [self.data.ids[int(i)] for i in self.order.of(epoch, k)]


class SemiFeed:
    """Labelled items beside `ratio` times as many unlabelled ones, each seen through two augmentations.

    An epoch is one pass over the unlabelled items; the labelled ones come round as often as needed.
    """

    def __init__(self, data: Data, size: int, seed: int, ratio: int = 1) -> None:
        self.data, self.seed = data, seed
        self.labeled = Rows(data.parts["train"], size, seed)
        self.free = Rows(data.unlabelled if len(data.unlabelled) else data.parts["train"], size * ratio, seed + 1)

    def __len__(self) -> int:
        return len(self.free)

    def items(self, epoch: int, k: int) -> int:
        return self.labeled.items((epoch * len(self.free) + k) % len(self.labeled))

    def batch(self, epoch: int, k: int, part: int = 0, parts: int = 1) -> Semi:
        passes, at = divmod(epoch * len(self.free) + k, len(self.labeled))
        rows, free = self.labeled.of(passes, at), self.free.of(epoch, k)
        mine, theirs = share(len(rows), part, parts), share(len(free), part, parts)
        draws = [generator_of(self.seed, epoch, k, view) for view in range(3)]
        return Semi(
            Labeled(self.data.inputs(rows, draws[0], mine), self.data.targets(rows[mine])),
            Unlabeled(self.data.inputs(free, draws[1], theirs)),
            Unlabeled(self.data.inputs(free, draws[2], theirs)),
        )

    def names(self, epoch: int, k: int) -> list[str]:
        return [self.data.ids[int(i)] for i in self.free.of(epoch, k)]
