"""Graphs: many small ones to tell apart, or one big one whose nodes are the items.

Many, in an .npz    node_offset (G + 1,), edge_index (2, E) of global node numbers, y (G,); node_tag (N,), x (N, d) or
                    both; fold (G,)
Many, in a .jsonl   a line {"nodes": [[...], ...], "edges": [[from, to], ...], "label": ..., "split": ...} for each
One, in an .npz     edge_index (2, E), y (N,), x (N, d) or its rows as x_indptr, x_indices, x_data, x_shape; ids (N,);
                    train_idx, val_idx, test_idx
One, in a folder    nodes.csv (id, columns of numbers, the target, split) and edges.csv (its first two columns are ids)

All batches share the one graph: one pass through the network gives every node's answer, and the loss takes the batch's
rows. Its features and edges travel with the network's weights into the bundle (whoever has the bundle has the graph),
so that a request names a node, or describes a new one by its features and neighbours (preprocess/nodes.py). Nodes
without a label, and nodes that stand in no part of a split the data declares, are heard and not learnt from.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np

from deepen.data.graphs import Many, One, read, said, within
from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, counted
from deepen.preprocess.graph import scale_of, tidy
from deepen.preprocess.row import Rows, text_or_none
from deepen.schema import Natural


class Graphs:
    """Many small graphs, or one big graph whose nodes are the items: .npz, .jsonl, or a folder with nodes.csv and edges.csv.

    target    the column of nodes.csv to predict
    directed  edges lead one way; otherwise each is followed both ways
    fold      of a set that comes in folds: the one to test with
    scale     columns: every number to mean 0 and deviation 1; rows: a node's numbers to shares of their sum (words,
              tags); left out: rows where they are never negative and most of them zero
    """

    def __init__(
        self,
        path: str,
        target: str | None = None,
        kind: Literal["classes", "number", "labels"] | None = None,
        directed: bool = False,
        fold: Natural | None = None,
        scale: Literal["columns", "rows"] | None = None,
    ) -> None:
        self.path, self.target, self.kind = path, target, kind
        self.directed, self.fold, self.scale = directed, fold, scale

    def read(self) -> Items:
        found = read(self.path, self.target)
        return self._graphs(found) if isinstance(found, Many) else self._nodes(found)

    def _graphs(self, found: Many) -> Items:
        bare = not any(isinstance(label, list) or text_or_none(label) is not None for label in found.labels)
        target, kind = (found.labels, "classes") if bare else self._answers(found.labels, found.notes)
        sizes = np.array([len(graph["nodes"]) for graph in found.graphs])
        before = np.cumsum(sizes) - sizes
        joined = (graph["edges"] + start for graph, start in zip(found.graphs, before))
        edges = np.concatenate([np.empty((0, 2), np.int64), *joined]).T
        return Items(
            ids=found.ids,
            inputs={"graph": found.graphs},
            encoders={"graph": ("graph", {"directed": self.directed, "scale": self.scale})},
            target=target,
            kind=kind,
            split=self._split(found),
            hashes=[_hash(graph["nodes"], graph["edges"]) for graph in found.graphs],
            bad=found.bad,
            missing=self._no_label() if bare else None,
            notes=found.notes + said(edges, int(sizes.sum()), self.directed),
        )

    def _split(self, found: Many) -> list[str | None] | None:
        """What the data declares, or one fold to test with; the other folds are shared out."""
        if self.fold is None:
            return found.split
        known = [] if found.folds is None else np.unique(found.folds[found.folds >= 0]).tolist()
        if self.fold not in known:
            expected = f"folds {known[0]} to {known[-1]}" if known else "an array fold in the file"
            raise DeepenError("data.fold", "data.fold", f"fold {self.fold}", expected)
        return ["test" if fold == self.fold else "train" for fold in found.folds]  # type: ignore[union-attr]

    def _nodes(self, found: One) -> Items:
        ids, features, count, notes = found.ids, found.features, len(found.ids), found.notes
        given = within(found)
        edges = tidy(given, count, self.directed)
        notes += said(given, count, self.directed)
        target, kind = self._answers(found.labels, notes)
        if found.split and (apart := found.split.count(None)):
            notes.append(f"{counted(apart, 'node')} in no part of the split: heard, not learnt from")
            target = [value if part else None for value, part in zip(target, found.split)]
        missing = np.isnan(features).any(1)
        if some := int(missing.sum()):
            notes.append(f"{counted(some, 'node')} without numbers: heard with the mean of the others in their place")
        stays = np.flatnonzero(~missing).tolist()
        degree = np.bincount(edges[1], minlength=count)
        heard = np.split(edges[0][np.argsort(edges[1], kind="stable")], np.cumsum(degree)[:-1])
        scale = self.scale or scale_of([features[stays]])
        options = {"ids": ids, "edges": edges.shape[1], "width": features.shape[1], "scale": scale}
        return Items(
            ids=[ids[row] for row in stays],
            inputs={"node": np.array(ids, object)[stays]},
            encoders={"node": ("nodes", options)},
            target=[target[row] for row in stays],
            kind=kind,
            split=[found.split[row] for row in stays] if found.split else None,
            columns=Rows({"neighbours": degree[stays].astype(np.float64)}),
            hashes=[_hash(features[row], heard[row]) for row in stays],
            bad=[Bad(ids[row], "missing or infinite numbers") for row in np.flatnonzero(missing)],
            notes=notes,
            shared={"node": {"features": features, "edges": edges}},
        )

    def _no_label(self) -> DeepenError:
        return DeepenError(
            "data.target", self.path, "no label at all", "labels to learn from",
            "to make graphs like these: method=elbo, to tell links: data.name=links",
        )  # fmt: skip

    def _answers(self, labels: list[Any], notes: list[str]) -> tuple[list[Any], str]:
        """Raw labels, None where there is none, and their kind."""
        found = [value if isinstance(value, list) or text_or_none(value) is not None else None for value in labels]
        known = [value for value in found if value is not None]
        if labels and not known:
            raise self._no_label()
        if known and isinstance(known[0], list):
            return [None if v is None else [str(i) for i, on in enumerate(v) if on] for v in found], "labels"
        numbers = [_number(value) for value in known]
        names = any(n is None for n in numbers) or all(n.is_integer() for n in numbers if n is not None)
        kind = self.kind or ("classes" if names else "number")
        if kind == "number":
            return [None if value is None else _number(value) for value in found], kind
        if -1 in known and set(known) == {*range(-1, len(set(known)) - 1)}:
            notes.append(f"{known.count(-1)} labels of -1 beside classes from 0 on: they count as none")
            found = [None if value == -1 else value for value in found]
        return found, kind


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _hash(*arrays: np.ndarray) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for array in arrays:
        whole.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()
