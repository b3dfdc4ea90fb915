"""Named tensors, and how items join a batch: the one rule for training, export and server.

Every input of a network says by `join` what a batch of several items is:

    stack   rows of equal shape, one per item: concatenated on the first axis
    pad     sequences (B, L, ...): padded on the second axis to the longest, then concatenated
    concat  parts of an item (nodes, edges): concatenated on `axis`
    shift   numbers of parts (an edge names its nodes): moved on by the parts that came before, then concatenated

NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

Arrays = dict[str, np.ndarray]


class Tensor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output of a graph. A size given by name ("batch", "nodes") differs from batch to batch."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    join: Literal["stack", "pad", "concat", "shift"] = "stack"
    axis: int = 0
    of: str = ""  # shift: the dimension its numbers count
    fill: float = 0  # pad: what fills up


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
