"""Graphs handed over in memory become the file that a person would have written; what cannot be is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Graph
from typing import Any

import numpy as np
import pytest
import torch

import deepen
from deepen import config as configs
from deepen.data import handed
from deepen.errors import DeepenError
from deepen.sources.graphs import Graphs

X = torch.tensor([[1.0, 0], [0, 2], [3, 0], [0, 4]])
EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


def mask(*rows: int) -> torch.Tensor:
    return torch.isin(torch.arange(4), torch.tensor(rows))


def nodes(**changes: Any) -> Any:
    """One graph with a split."""
    own = {"x": X, "edge_index": EDGES, "y": torch.tensor([0, 1, 0, 1])}
    parts = {"train_mask": mask(0, 1), "val_mask": mask(2), "test_mask": mask(3)}
    return Graph(**{**own, **parts, **changes})


def pair(y: Any, **changes: Any) -> Any:
    """One of many graphs: two linked nodes."""
    return Graph(**{"x": X[:2], "edge_index": EDGES[:, :1], "y": y, **changes})


def read(given: Any, place: Path) -> Any:
    return Graphs(handed.path_of(given, str(place))).read()


def test_nodes_of_one_graph_with_its_masks(tmp_path, capsys):
    items = read(nodes(), tmp_path)
    assert items.target == [0, 1, 0, 1]
    assert items.split == ["train", "train", "val", "test"]
    np.testing.assert_array_equal(items.shared["node"]["features"], X)
    assert items.shared["node"]["edges"].T.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert "given    1 graph, written to" in capsys.readouterr().out
    again = [
        handed.path_of(given, str(tmp_path)) for given in (nodes(), [nodes()], nodes(y=torch.tensor([1, 1, 0, 1])))
    ]
    assert again[0] == again[1] != again[2], "the same graph is the same file"
    numbers = read(nodes(y=torch.tensor([[0.5], [1.5], [2.5], [3.5]]), x=X.to_sparse()), tmp_path)
    assert (numbers.kind, numbers.target) == ("number", [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(numbers.shared["node"]["features"], X)


def test_what_no_network_here_hears_is_told(tmp_path, capsys):
    read(nodes(edge_attr=torch.ones(3, 1), pos=torch.ones(4, 2)), tmp_path)
    assert "note     edge_attr, pos left out" in capsys.readouterr().out


def test_many_graphs(tmp_path):
    given = [
        pair(torch.tensor([1])),
        nodes(y=torch.tensor([0]), train_mask=None, val_mask=None, test_mask=None),
        pair(0),
    ]
    items = read(given, tmp_path)
    assert items.target == [1, 0, 0]
    assert [graph["nodes"].shape for graph in items.inputs["graph"]] == [(2, 2), (4, 2), (2, 2)]
    assert [graph["edges"].tolist() for graph in items.inputs["graph"]] == [
        [[0, 1]],
        [[0, 1], [1, 2], [2, 0]],
        [[0, 1]],
    ]
    batch = Graph(edge_index=EDGES, to_data_list=lambda: given)
    assert handed.path_of([batch], str(tmp_path)) == handed.path_of(tuple(given), str(tmp_path))
    several = [pair(torch.tensor([row])) for row in ([1.0, 0.0], [1.0, 1.0])]
    assert read(several, tmp_path).target == [["0"], ["0", "1"]]
    assert read([pair(torch.tensor([[label]])) for label in (0, 1)], tmp_path).target == [0, 1]
    bare = handed.path_of([pair(None, x=None, num_nodes=3), pair(None, x=None)], str(tmp_path))
    assert np.load(bare)["node_offset"].tolist() == [0, 3, 5]


def test_nodes_without_numbers_or_edges_are_counted(tmp_path):
    bare = Graph(edge_index=EDGES, num_nodes=9)
    assert len(np.load(handed.path_of(bare, str(tmp_path)))["ids"]) == 9


class Dataset(list):
    """As that library's, it passes on what its graphs have: all of them in one."""

    edge_index = EDGES


class Hetero:
    edge_types = [("paper", "cites", "paper")]


@pytest.mark.parametrize(
    ("given", "match"),
    [(Hetero(), r"a Hetero: nodes and edges of several types.*to_homogeneous"),
     (Graph(adj_t=object(), edge_index=None), "train: adj_t. Expected edge_index. .*ToSparseTensor"),
     (np.ones((3, 2)), r"a ndarray in memory. Expected a path, or graphs.*numpy.savez\('data.npz'.*to_csv"),
     ({"x": 1}, "a dict in memory"), (Dataset(), "an empty Dataset"),
     (nodes(edge_index=EDGES.float()), r"edge_index: float32 \(2, 3\). Expected whole numbers"),
     (nodes(train_mask=mask(0)[:, None].expand(-1, 10)), r"train_mask: bool \(4, 10\).*data.train_mask\[:, 0\]"),
     ([pair(1), pair(None)], "graph 1: y: none"), ([pair(1), pair(0, x=X[:2, :1])], r"graph 1: x: shape \(2, 1\)"),
     ([pair(1), pair(0, x=X)] * 2 + [pair(torch.tensor([0, 1]))], r"graph 4: y: shape \(2,\).*dataset\[0\]"),
     ([pair(1), pair(0, edge_index=EDGES)], "graph 1: edge_index: an edge to an unknown node. Expected 0 to 1")],
    ids=lambda v: v[:18] if isinstance(v, str) else "",
)  # fmt: skip
def test_what_cannot_be_taken_over_is_told(given, match, tmp_path):
    with pytest.raises(DeepenError, match=match):
        handed.path_of(given, str(tmp_path))


def test_graphs_are_trained_on_and_the_run_is_used_again(tmp_path):
    rng = np.random.default_rng(0)
    y = torch.arange(60) % 2
    made = Graph(x=torch.eye(2)[y] + torch.from_numpy(rng.normal(size=(60, 2))).float(), y=y,
                 edge_index=torch.from_numpy(rng.integers(60, size=(2, 200))))  # fmt: skip
    run = deepen.train(Dataset([made]), output=tmp_path / "runs", epochs=2, threads=1)
    assert deepen.evaluate(str(run.path))["items"] > 0
    assert list((tmp_path / "runs").glob("given/*.npz"))


def test_their_own_files_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "cora" / "processed").mkdir(parents=True)
    (tmp_path / "cora" / "processed" / "data.pt").write_bytes(b"pickle")
    for target in ("cora", "cora/processed/data.pt"):
        with pytest.raises(DeepenError, match=r"data.pt: a pickle: .*deepen.train\(data\) or numpy.savez\('graph.npz'"):
            configs.from_target(str(tmp_path / target), {})
