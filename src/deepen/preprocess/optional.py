"""An input that an item may lack: what is there, and whether it is.

the inner encoder's tensors, blank (filled up, or 0) where there is nothing, then
there  float32 (n, 1), 1 where the item has it, else 0

A network puts something learnt in the place of what is not there; blanks themselves never reach an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid
from deepen.tensors import Arrays, Columns, Tensor

MISSED = "(missing)"  # as of a row's cells


class Optional(msgspec.Struct, frozen=True):
    """Another encoder's raw values, or None."""

    inner: Any

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.inner.tensors, Tensor("there", "float32", ("batch", 1)))

    def encode(self, values: Sequence[Any]) -> Arrays:
        known = [row for row, value in enumerate(values) if value is not None]
        try:
            found = self.inner.encode([values[row] for row in known]) if known else {}
        except Invalid as problem:
            raise problem.at(known[problem.row]) from None
        result: Arrays = {"there": np.zeros((len(values), 1), np.float32)}
        result["there"][known] = 1
        for tensor in self.inner.tensors:
            own = found.get(tensor.name)
            sizes = (
                [size if isinstance(size, int) else 1 for size in tensor.shape[1:]] if own is None else own.shape[1:]
            )
            array = np.full((len(values), *sizes), tensor.fill, tensor.dtype)
            if own is not None:
                array[known] = own
            result[tensor.name] = array
        return result

    def parse(self, value: Any) -> Any:
        return None if value is None else self.inner.parse(value)

    def dump(self, value: Any) -> Any:
        return None if value is None else self.inner.dump(value)

    def place(self, index: Sequence[int]) -> str:
        return self.inner.place(index)

    def extremes(self, arrays: Arrays) -> Arrays:
        """The inner values' own, where they have such; every other item lacks its value."""
        own = {tensor.name: arrays[tensor.name] for tensor in self.inner.tensors}
        found = self.inner.extremes(own) if hasattr(self.inner, "extremes") else {n: a.copy() for n, a in own.items()}
        for tensor in self.inner.tensors:
            found[tensor.name][::2] = tensor.fill
        there = np.ones((len(arrays["there"]), 1), np.float32)
        there[::2] = 0
        return {**found, "there": there}

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of the inner values, missing where there are none."""
        there = arrays["there"][:, 0] > 0
        found = self.inner.statistics({t.name: arrays[t.name] for t in self.inner.tensors})
        return {
            name: np.where(there, values, np.nan if values.dtype.kind == "f" else MISSED)
            for name, values in found.items()
        }

    def remarks(self, columns: Columns, held: np.ndarray, values: Sequence[Any]) -> list[str]:
        there = np.asarray(columns["there"])[:, 0]
        own = self.inner.remarks(columns, held, values) if hasattr(self.inner, "remarks") else []
        return [f"missing in {1 - there.mean():.0%} of the items: something learnt stands in", *own]

    def describe(self) -> str:
        return f"{self.inner.describe()} (may be missing)"
