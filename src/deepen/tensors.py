"""Named tensors, and how items join a batch: the one rule for training, export and server.

Every input of a network says by `join` what a batch of several items is:

    stack   rows of equal shape, one per item: concatenated on the first axis
    pad     sequences (B, L, ...): padded on the second axis to the longest, then concatenated
    concat  parts of an item (nodes, edges): concatenated on `axis`
    shift   numbers of parts (an edge names its nodes): moved on by the parts that came before, then concatenated

Items that differ in size are kept as `Ragged`: all values one after the other, and where each item begins. Items that
overlap, such as stretches of a series, are kept as `Windows`: all values once, and where each item begins.

NumPy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

Arrays = dict[str, np.ndarray]


class Ragged:
    """N items of unequal size: item i is values[starts[i] : starts[i + 1]].

    values  the axis on which the items join first; starts int64 (N + 1,)
    """

    def __init__(self, values: np.ndarray, starts: np.ndarray) -> None:
        self.values, self.starts = values, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The values of some items, one after the other."""
        lengths = np.diff(self.starts)[rows]
        before = np.cumsum(lengths) - lengths
        return self.values[np.arange(lengths.sum()) + np.repeat(self.starts[rows] - before, lengths)]


class Windows:
    """N windows of one long array, gathered when they are asked for: item i is values[starts[i] : starts[i] + length].T

    values  (T, C); starts int64 (N,); an item is (C, length)
    """

    def __init__(self, values: np.ndarray, starts: np.ndarray, length: int) -> None:
        self.values, self.starts, self.length = values, starts, length

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: Any) -> np.ndarray:
        """One item by its number, or several (n, C, length)."""
        starts = self.starts[rows]
        if np.ndim(starts) == 0:
            return self.values[starts : starts + self.length].T
        return self.values[starts[:, None] + np.arange(self.length)].transpose(0, 2, 1)

    def only(self, rows: Any) -> Windows:
        """Some of the items, nothing copied."""
        return Windows(self.values, self.starts[rows], self.length)

    def whole(self) -> np.ndarray:
        """All items (N, C, length): a view where they lie one step apart, as those of a series without gaps do."""
        if len(self) and (np.diff(self.starts) == 1).all():
            every = np.lib.stride_tricks.sliding_window_view(self.values, self.length, axis=0, writeable=True)
            return every[self.starts[0] : self.starts[-1] + 1]
        return self[np.arange(len(self))]

    def seen(self) -> np.ndarray:
        """The rows that stand in any of the windows, each once (n, C)."""
        edges = np.zeros(len(self.values) + 1, np.int64)
        np.add.at(edges, self.starts, 1)
        np.add.at(edges, self.starts + self.length, -1)
        return self.values[np.cumsum(edges)[:-1] > 0]


Columns = dict[str, "np.ndarray | Ragged | Windows"]


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output of a graph. A size given by name ("batch", "nodes") differs from batch to batch."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    join: Literal["stack", "pad", "concat", "shift"] = "stack"
    axis: int = 0
    of: str = ""  # shift: the dimension its numbers count
    fill: float = 0  # pad: what fills up

    @property
    def along(self) -> int | None:
        """The axis on which items differ in size; None where they do not."""
        return {"stack": None, "pad": 1}.get(self.join, self.axis)


def sizes(tensors: Sequence[Tensor], arrays: Arrays) -> dict[str, int]:
    """The value of every named dimension in one set of arrays."""
    found: dict[str, int] = {}
    for tensor in tensors:
        for name, size in zip(tensor.shape, arrays[tensor.name].shape):
            if isinstance(name, str):
                found[name] = size
    return found


def join(tensors: Sequence[Tensor], parts: Sequence[Arrays]) -> Arrays:
    """One batch from several."""
    if len(parts) == 1:
        return parts[0]
    counts = [sizes(tensors, part) for part in parts]
    return {t.name: _join(t, [part[t.name] for part in parts], counts) for t in tensors}


def _join(tensor: Tensor, arrays: list[np.ndarray], counts: list[dict[str, int]]) -> np.ndarray:
    if tensor.join == "pad":
        longest = max(a.shape[1] for a in arrays)
        arrays = [
            np.pad(a, [(0, 0), (0, longest - a.shape[1]), *[(0, 0)] * (a.ndim - 2)], constant_values=tensor.fill)
            for a in arrays
        ]
    if tensor.join == "shift":
        # where no shape counts them (graphs in a batch), the numbers themselves do: every one occurs
        parts = [c[tensor.of] if tensor.of in c else int(a.max(initial=-1)) + 1 for c, a in zip(counts, arrays)]
        before = np.cumsum([0, *parts[:-1]])
        arrays = [a + np.asarray(offset, a.dtype) for a, offset in zip(arrays, before)]
    return np.concatenate(arrays, axis=tensor.axis)


def pack(tensor: Tensor, items: Sequence[np.ndarray | None]) -> Ragged:
    """Items, each as a batch of one, as one column; None: an item without any values."""
    parts = [np.empty(0) if item is None else _inner(tensor, item) for item in items]
    some = [part for part, item in zip(parts, items) if item is not None]
    starts = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=starts[1:])
    return Ragged(np.concatenate(some) if some else np.empty(0, tensor.dtype), starts)


def _inner(tensor: Tensor, item: np.ndarray) -> np.ndarray:
    """A batch of one without its batch axis, the joining axis first."""
    return item[0] if tensor.join == "pad" else np.moveaxis(item, tensor.axis, 0)


def gather(tensors: Sequence[Tensor], columns: Columns, rows: np.ndarray) -> Arrays:
    """Some of the items as one batch."""
    if not any(isinstance(columns[t.name], Ragged) for t in tensors):
        return {t.name: columns[t.name][rows] for t in tensors}
    return join(tensors, [{t.name: _outer(t, columns[t.name], row) for t in tensors} for row in rows])


def _outer(tensor: Tensor, column: np.ndarray | Ragged | Windows, row: int) -> np.ndarray:
    """An item as a batch of one."""
    if not isinstance(column, Ragged):
        return column[np.array([row])]
    values = column.values[column.starts[row] : column.starts[row + 1]]
    return values[None] if tensor.join == "pad" else np.moveaxis(values, 0, tensor.axis)
