"""Graphs that Python hands over in memory, as torch_geometric holds them: written once, so that the run can be used again.

    deepen.train(dataset[0])     one graph whose nodes are the items; its masks are the split
    deepen.train(dataset)        many graphs, each an item

Whatever has an `edge_index` will do (x, y, train_mask, ... beside it): that library is not imported. The file bears the
hash of its content: the same graphs are the same data, as deepen train FILE has them. Torch-free.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from deepen.console import say
from deepen.errors import DeepenError, counted, listed
from deepen.store import durable

FOLDER = "given"
PARTS = ("train", "val", "test")
LEFT_OUT = ("edge_attr", "edge_weight", "edge_type", "pos")  # what no network here hears
TAKEN = "a path, or graphs of torch_geometric"


def path_of(given: Any, output: str) -> str:
    """Where what is to be trained on lies; graphs in memory are put into a file beside the runs."""
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    graphs = _graphs(given)
    if len(graphs) == 1 and _of_nodes(graphs[0]):
        arrays = _one(graphs[0])
    else:
        arrays = _many(graphs)
    if lost := [name for name in LEFT_OUT if _get(graphs[0], name) is not None]:
        say(f"note     {listed(lost)} left out: the networks here hear who is linked, not how")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    data = buffer.getvalue()
    place = Path(output) / FOLDER / f"{durable.digest(data)[:16]}.npz"
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        durable.replace(place, data)
    say(f"given    {counted(len(graphs), 'graph')}, written to {place}")
    return str(place)


def _graphs(given: Any) -> list[Any]:
    """One or many: a graph, a batch of them, or what gives them one after the other."""
    if callable(getattr(given, "to_data_list", None)):
        return list(given.to_data_list())
    if hasattr(given, "edge_types"):
        found = f"a {type(given).__name__}: nodes and edges of several types"
        raise DeepenError("data.given", "train", found, "one type of each", "deepen.train(data.to_homogeneous())")
    if getattr(given, "adj_t", None) is not None:
        raise DeepenError("data.given", "train", "adj_t", "edge_index", "the graph as it was before ToSparseTensor")
    several = any(kind.__name__ == "Dataset" for kind in type(given).__mro__)  # one passes on what its graphs have
    if not several and getattr(given, "edge_index", None) is not None:
        return [given]
    if not isinstance(given, (list, tuple)) and not several and type(given).__name__ != "DataLoader":
        raise DeepenError(
            "data.given", "train", f"a {type(given).__name__} in memory", TAKEN,
            "write it to a file: numpy.savez('data.npz', x=x, y=y), frame.to_csv('data.csv', index=False)",
        )  # fmt: skip
    graphs = [graph for inner in given for graph in _graphs(inner)]
    if not graphs:
        raise DeepenError("data.given", "train", f"an empty {type(given).__name__}", TAKEN)
    return graphs


def _get(graph: Any, name: str) -> np.ndarray | None:
    """One of its arrays, on whatever device it is."""
    value = getattr(graph, name, None)
    if value is None:
        return None
    if getattr(value, "is_sparse", False) or "sparse" in str(getattr(value, "layout", "")):
        value = value.to_dense()
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
    return np.asarray(value)


def _edges(graph: Any, where: str) -> np.ndarray:
    edges = _get(graph, "edge_index")
    if edges is None or edges.ndim != 2 or len(edges) != 2 or edges.dtype.kind not in "iu":
        found = "no edge_index" if edges is None else f"{edges.dtype} {edges.shape}"
        raise DeepenError("data.given", f"{where}edge_index", found, "whole numbers (2, edges)")
    return edges.astype(np.int64)


def _nodes(graph: Any) -> int:
    """How many there are: as x says, else as it says itself, else those that have an edge."""
    x, said = _get(graph, "x"), getattr(graph, "num_nodes", None)
    if x is not None and x.ndim:
        return len(x)
    return int(said) if said is not None else int(_edges(graph, "").max(initial=-1)) + 1


def _of_nodes(graph: Any) -> bool:
    """Whether its answers are of its nodes: by its masks, or as many labels as nodes, or no label."""
    y = _get(graph, "y")
    masks = any(getattr(graph, f"{part}_mask", None) is not None for part in PARTS)
    return masks or y is None or (y.ndim > 0 and len(y) == _nodes(graph) > 1)


def _one(graph: Any) -> dict[str, np.ndarray]:
    """Arrays of one graph, its masks as numbers of nodes."""
    count = _nodes(graph)
    found = {"edge_index": _edges(graph, ""), "x": _get(graph, "x"), "y": _get(graph, "y")}
    y = found["y"]
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        found["y"] = y[:, 0]
    if found["x"] is None and y is None:
        found["ids"] = np.arange(count)  # nodes without an edge are nodes too
    for part in PARTS:
        mask = _get(graph, f"{part}_mask")
        if mask is not None and mask.shape != (count,):
            several = mask.ndim == 2 and len(mask) == count
            raise DeepenError(
                "data.given", f"{part}_mask", f"{mask.dtype} {mask.shape}", f"one value for each of {count} nodes",
                f"one of its splits: data.{part}_mask = data.{part}_mask[:, 0]" if several else "",
            )  # fmt: skip
        if mask is not None:
            found[f"{part}_idx"] = np.flatnonzero(mask)
    return {name: array for name, array in found.items() if array is not None}


def _many(graphs: list[Any]) -> dict[str, np.ndarray]:
    """Arrays of many graphs, one after the other."""
    sizes = [_nodes(graph) for graph in graphs]
    offset = np.cumsum([0, *sizes])
    edges = [_edges(graph, f"graph {i}: ") for i, graph in enumerate(graphs)]
    for i, (own, size) in enumerate(zip(edges, sizes)):
        if own.size and not 0 <= own.min() <= own.max() < size:  # it would lead into the next graph
            raise DeepenError("data.given", f"graph {i}: edge_index", "an edge to an unknown node", f"0 to {size - 1}")
    found = {"node_offset": offset, "edge_index": np.concatenate([e + o for e, o in zip(edges, offset)], 1)}
    for name, length in (("x", sizes), ("y", [1] * len(sizes))):
        parts = [_get(graph, name) for graph in graphs]
        if any(part is not None for part in parts):
            found[name] = _joined(name, parts, length)
    return found


def _joined(name: str, parts: list[np.ndarray | None], lengths: list[int]) -> np.ndarray:
    """What every graph must have, if one has it: so many rows, each like the others'."""
    rows = [np.empty(0) if part is None else np.atleast_1d(part) for part in parts]
    width = next(row.shape[1:] for part, row in zip(parts, rows) if part is not None)
    for i, (row, length) in enumerate(zip(rows, lengths)):
        if parts[i] is None or row.shape != (length, *width):
            raise DeepenError(
                "data.given", f"graph {i}: {name}", "none" if parts[i] is None else f"shape {row.shape}",
                f"shape {(length, *width)}, as the others have",
                "labels of nodes: one graph at a time, deepen.train(dataset[0])" if name == "y" else "",
            )  # fmt: skip
    whole = np.concatenate(rows)
    return whole[:, 0] if name == "y" and width == (1,) else whole
