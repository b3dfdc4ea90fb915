"""Small graphs: nodes with features, directed edges; a batch is their disjoint union.

nodes  float32 (nodes, d)     edges  int64 (2, edges)     graph  int64 (nodes,): which graph a node belongs to
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid
from deepen.tensors import Arrays, Tensor, join


class Graph(msgspec.Struct, frozen=True):
    """A graph whose nodes carry `width` numbers each."""

    width: int

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("nodes", "float32", ("nodes", self.width), join="concat"),
            Tensor("edges", "int64", (2, "edges"), join="shift", axis=1, of="nodes"),
            Tensor("graph", "int64", ("nodes",), join="shift", of="batch"),
        )

    @classmethod
    def fit(cls, values: Sequence[Mapping[str, Any]], **_: Any) -> Graph:
        return cls(np.asarray(values[0]["nodes"]).shape[1])

    def encode(self, values: Sequence[Mapping[str, Any]]) -> Arrays:
        return join(self.tensors, [self._one(value, row) for row, value in enumerate(values)])

    def _one(self, value: Mapping[str, Any], row: int) -> Arrays:
        nodes = np.asarray(value["nodes"], np.float32)
        edges = np.asarray(value["edges"], np.int64).reshape(-1, 2).T
        if nodes.ndim != 2 or nodes.shape[1] != self.width or not len(nodes):
            raise Invalid(f"nodes of shape {nodes.shape}", f"at least one node of {self.width} numbers", row)
        if edges.size and (edges.min() < 0 or edges.max() >= len(nodes)):
            raise Invalid(f"an edge names node {edges.max()}", f"nodes 0 to {len(nodes) - 1}", row)
        return {"nodes": nodes, "edges": edges, "graph": np.zeros(len(nodes), np.int64)}

    def parse(self, value: Any) -> Any:
        if not isinstance(value, dict) or set(value) != {"nodes", "edges"}:
            raise Invalid("not a graph", '{"nodes": [[...], ...], "edges": [[from, to], ...]}')
        try:
            self._one(value, 0)
        except (ValueError, TypeError):
            raise Invalid("not a graph", '{"nodes": [[...], ...], "edges": [[from, to], ...]}') from None
        return value

    def dump(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {"nodes": np.asarray(value["nodes"]).tolist(), "edges": np.asarray(value["edges"]).tolist()}

    def describe(self) -> str:
        return f"graphs with {self.width} numbers a node"
