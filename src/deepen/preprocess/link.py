"""Pairs of nodes of one big graph that all batches share. A raw item is two ids, in JSON {"nodes": ["31336", "1061127"]}.

pair  int64 (B, 2)    rows of the shared graph; the order does not matter
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from deepen.errors import Invalid, counted, typed
from deepen.tensors import Arrays, Tensor

SHAPE = '{"nodes": [id, id]}'


class Link(msgspec.Struct, frozen=True, dict=True):
    """The ids of the shared graph's nodes in order, how many edges are known, and how many numbers each node carries."""

    ids: tuple[str, ...]
    edges: int
    width: int
    scale: Literal["columns", "rows"] = "columns"

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("pair", "int64", ("batch", 2)),)

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    @classmethod
    def fit(cls, values: Sequence[Any], ids: Sequence[str], edges: int, width: int, scale: str, **_: Any) -> Link:
        """Nothing is learnt from the training pairs: the nodes are there before any of them."""
        return cls(tuple(ids), edges, width, scale)  # type: ignore[arg-type]

    def encode(self, values: Sequence[Any]) -> Arrays:
        pairs = np.zeros((len(values), 2), np.int64)
        for row, value in enumerate(values):
            try:
                pairs[row] = [self._known(name) for name in _two(value)]
            except Invalid as problem:
                raise problem.at(row) from None
        return {"pair": pairs}

    def _known(self, name: Any) -> int:
        row = self.rows.get(str(name)) if type(name) in {str, int} else None
        if row is None:
            raise Invalid(f"node {str(name)[:40]!r} is not in the graph", "ids of its nodes")
        return row

    def parse(self, value: Any) -> tuple[str, str]:
        """What a client may send in JSON; an id may be a number."""
        if not isinstance(value, dict) or set(value) != {"nodes"}:
            raise Invalid(f"got {typed(value)}", SHAPE)
        one, other = _two(value["nodes"])
        self._known(one)
        self._known(other)
        return str(one), str(other)

    def dump(self, value: Any) -> dict[str, Any]:
        return {"nodes": [str(name) for name in value]}

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """Nothing: which pairs are asked about says nothing of the graph. The answers are watched."""
        return {}

    def describe(self) -> str:
        return f"pairs of {counted(len(self.ids), 'node')} with {counted(self.width, 'number')} each, {counted(self.edges, 'edge')}"


def _two(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Invalid("no pair of ids", SHAPE)
    return value
