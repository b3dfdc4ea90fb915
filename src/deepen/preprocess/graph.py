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

SHAPE = '{"nodes": [[...], ...], "edges": [[from, to], ...]}'


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
        try:
            nodes, edges = np.asarray(value["nodes"]), np.asarray(value["edges"])
        except (ValueError, TypeError, KeyError):
            raise Invalid("not a graph", SHAPE, row) from None
        if nodes.ndim != 2 or nodes.shape[1] != self.width or not len(nodes) or nodes.dtype.kind not in "iuf":
            raise Invalid(f"nodes of shape {nodes.shape}", f"at least one node of {self.width} numbers", row)
        if not np.isfinite(nodes).all():
            raise Invalid("a node whose numbers are not finite", "finite numbers", row)
        if edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu"):
            raise Invalid("edges that are no pairs of whole numbers", "[[from, to], ...]", row)
        if edges.size and (edges.min() < 0 or edges.max() >= len(nodes)):
            wrong = edges.min() if edges.min() < 0 else edges.max()
            raise Invalid(f"an edge names node {wrong}", f"nodes 0 to {len(nodes) - 1}", row)
        return {
            "nodes": nodes.astype(np.float32),
            "edges": edges.astype(np.int64).reshape(-1, 2).T,
            "graph": np.zeros(len(nodes), np.int64),
        }

    def parse(self, value: Any) -> Any:
        if not isinstance(value, dict) or set(value) != {"nodes", "edges"}:
            raise Invalid("not a graph", SHAPE)
        self._one(value, 0)
        return value

    def dump(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {"nodes": np.asarray(value["nodes"]).tolist(), "edges": np.asarray(value["edges"]).tolist()}

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each graph: its size, and the mean of each number its nodes carry (of at most 32)."""
        graph = arrays["graph"]
        nodes = np.bincount(graph)
        edges = np.bincount(graph[arrays["edges"][0]], minlength=len(nodes))
        means = {
            f"node {i}": np.bincount(graph, arrays["nodes"][:, i], len(nodes)) / nodes
            for i in range(min(self.width, 32))
        }
        return {"nodes": nodes.astype(np.float64), "edges per node": edges / nodes, **means}

    def describe(self) -> str:
        return f"graphs with {self.width} numbers a node"
