"""Reading graphs as they lie: .npz, JSON lines, a folder with two tables. Torch-free.

A graph that does not fit is set aside with the reason; what is guessed or left out is said.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepen.config import PICKLES, pickled
from deepen.data import npz, tables
from deepen.data.items import Bad
from deepen.errors import DeepenError, counted, unknown
from deepen.machine import memory
from deepen.preprocess.graph import tidy
from deepen.preprocess.row import text_or_none

PARTS = ("train", "val", "test")
SHAPE = "node_offset, edge_index and y of many graphs, or edge_index, x and y of one"
MOST_TAGS = 1000


class Many(NamedTuple):
    """G graphs {"nodes": (n, d), "edges": (e, 2)}; folds (G,) where the set comes in folds."""

    ids: list[str]
    graphs: list[dict[str, Any]]
    labels: list[Any]
    split: list[str | None] | None
    folds: np.ndarray | None
    bad: list[Bad]
    notes: list[str]


class One(NamedTuple):
    """One graph: ids of N nodes, features (N, d) with NaN for missing, edges (2, E); -1: an unknown node."""

    ids: list[str]
    features: np.ndarray
    edges: np.ndarray
    labels: list[Any]
    split: list[str | None] | None
    notes: list[str]


def read(path: str, target: str | None, asks: bool = True) -> Many | One:
    """What lies at a path. `target`: the column of nodes.csv to predict; asks: there is to be one."""
    place = Path(path)
    lower = place.name.lower()
    if not place.exists():
        raise DeepenError("data.path", path, "nothing there", "an .npz, a .jsonl or a folder")
    if lower.endswith(PICKLES):
        raise pickled(path)
    if place.is_dir():
        return _folder(place, target, asks)
    if lower.endswith((".jsonl", ".ndjson")):
        return _lines(place)
    if not lower.endswith(".npz"):
        raise DeepenError("data.graphs", path, "not a kind of file known here", ".npz, .jsonl or a folder")
    arrays = _Arrays(path)
    return arrays.many() if "node_offset" in arrays.found else arrays.one()


def _lines(place: Path) -> Many:
    """Graphs from JSON lines; one that does not fit is set aside."""
    found = Many([], [], [], [], None, [], [])
    split: list[str | None] = []
    for number, line in enumerate(place.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        name = f"{place.name}:{number}"
        try:
            value = json.loads(line)
            graph = _graph(value, found.graphs[0]["nodes"].shape[1] if found.graphs else None)
            if value.get("split") not in (None, *PARTS):
                raise ValueError(f"split {str(value['split'])[:40]!r}")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as problem:
            found.bad.append(Bad(name, f"no {problem}" if isinstance(problem, KeyError) else str(problem)[:200]))
            continue
        found.ids.append(name)
        found.graphs.append(graph)
        found.labels.append(value.get("label"))
        split.append(value.get("split"))
    return found._replace(split=split if any(split) else None)


def _graph(value: dict[str, Any], width: int | None) -> dict[str, Any]:
    nodes, edges = np.asarray(value["nodes"], np.float64), np.asarray(value["edges"])
    if nodes.ndim != 2 or not len(nodes) or nodes.shape[1] != (width or nodes.shape[1]):
        raise ValueError(f"nodes of shape {nodes.shape}")
    if not (np.abs(nodes) < 3.4e38).all():  # float32
        raise ValueError("missing or infinite numbers")
    if edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu"):
        raise ValueError("edges that are no pairs of whole numbers")
    if edges.size and (edges.min() < 0 or edges.max() >= len(nodes)):
        raise ValueError("an edge to an unknown node")
    return {"nodes": nodes.astype(np.float32), "edges": edges.astype(np.int64).reshape(-1, 2)}


def said(given: np.ndarray, nodes: int, directed: bool) -> list[str]:
    """What tidying does to edges (2, E)."""
    notes = []
    if loops := int((given[0] == given[1]).sum()):
        notes.append(f"{counted(loops, 'edge')} from a node to itself left out: the networks add one to every node")
    once, edges = tidy(given, nodes, True), tidy(given, nodes, directed)
    if twice := given.shape[1] - loops - once.shape[1]:
        notes.append(f"{counted(twice, 'edge')} given twice: kept once")
    if one_way := edges.shape[1] - once.shape[1]:
        notes.append(f"{counted(one_way, 'edge')} followed backwards too (data.directed=true: one way only)")
    if alone := nodes - len(np.unique(edges)):
        notes.append(f"{counted(alone, 'node')} without a neighbour")
    return notes


def within(found: One) -> np.ndarray:
    """The edges of one graph between nodes that are there; how many are not is noted."""
    known = np.asarray((found.edges >= 0) & (found.edges < len(found.ids))).all(0)
    if lost := int((~known).sum()):
        found.notes.append(f"{counted(lost, 'edge')} to unknown nodes left out")
    return found.edges[:, known]


# ---------------------------------------------------------------- two tables


def _folder(place: Path, target: str | None, asks: bool) -> One:
    for name in ("nodes.csv", "edges.csv"):
        if not (place / name).is_file():
            raise DeepenError("data.graphs", str(place), f"no {name} in it", "nodes.csv and edges.csv")
    where = str(place / "nodes.csv")
    nodes, pairs = tables.read(where), tables.read(str(place / "edges.csv"))
    columns = dict(zip(nodes.names, nodes.columns))
    ids = [str(name) for name in columns.pop(nodes.names[0]).tolist()]
    if len(set(ids)) != len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise DeepenError("data.graphs", where, f"id {twice!r} stands twice", "one row a node")
    parts = columns.pop("split", None)
    labels = columns.pop(_target(target, list(columns), where)) if asks or target else np.full(len(ids), None)
    notes = [*nodes.notes, *pairs.notes]
    bad = [*nodes.bad, *pairs.bad]
    if bad:
        notes.append(f"{counted(len(bad), 'line')} left out: {bad[0].reason} (first: {bad[0].id})")
    split = None if parts is None else [text_or_none(part) for part in parts]
    odd = next((part for part in split or () if part not in (*PARTS, None)), None)
    if odd is not None:
        raise DeepenError("data.split", where, f"split {odd!r}", f"one of {', '.join(PARTS)}")
    row = {name: i for i, name in enumerate(ids)}
    ends = [np.array([row.get(str(name), -1) for name in column], np.int64) for column in pairs.columns[:2]]
    if len(pairs.names) > 2:
        notes.append(f"edges.csv: columns left out: {', '.join(pairs.names[2:])}")
    return One(ids, _columns(columns, where, asks), np.stack(ends), labels.tolist(), split, notes)


def _target(target: str | None, known: list[str], where: str) -> str:
    if target is None:
        raise DeepenError(
            "data.target", where, "which column to predict is not said", f"one of {', '.join(known[:30])}",
            f"target={known[-1] if known else '...'}",
        )  # fmt: skip
    if target not in known:
        raise unknown("data.column", "data.target", target, known, what="column")
    return target


def _columns(columns: dict[str, np.ndarray], where: str, asks: bool) -> np.ndarray:
    """Columns of text as numbers float32 (N, d), NaN where one is missing."""
    if not columns:
        raise DeepenError("data.columns", where, "no column of numbers beside id and target", "at least one")
    found = np.empty((len(next(iter(columns.values()))), len(columns)))
    for j, (name, cells) in enumerate(columns.items()):
        for row, cell in enumerate(cells):
            text = text_or_none(cell)
            try:
                found[row, j] = np.nan if text is None else float(text)
            except ValueError:
                way = "" if asks else f"data.target={name} leaves that column out; "
                raise DeepenError(
                    "data.columns", f"{where}: column {name!r}", f"holds {str(cell)[:40]!r}", "numbers",
                    f"{way}categories of nodes: one column of 0 and 1 for each",
                ) from None  # fmt: skip
    return np.where(np.abs(found) < 3.4e38, found, np.nan).astype(np.float32)


# ---------------------------------------------------------------- arrays


class _Arrays:
    """The arrays of an .npz file, and what graphs they hold."""

    def __init__(self, path: str) -> None:
        self.path = path
        with npz.reading(path, "data.graphs") as size:
            self._fits(path, size, f"{size / 1e9:.1f} GB of arrays")
            with np.load(path, allow_pickle=False) as file:
                self.found = {name: file[name] for name in file.files}

    def many(self) -> Many:
        offset = self["node_offset"]
        y = self._labels(len(offset) - 1)
        count = int(offset[-1]) if offset.ndim == 1 and len(offset) else -1
        if offset.dtype.kind not in "iu" or count < 0 or offset[0] != 0 or (np.diff(offset) < 0).any():
            raise self._wrong("node_offset", "no rising whole numbers from 0 on", "where the nodes of each graph begin")
        if len(y) != len(offset) - 1:
            raise self._wrong(
                "y", f"{counted(len(y), 'label')} for {counted(len(offset) - 1, 'graph')}", "one for each"
            )
        result = Many([], [], [], None, self.found.get("fold"), [], [])
        features, edges = self._numbers(count, result.notes), self._edges()
        owner = np.repeat(np.arange(len(y)), np.diff(offset))  # of each node its graph
        known = np.asarray((edges >= 0) & (edges < count)).all(0)
        ends = owner[np.where(known, edges, 0)] if count else edges
        inside = known & (ends[0] == ends[1])
        if lost := int((~inside).sum()):
            result.notes.append(f"{counted(lost, 'edge')} to unknown nodes or to another graph left out")
        edges, home = edges[:, inside], ends[0, inside]
        edges = edges[:, np.argsort(home, kind="stable")]
        starts = np.searchsorted(np.sort(home), np.arange(len(y) + 1))
        kept, labels = [], y.tolist()
        for g, (a, b) in enumerate(pairwise(offset.tolist())):
            name = f"{Path(self.path).name}:{g}"
            nodes = features[a:b]
            if a == b or not np.isfinite(nodes).all():
                result.bad.append(Bad(name, "a graph without nodes" if a == b else "missing or infinite numbers"))
                continue
            result.ids.append(name)
            result.graphs.append({"nodes": nodes, "edges": edges[:, starts[g] : starts[g + 1]].T - a})
            result.labels.append(labels[g])
            kept.append(g)
        return result._replace(folds=None if result.folds is None else result.folds[kept])

    def one(self) -> One:
        y, notes = self._labels(self._count()), list[str]()
        ids = [str(name) for name in self.found.get("ids", np.arange(len(y))).tolist()]
        if len(ids) != len(y) or len(set(ids)) != len(ids):
            raise self._wrong("ids", f"{len(set(ids))} different ids for {len(y)} nodes", "one for each")
        return One(ids, self._numbers(len(y), notes), self._edges(), y.tolist(), self._declared(len(y)), notes)

    def _labels(self, count: int) -> np.ndarray:
        """One for each node or graph; None where the file has none."""
        return self.found.get("y", np.full(count, None))

    def _count(self) -> int:
        """How many nodes one graph has, as the first array says that holds something of each."""
        if "x_shape" in self.found:
            return int(self.found["x_shape"][0])
        name = next((name for name in ("y", "x", "node_tag", "ids") if name in self.found), None)
        return len(self[name]) if name else int(self._edges().max(initial=-1)) + 1

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.found:
            shown = ", ".join(sorted(self.found)[:12]) or "nothing"
            raise DeepenError("data.graphs", self.path, f"no array {name!r} (it holds {shown})", SHAPE)
        return self.found[name]

    def _wrong(self, array: str, found: str, expected: str) -> DeepenError:
        return DeepenError("data.graphs", f"{self.path}: {array}", found, expected)

    def _fits(self, where: str, size: int, found: str) -> None:
        if size > memory():
            raise DeepenError("data.graphs", where, found, f"at most the {memory() / 1e9:.1f} GB free")

    def _edges(self) -> np.ndarray:
        edges = self["edge_index"]
        if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype.kind not in "iu":
            raise self._wrong("edge_index", f"{edges.dtype} {edges.shape}", "whole numbers (2, edges)")
        return edges.astype(np.int64)

    def _declared(self, count: int) -> list[str | None] | None:
        """The part of each node; None: in no part."""
        split: list[str | None] = [None] * count
        for part in PARTS:
            rows = self.found.get(f"{part}_idx", np.empty(0, int))
            whole = rows.ndim == 1 and rows.dtype.kind in "iu"
            if not whole or (len(rows) and not 0 <= rows.min() <= rows.max() < count):
                raise self._wrong(f"{part}_idx", "what are no node numbers", f"whole numbers from 0 to {count - 1}")
            for row in rows.tolist():
                if split[row] not in (None, part):
                    raise self._wrong(f"{part}_idx", f"node {row} stands in {split[row]} too", "parts without overlap")
                split[row] = part
        return split if "train" in split else None

    def _numbers(self, count: int, notes: list[str]) -> np.ndarray:
        """What each node carries, float32 (N, d): tags one-hot, then numbers; nothing: the number 1."""
        parts = []
        if "node_tag" in self.found:
            parts.append(self._tags(count, notes))
        if "x_indptr" in self.found:
            parts.append(self._sparse())
        elif "x" in self.found:
            x = self.found["x"]
            if x.ndim != 2 or x.dtype.kind not in "fiub":
                raise self._wrong("x", f"{x.dtype} {x.shape}", "numbers (nodes, d)")
            parts.append(np.where(np.abs(x.astype(np.float64)) < 3.4e38, x, np.nan).astype(np.float32))
        if not parts:
            notes.append("nodes carry no numbers: only the edges tell them apart")
            parts.append(np.ones((count, 1), np.float32))
        if any(len(part) != count for part in parts):
            raise self._wrong("x", counted(len(parts[-1]), "row"), f"one for each of {count} nodes")
        return np.concatenate(parts, 1)

    def _tags(self, count: int, notes: list[str]) -> np.ndarray:
        given = self.found["node_tag"]
        tags, codes = np.unique(given, return_inverse=True)
        if given.shape != (count,) or len(tags) > MOST_TAGS:
            raise self._wrong("node_tag", f"{len(tags)} tags, shape {given.shape}", f"a tag for each of {count} nodes")
        shown = ", ".join(map(str, tags[:8].tolist())) + (", ..." if len(tags) > 8 else "")
        notes.append(f"node_tag as {counted(len(tags), 'column')} of 0 and 1, in the order {shown}")
        return np.eye(len(tags), dtype=np.float32)[codes]

    def _sparse(self) -> np.ndarray:
        """Rows kept as the places and values of what is not zero."""
        starts, places, values = self["x_indptr"], self["x_indices"], self["x_data"]
        rows, width = (int(n) for n in self["x_shape"])
        whole = len(starts) == rows + 1 and len(places) == len(values) == starts[-1] and (np.diff(starts) >= 0).all()
        if not whole or (len(places) and not 0 <= places.min() <= places.max() < width):
            raise self._wrong("x_indptr", f"rows that do not fit shape ({rows}, {width})", "a matrix in CSR form")
        self._fits(f"{self.path}: x_shape", rows * width * 4, f"{rows} x {width} numbers")
        dense = np.zeros((rows, width), np.float32)
        dense[np.repeat(np.arange(rows), np.diff(starts)), places] = values
        return dense
