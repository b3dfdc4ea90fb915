"""How encoded items lie where the network is, and how a batch of them is gathered by row number in a few calls.

Dense   rows of equal shape: one index_select
Ragged  values and offsets: the chosen items' values one after the other, then padded, or their numbers moved on
Windows  stretches of one long array, by where they begin
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deepen import tensors as spec
from deepen.tensors import Columns


class Dense:
    """(N, ...) on the device, or memory-mapped."""

    lengths: Tensor | None = None

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.item_bytes = values[:1].numel() * values.element_size()

    def take(self, rows: Tensor) -> Tensor:
        return self.values.index_select(0, rows)


class Windows:
    """Stretches (C, length) of values (T, C) that may overlap."""

    lengths: Tensor | None = None

    def __init__(self, column: spec.Windows, device: str) -> None:
        self.values = torch.from_numpy(column.values).to(device)
        self.starts = torch.from_numpy(column.starts).to(device)
        self.places = torch.arange(column.length, device=device)
        self.item_bytes = column.length * self.values[:1].numel() * self.values.element_size()

    def take(self, rows: Tensor) -> Tensor:
        return self.values[self.starts.index_select(0, rows)[:, None] + self.places].transpose(1, 2).contiguous()


class Ragged:
    """Items of unequal size, joined as the tensor says.

    lengths  int64 (N,)
    counted  what the numbers of a `shift` tensor count: the lengths of that column; None: each item is one
    """

    def __init__(self, tensor: spec.Tensor, column: spec.Ragged, device: str, counted: Tensor | None = None) -> None:
        self.tensor = tensor
        self.values = torch.from_numpy(column.values).to(device)
        self.starts = torch.from_numpy(column.starts).to(device)
        self.lengths = self.starts.diff()
        self.counted = counted
        self.item_bytes = self.values.numel() * self.values.element_size() // max(len(column), 1)

    def take(self, rows: Tensor) -> Tensor:
        lengths = self.lengths.index_select(0, rows)
        before = lengths.cumsum(0) - lengths
        shift = self.starts.index_select(0, rows) - before
        place = torch.arange(int(lengths.sum()), device=rows.device)
        found = self.values.index_select(0, place + shift.repeat_interleave(lengths))
        if self.tensor.join == "pad":
            longest = int(lengths.max()) if len(rows) else 0
            batch = found.new_full((len(rows), longest, *found.shape[1:]), self.tensor.fill)
            batch[torch.arange(longest, device=rows.device) < lengths[:, None]] = found
            return batch
        if self.tensor.join == "shift":
            counts = torch.ones_like(lengths) if self.counted is None else self.counted.index_select(0, rows)
            moved = (counts.cumsum(0) - counts).repeat_interleave(lengths)
            found = found + moved.view(-1, *[1] * (found.ndim - 1))
        return found.movedim(0, self.tensor.axis)


def store(tensors: Sequence[spec.Tensor], columns: Columns, device: str) -> list[Dense | Ragged | Windows]:
    """All tensors of a signature, each in the form its items need."""
    result: list[Dense | Ragged | Windows] = []
    for tensor in tensors:
        column = columns[tensor.name]
        if isinstance(column, spec.Ragged):
            result.append(Ragged(tensor, column, device, _counted(tensor, tensors, columns, device)))
        elif isinstance(column, spec.Windows):
            result.append(Windows(column, device))
        else:
            result.append(Dense(torch.from_numpy(column).to(device)))
    return result


def _counted(tensor: spec.Tensor, tensors: Sequence[spec.Tensor], columns: Columns, device: str) -> Tensor | None:
    """The size, item by item, of the dimension whose parts a tensor's numbers name."""
    for other in tensors:
        column = columns[other.name]
        if isinstance(column, spec.Ragged) and other.along is not None and other.shape[other.along] == tensor.of:
            return torch.from_numpy(np.diff(column.starts)).to(device)
    return None
