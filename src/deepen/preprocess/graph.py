"""Small graphs: nodes with features, edges between them; a batch is their disjoint union.

nodes  float32 (nodes, d)     edges  int64 (2, edges)     graph  int64 (nodes,): which graph a node belongs to

Edges are tidied here, so that a client need not: both ways unless the graphs are directed, each pair once, none from a
node to itself (the networks add what a node says to itself).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from deepen.errors import Invalid, counted
from deepen.tensors import Arrays, Tensor, join

SHAPE = '{"nodes": [[...], ...], "edges": [[from, to], ...]}'
SPARSE = 0.8  # a share of zeros from which numbers that are never negative count something: words of a text, tags


class Graph(msgspec.Struct, frozen=True):
    """A graph whose nodes carry `width` numbers each; `scale`: by column, or each node's to their sum."""

    width: int
    directed: bool = True
    scale: Literal["columns", "rows"] = "columns"

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("nodes", "float32", ("nodes", self.width), join="concat"),
            Tensor("edges", "int64", (2, "edges"), join="shift", axis=1, of="nodes"),
            Tensor("graph", "int64", ("nodes",), join="shift", of="batch"),
        )

    @classmethod
    def fit(
        cls, values: Sequence[Mapping[str, Any]], directed: bool = True, scale: str | None = None, **_: Any
    ) -> Graph:
        width = np.asarray(values[0]["nodes"]).shape[1]
        return cls(width, directed, scale or scale_of(value["nodes"] for value in values))  # type: ignore[arg-type]

    def encode(self, values: Sequence[Mapping[str, Any]]) -> Arrays:
        return join(self.tensors, [self._one(value, row) for row, value in enumerate(values)])

    def _one(self, value: Mapping[str, Any], row: int) -> Arrays:
        try:
            nodes, edges = np.asarray(value["nodes"]), np.asarray(value["edges"])
        except (ValueError, TypeError, KeyError):
            raise Invalid("not a graph", SHAPE, row) from None
        if nodes.ndim != 2 or nodes.shape[1] != self.width or not len(nodes) or nodes.dtype.kind not in "iuf":
            raise Invalid(f"nodes of shape {nodes.shape}", f"at least one node of {self.width} numbers", row)
        if not (np.abs(nodes) < 3.4e38).all():  # float32
            raise Invalid("a node whose numbers are not finite", "finite numbers", row)
        if edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu"):
            raise Invalid("edges that are no pairs of whole numbers", "[[from, to], ...]", row)
        if edges.size and (edges.min() < 0 or edges.max() >= len(nodes)):
            wrong = edges.min() if edges.min() < 0 else edges.max()
            raise Invalid(f"an edge names node {wrong}", f"nodes 0 to {len(nodes) - 1}", row)
        return {
            "nodes": nodes.astype(np.float32),
            "edges": tidy(edges.astype(np.int64).reshape(-1, 2).T, len(nodes), self.directed),
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
        return f"graphs with {counted(self.width, 'number')} a node"


def tidy(edges: np.ndarray, nodes: int, directed: bool) -> np.ndarray:
    """Edges int64 (2, E) in order, each pair once, none from a node to itself, both ways unless directed."""
    edges = edges[:, edges[0] != edges[1]]
    if not directed:
        edges = np.concatenate([edges, edges[::-1]], 1)
    pair = np.unique(edges[0] * nodes + edges[1])
    return np.stack([pair // nodes, pair % nodes])


def scale_of(nodes: Any) -> str:
    """`rows` where the numbers of (several) nodes (n, d) count something, such as words or one tag of several."""
    zeros = total = 0
    for some in nodes:
        some = np.asarray(some)
        if some.shape[1] == 1 or (some < 0).any():
            return "columns"
        zeros, total = zeros + int((some == 0).sum()), total + some.size
    return "rows" if total and zeros >= SPARSE * total else "columns"
