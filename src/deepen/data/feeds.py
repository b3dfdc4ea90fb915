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

TOGETHER = 256  # items that small batches are made of at a time...
LARGEST = 1 << 20  # ... and their bytes at most
ALIKE = 50  # batches within whose items those of like length are put together


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
    """Shuffled rows in batches of `size`, reshuffled each epoch; the last batch may be smaller.

    A row that would be left alone goes into the batch before it: batch norm makes nothing of a single item.
    lengths  of all items, where a batch is padded to its longest: items of like length then share a batch
    weights  of all items: an epoch is then as many draws as there are rows, each row as often as it weighs, to within
             one (systematic sampling, Madow 1949); looked at when an epoch begins
    """

    def __init__(
        self, rows: Tensor, size: int, seed: int, lengths: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        self.rows, self.size, self.seed, self.lengths = rows, min(size, len(rows)), seed, lengths
        self.weights = weights
        self._epoch = -1
        self._order = rows

    def __len__(self) -> int:
        return len(self.rows) // self.size + (len(self.rows) % self.size > 1)

    def items(self, k: int) -> int:
        return self._end(k) - k * self.size

    def _end(self, k: int) -> int:
        """Where batch k ends in the order of its epoch."""
        return (k + 1) * self.size if k + 1 < len(self) else len(self.rows)

    def of(self, epoch: int, k: int, count: int = 1) -> Tensor:
        """Row numbers of batch k, or of the `count` batches from k on."""
        if epoch != self._epoch:
            self._order = self._shuffled(generator_of(self.seed, epoch))
            self._epoch = epoch
        return self._order[k * self.size : self._end(k + count - 1)]

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        order = self.rows[torch.randperm(len(self.rows), generator=generator)]
        if self.weights is not None:
            order = drawn(order, self.weights.cpu()[order], generator)
        if self.lengths is None:
            return order
        # sorted within stretches of the shuffled rows, then cut into batches, which are shuffled in turn
        stretches = order.split(self.size * ALIKE)
        order = torch.cat([some[self.lengths[some].argsort(stable=True)] for some in stretches])
        whole = len(order) // self.size
        batches = order[: whole * self.size].view(whole, self.size)
        batches = batches[torch.randperm(whole, generator=generator)]
        return torch.cat([batches.view(-1), order[whole * self.size :]])


def drawn(rows: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as rows, shuffled: of n rows one of weight w comes n w / sum(w) times, rounded up or down by chance.

    rows  in random order, so that which of them are rounded alike is chance too
    """
    ends = weights.double().cumsum(0)
    first = torch.rand(1, generator=generator, dtype=torch.float64)
    points = (torch.arange(len(rows), dtype=torch.float64) + first) * (ends[-1] / len(rows))
    found = rows[torch.searchsorted(ends, points, right=True).clamp(max=len(rows) - 1)]
    return found[torch.randperm(len(rows), generator=generator)]


def share(n: int, part: int, parts: int) -> slice:
    """Part `part` of n things cut into `parts` nearly equal runs."""
    return slice(part * n // parts, (part + 1) * n // parts)


class LabeledFeed:
    """Augmented training items with their targets, drawn by `weights` (left out: by those of the data).

    Small batches cost more in calls than in work, so neighbours are gathered and augmented together, in groups that
    depend on the size alone: what is in batch k stays a function of (seed, epoch, k).
    """

    def __init__(self, data: Data, size: int, seed: int, part: str = "train", weights: Tensor | None = None) -> None:
        weights = data.weights if weights is None else weights
        self.data, self.order, self.seed = data, Rows(data.parts[part], size, seed, data.lengths, weights), seed
        together = 1 if data.ragged else min(TOGETHER, LARGEST // data.item_bytes)
        self.group = max(1, together // self.order.size)
        self._made: tuple[int, int, Labeled] | None = None  # epoch and number of the last group

    def __len__(self) -> int:
        return len(self.order)

    def items(self, epoch: int, k: int) -> int:
        return self.order.items(k)

    def batch(self, epoch: int, k: int, part: int = 0, parts: int = 1) -> Labeled:
        group, place = divmod(k, self.group)
        if parts > 1 or self.group == 1:
            piece = share(self.items(epoch, k), part, parts)
            start = place * self.order.size
            return self._make(epoch, group, slice(start + piece.start, start + piece.stop))
        if self._made is None or self._made[:2] != (epoch, group):
            self._made = (epoch, group, self._make(epoch, group))
        inputs, target, rows = self._made[2]
        mine = slice(place * self.order.size, place * self.order.size + self.items(epoch, k))
        return Labeled(tuple(x[mine] for x in inputs), target[mine], None if rows is None else rows[mine])

    def _make(self, epoch: int, group: int, piece: slice = slice(None)) -> Labeled:
        """The items of a group of batches, or a piece of them."""
        rows = self.order.of(epoch, group * self.group, self.group)
        draw = generator_of(self.seed, epoch, group) if self.data.augment.steps else None
        inputs = self.data.inputs(rows, draw, piece)
        mix = self.data.augment.mix
        if mix is None:
            again = None if draw is None else generator_of(self.seed, epoch, group)  # the same draws
            return Labeled(inputs, self.data.taught(rows, again, piece), rows[piece])
        drawn = mix.draw(len(rows), generator_of(self.seed, epoch, group, 1))
        mine = {name: values[:, piece] for name, values in drawn.items()}
        (partner,) = mine["partner"]
        again = None if draw is None else generator_of(self.seed, epoch, group)  # the same pictures, in another order
        inputs, share = mix.apply(inputs, self.data.inputs(rows, again, partner), mine)
        truth, other = self.data.shares(rows[piece]), self.data.shares(rows[partner])
        return Labeled(inputs, other.lerp(truth, share.to(truth.device).view(-1, *(1 for _ in truth.shape[1:]))))

    def names(self, epoch: int, k: int) -> list[str]:
        return [self.data.ids[int(i)] for i in self.order.of(epoch, k)]


class UnlabeledFeed:
    """Augmented items without their targets: every item there is for training, labelled or not."""

    def __init__(self, data: Data, size: int, seed: int) -> None:
        rows = torch.cat([data.parts["train"], data.unlabelled]).sort().values
        self.data, self.order, self.seed = data, Rows(rows, size, seed, data.lengths), seed

    def __len__(self) -> int:
        return len(self.order)

    def items(self, epoch: int, k: int) -> int:
        return self.order.items(k)

    def batch(self, epoch: int, k: int, part: int = 0, parts: int = 1) -> Unlabeled:
        rows = self.order.of(epoch, k)
        draw = generator_of(self.seed, epoch, k)
        piece = share(len(rows), part, parts)
        return Unlabeled(self.data.inputs(rows, draw, piece), len(rows[piece]))

    def names(self, epoch: int, k: int) -> list[str]:
        return [self.data.ids[int(i)] for i in self.order.of(epoch, k)]


class SemiFeed:
    """Labelled items beside `ratio` times as many unlabelled ones, each seen through two augmentations.

    An epoch is one pass over the unlabelled items; the labelled ones come round as often as needed.
    """

    def __init__(self, data: Data, size: int, seed: int, ratio: int = 1) -> None:
        self.data, self.seed = data, seed
        self.labeled = Rows(data.parts["train"], size, seed, data.lengths, data.weights)
        rows = data.unlabelled if len(data.unlabelled) else data.parts["train"]
        self.free = Rows(rows, size * ratio, seed + 1, data.lengths)

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
            Labeled(
                self.data.inputs(rows, draws[0], mine),
                self.data.taught(rows, generator_of(self.seed, epoch, k, 0), mine),  # the same draws
            ),
            Unlabeled(self.data.inputs(free, draws[1], theirs), len(free[theirs])),
            Unlabeled(self.data.inputs(free, draws[2], theirs), len(free[theirs])),
        )

    def names(self, epoch: int, k: int) -> list[str]:
        return [self.data.ids[int(i)] for i in self.free.of(epoch, k)]
