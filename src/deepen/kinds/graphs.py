"""Graphs that are made. Outputs: nodes (B, n, d), links (B, n, n) of 0 and 1, size (B,).

They are told from held-out graphs by what they look like: degrees, clustering, the mean of their nodes' numbers
(content/shapes.py). An answer is written as the source `graphs` reads it, so that what is made can be trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen.content import shapes
from deepen.errors import DeepenError, counted
from deepen.panels import Drawings, Histogram, Panel, Sketch, numbers, thin
from deepen.preprocess.draw import Draw
from deepen.tensors import Arrays, Tensor

LARGEST = 100  # nodes: a draw holds a number for every pair of them
SHOWN = 16


class Graphs(msgspec.Struct, frozen=True, kw_only=True):
    """What graphs are made like.

    reads        how the training graphs were read
    sizes        how many of them have 0, 1, ... nodes
    links        share of the pairs of nodes that are linked
    mean, scale  of each number a node carries
    tags         whether a node's numbers are one 1 among zeros
    code         numbers a node is made from, and as many the whole graph
    """

    reads: dict[str, dict[str, Any]]
    sizes: tuple[int, ...]
    links: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    tags: bool
    code: int

    metric: ClassVar[str] = "degree_mmd"
    fitted: ClassVar[str] = "train"
    model: ClassVar[str] = "graph_autoencoder"
    distances: ClassVar[tuple[str, ...]] = ("degree_mmd", "clustering_mmd", "node_mmd")
    steps: ClassVar[list[dict[str, Any]]] = []
    width: ClassVar[int] = 1

    @property
    def most(self) -> int:
        """Nodes of the largest graph, n."""
        return len(self.sizes) - 1

    @property
    def draws(self) -> int:
        """Numbers a graph is made from: its size, the codes of its nodes and its own, their noise, of each pair a coin."""
        n, noise = self.most, 1 if self.tags else len(self.mean)
        return 1 + (n + 1) * self.code + n * noise + n * (n - 1) // 2

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        n = self.most
        return (
            Tensor("nodes", "float32", ("batch", n, len(self.mean))),
            Tensor("links", "float32", ("batch", n, n)),
            Tensor("size", "int64", ("batch",)),
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    # ---------------------------------------------------------------- what is to be made

    @classmethod
    def of(cls, inputs: dict[str, Any], columns: dict[str, Any], rows: np.ndarray, **own: Any) -> Graphs:
        """What the training graphs are like."""
        (encoder,) = inputs.values()
        if encoder.directed:
            raise DeepenError("method.input", "method", "edges that lead one way", "links", "data.directed=false")
        sizes = np.diff(columns["nodes"].starts)[rows]
        if not 2 <= sizes.max() <= LARGEST:
            raise DeepenError(
                "method.input", "method", f"graphs of up to {sizes.max():,} nodes", f"2 to {LARGEST}",
                "leave the largest out" if sizes.max() > LARGEST else "",
            )  # fmt: skip
        nodes = columns["nodes"][rows].astype(np.float64)
        pairs = (sizes * (sizes - 1)).sum()
        ends = np.diff(columns["edges"].starts)[rows].sum()
        return cls(
            sizes=tuple(np.bincount(sizes).tolist()),
            links=float(ends / max(pairs, 1)),
            mean=tuple(nodes.mean(0).tolist()),
            scale=tuple(nodes.std(0).tolist()),
            tags=bool(nodes.shape[1] > 1 and np.isin(nodes, (0, 1)).all() and (nodes.sum(1) == 1).all()),
            **own,
        )

    def column(self, inputs: dict[str, Any], columns: dict[str, Any]) -> np.ndarray:
        """Each graph as float32 (n, 1 + d + n): whether the node is there, its numbers, its links; nodes in order.

        Of one that is larger than any of training its first n nodes.
        """
        nodes, edges = columns["nodes"], columns["edges"]
        n, d = self.most, len(self.mean)
        found = np.zeros((len(nodes), n, 1 + d + n), np.float32)
        for row in range(len(nodes)):
            own = nodes[np.array([row])]
            links = np.zeros((len(own), len(own)))
            links[tuple(edges[np.array([row])].T)] = 1
            order = shapes.ordered(links)[:n]
            size = len(order)
            found[row, :size, 0] = 1
            found[row, :size, 1 : 1 + d] = own[order]
            found[row, :size, 1 + d : 1 + d + size] = links[np.ix_(order, order)]
        return found

    def given(self, count: int) -> tuple[Draw, np.ndarray]:
        """What goes in in the place of so many items, float32 (count, draws)."""
        draws = np.random.default_rng(0).standard_normal((count, self.draws))
        return Draw(self.draws), draws.astype(np.float32)

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.ones(len(target), bool)

    # ---------------------------------------------------------------- answers

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        """As lines of a file that the source `graphs` reads; each link once."""
        found = []
        for nodes, links, size in zip(outputs["nodes"], outputs["links"], outputs["size"].tolist()):
            pairs = np.argwhere(np.triu(links[:size, :size], 1) > 0)
            found.append({"nodes": nodes[:size].tolist(), "edges": pairs.tolist()})
        return found

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        n, d = self.most, len(self.mean)
        made = {
            "nodes": np.zeros((len(answers), n, d), np.float32),
            "links": np.zeros((len(answers), n, n), np.float32),
        }
        size = np.array([len(answer["nodes"]) for answer in answers], np.int64)
        for row, answer in enumerate(answers):
            made["nodes"][row, : size[row]] = answer["nodes"]
            for a, b in answer["edges"]:
                made["links"][row, a, b] = made["links"][row, b, a] = 1
        return {**made, "size": size}

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for resamples (R, n), each (R,)."""
        return apart(self._looks(*self._true(target)), self._looks(*self._made(outputs)), counts)

    def _true(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d = len(self.mean)
        return target[..., 0] > 0, target[..., 1 : 1 + d], target[..., 1 + d :]

    def _made(self, outputs: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.arange(self.most) < outputs["size"][:, None], outputs["nodes"], outputs["links"]

    def _looks(self, there: np.ndarray, nodes: np.ndarray, links: np.ndarray) -> tuple[np.ndarray, ...]:
        """Degrees, clustering, and the mean of the nodes' numbers on the scale of training."""
        scale = np.where(np.array(self.scale) > 0, self.scale, 1.0)
        scaled = (nodes.astype(np.float64) - self.mean) / scale
        mean = (scaled * there[..., None]).sum(1) / there.sum(1, keepdims=True)
        return shapes.degrees(links, there), shapes.clustering(links.astype(np.float64), there), mean

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """Graphs of the held-out sizes whose links are drawn alike."""
        there, nodes, links = self._true(target)
        rng = np.random.default_rng(0)
        coins = np.triu(rng.random(links.shape) < self.links, 1) & there[:, :, None] & there[:, None, :]
        drawn = (coins | coins.transpose(0, 2, 1)).astype(np.float64)
        found = apart(self._looks(there, nodes, links), self._looks(there, nodes, drawn), np.ones((1, len(target))))
        return "links drawn alike", float(found[self.metric][0])

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of graphs with the same nodes and links."""
        same = (a["links"] == b["links"]).all((1, 2)) & (a["size"] == b["size"])
        return float((same & (np.abs(a["nodes"] - b["nodes"]) <= 1e-3).all((1, 2))).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        """The largest of any number of a node, where the links are the same."""
        same = (a["links"] == b["links"]).all((1, 2))
        return float(np.abs(a["nodes"] - b["nodes"])[same].max(initial=0))

    def gap(self, a: Any, b: Any) -> float:
        if a["edges"] != b["edges"] or len(a["nodes"]) != len(b["nodes"]):
            return float("inf")
        return float(np.abs(np.subtract(a["nodes"], b["nodes"])).max(initial=0))

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """A generator is as sure of one item as of another."""
        return np.zeros(len(outputs["size"]))

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each graph: its size and its links."""
        return {"nodes": outputs["size"].astype(np.float64), "links": outputs["links"].sum((1, 2)) / 2.0}

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        return iter(())

    # ---------------------------------------------------------------- panels

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """Some of what is made beside held-out graphs, and what both look like."""
        true, made = self._true(target), self._made(outputs)
        rows = thin(np.empty(len(target)), SHOWN)
        found: list[Panel] = [
            Drawings("Made", self._sketches(rows, *made), "One for each draw, none chosen by hand."),
            Drawings("Held out", self._sketches(rows, *true), "What they are to look like."),
        ]
        for name, (there, _, links) in (("made", made), ("held out", true)):
            counts = np.bincount(links.sum(2).astype(int)[there], minlength=2)
            edges = numbers(np.arange(len(counts) + 1) - 0.5)
            found.append(Histogram(f"Neighbours of a node, {name}", "neighbours", edges, tuple(counts.tolist())))
        return found

    def _sketches(
        self, rows: np.ndarray, there: np.ndarray, nodes: np.ndarray, links: np.ndarray
    ) -> tuple[Sketch, ...]:
        found = []
        for row in rows:
            n = int(there[row].sum())
            own = links[row, :n, :n]
            pairs = np.argwhere(np.triu(own, 1) > 0)
            colour = nodes[row, :n].argmax(1) if self.tags else np.zeros(n, int)
            said = f"{counted(n, 'node')}, {counted(len(pairs), 'link')}"
            places = tuple(map(tuple, shapes.laid_out(own).round(3).tolist()))
            found.append(Sketch(places, tuple(map(tuple, pairs.tolist())), tuple(colour.tolist()), said))
        return tuple(found)

    def describe(self) -> str:
        least = next(size for size, count in enumerate(self.sizes) if count)
        return f"graphs of {least} to {self.most} nodes with {counted(len(self.mean), 'number')} each, made from {self.draws} draws"


def apart(true: tuple[np.ndarray, ...], made: tuple[np.ndarray, ...], counts: np.ndarray) -> dict[str, np.ndarray]:
    """The distances (R,) of what two sets of graphs look like."""
    kernels = {
        "degree_mmd": lambda a, b: shapes.alike(a, b, shapes.DEGREE),
        "clustering_mmd": lambda a, b: shapes.alike(a, b, shapes.CLUSTERING, 1 / shapes.PLACES),
        "node_mmd": shapes.near,
    }
    return {
        name: np.maximum(shapes.mmd(kernel(a, a), kernel(b, b), kernel(a, b), counts), 0)
        for (name, kernel), a, b in zip(kernels.items(), true, made)
    }
