"""Graphs as people keep them: what is read, what is counted and noted, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepen import config as configs
from deepen import registry
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.sources.graphs import Graphs

X = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]], np.float32)
EDGES = np.array([[0, 1, 1, 2, 2, 9], [1, 0, 2, 2, 1, 0]])  # a loop at 2, an edge to nowhere; 3 and 4 alone
Y = np.array([0, 1, 0, 1, -1])


def npz(place, **arrays):
    np.savez(place / "g.npz", **arrays)
    return str(place / "g.npz")


def one(place, **changes):
    return npz(place, **{"x": X, "edge_index": EDGES, "y": Y, **changes})


def many(place, **changes):
    """Three graphs: a pair, a triangle with a loop, a single node; one edge leads from the first to the second."""
    arrays = {
        "node_offset": np.array([0, 2, 5, 6]),
        "edge_index": np.array([[2, 0, 3, 4, 4, 1], [3, 1, 4, 2, 4, 2]]),
        "node_tag": np.array([5, 7, 5, 5, 7, 9]),
        "y": np.array([1, 0, 1]),
        "fold": np.array([0, 1, 0]),
    }
    return npz(place, **{**arrays, **changes})


def test_nodes_of_one_graph(tmp_path):
    items = Graphs(one(tmp_path)).read()
    assert items.ids == ["0", "1", "2", "3", "4"]
    assert items.target == [0, 1, 0, 1, None]
    assert items.raw([1, 4]) == ["1", "4"]
    np.testing.assert_array_equal(items.shared["node"]["features"], X)
    assert items.shared["node"]["edges"].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert items.columns.column("neighbours").tolist() == [1, 2, 1, 0, 0]
    assert items.encoders["node"][1] == {"ids": items.ids, "edges": 4, "width": 3, "scale": "columns"}
    assert items.notes == [
        "1 edge to unknown nodes left out",
        "1 edge from a node to itself left out: the networks add one to every node",
        "2 nodes without a neighbour",
        "1 labels of -1 beside classes from 0 on: they count as none",
    ]


def test_edges_one_way_twice_and_backwards(tmp_path):
    edges = np.array([[0, 0, 1], [1, 1, 2]])
    both, single = (Graphs(one(tmp_path, edge_index=edges), directed=d).read() for d in (False, True))
    assert both.shared["node"]["edges"].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert single.shared["node"]["edges"].T.tolist() == [[0, 1], [1, 2]]
    assert "1 edge given twice: kept once" in both.notes
    assert "2 edges followed backwards too (data.directed=true: one way only)" in both.notes
    assert not any("backwards" in note for note in single.notes)


def test_the_declared_split_leaves_other_nodes_unlearnt(tmp_path):
    parts = {"train_idx": np.array([0, 1]), "val_idx": np.array([2])}
    items = Graphs(one(tmp_path, **parts)).read()
    assert items.split == ["train", "train", "val", None, None]
    assert items.target == [0, 1, 0, None, None]
    with pytest.raises(DeepenError, match=r"val_idx: node 1 stands in train too"):
        Graphs(one(tmp_path, train_idx=np.array([0, 1]), val_idx=np.array([1]))).read()
    with pytest.raises(DeepenError, match=r"test_idx: what are no node numbers\. Expected whole numbers from 0 to 4"):
        Graphs(one(tmp_path, train_idx=np.array([0, 1]), test_idx=np.array([5]))).read()


def test_a_node_with_missing_numbers_is_set_aside_and_still_heard(tmp_path):
    x = X.copy()
    x[1, 0], x[2, 2] = np.nan, np.inf
    items = Graphs(one(tmp_path, x=x)).read()
    assert [bad.id for bad in items.bad] == ["1", "2"]
    assert items.ids == ["0", "3", "4"]
    assert items.target == [0, 1, None]
    assert len(items.shared["node"]["features"]) == 5
    assert not np.isinf(items.shared["node"]["features"]).any()


def test_what_tells_nodes_apart_for_copies_is_features_and_neighbours(tmp_path):
    x = np.ones((5, 2), np.float32)
    hashes = Graphs(one(tmp_path, x=x)).read().content()
    assert hashes[3] == hashes[4]  # both alone
    assert hashes[0] == hashes[2]  # both beside node 1
    assert len(set(hashes)) == 3


def test_sparse_rows_are_the_dense_ones(tmp_path):
    scipy = pytest.importorskip("scipy.sparse")
    rows = scipy.csr_matrix(X)
    sparse = {"x_indptr": rows.indptr, "x_indices": rows.indices, "x_data": rows.data, "x_shape": rows.shape}
    arrays = {"edge_index": EDGES, "y": Y, **sparse}
    np.testing.assert_array_equal(Graphs(npz(tmp_path, **arrays)).read().shared["node"]["features"], X)
    with pytest.raises(DeepenError, match=r"x_indptr: rows that do not fit shape \(5, 2\)"):
        Graphs(npz(tmp_path, **{**arrays, "x_shape": (5, 2)})).read()


def test_many_graphs(tmp_path):
    items = Graphs(many(tmp_path)).read()
    assert items.ids == ["g.npz:0", "g.npz:1", "g.npz:2"]
    assert items.target == [1, 0, 1]
    assert [graph["edges"].tolist() for graph in items.inputs["graph"]] == [
        [[0, 1]],
        [[0, 1], [1, 2], [2, 0], [2, 2]],
        [],
    ]
    assert items.inputs["graph"][1]["nodes"].tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert items.notes[0] == "node_tag as 3 columns of 0 and 1, in the order 5, 7, 9"
    assert items.notes[1] == "1 edge to unknown nodes or to another graph left out"
    assert items.split is None
    assert Graphs(many(tmp_path), fold=0).read().split == ["test", "train", "test"]
    with pytest.raises(DeepenError, match=r"data.fold: fold 2\. Expected folds 0 to 1"):
        Graphs(many(tmp_path), fold=2).read()


def test_graphs_that_do_not_fit_are_set_aside(tmp_path):
    x = np.ones((6, 2))
    x[5, 1] = np.nan
    bad = Graphs(many(tmp_path, x=x)).read().bad
    assert [(b.id, b.reason) for b in bad] == [("g.npz:2", "missing or infinite numbers")]
    empty = Graphs(many(tmp_path, node_offset=np.array([0, 2, 2, 6]))).read()
    assert [(b.id, b.reason) for b in empty.bad] == [("g.npz:1", "a graph without nodes")]
    assert Graphs(many(tmp_path, node_offset=np.array([0, 2, 2, 6])), fold=0).read().split == ["test", "test"]


def test_nodes_without_numbers_are_told_apart_by_edges_alone(tmp_path):
    items = Graphs(npz(tmp_path, edge_index=EDGES, y=Y)).read()
    assert (items.shared["node"]["features"] == 1).all()
    assert "nodes carry no numbers: only the edges tell them apart" in items.notes


LINES = [
    {"nodes": [[1, 2], [3, 4]], "edges": [[0, 1]], "label": "a", "split": "train"},
    {"nodes": [[1, 2]], "edges": [], "label": "b"},
    {"nodes": [[1]], "edges": [], "label": "b"},
    {"nodes": [[1, None]], "edges": [], "label": "b"},
    {"nodes": [[1, 2]], "edges": [[0, 1]], "label": "b"},
    {"nodes": [[1, 2]], "edges": [[0, 0.5]], "label": "b"},
    {"nodes": [[1, 2]], "label": "b"},
    {"nodes": [[1, 2]], "edges": [], "label": "b", "split": "tset"},
    [],
]


def test_graphs_in_json_lines(tmp_path):
    file = tmp_path / "g.jsonl"
    file.write_text("\n".join(map(json.dumps, LINES)) + "\n{\n\n")
    items = Graphs(str(file)).read()
    assert items.ids == ["g.jsonl:1", "g.jsonl:2"]
    assert items.split == ["train", None]
    assert items.target == ["a", "b"]
    reasons = [bad.reason for bad in items.bad]
    assert [bad.id.partition(":")[2] for bad in items.bad] == [*"3456789", "10"]
    assert reasons[:6] == [
        "nodes of shape (1, 1)", "missing or infinite numbers", "an edge to an unknown node",
        "edges that are no pairs of whole numbers", "no 'edges'", "split 'tset'",
    ]  # fmt: skip


def test_a_file_without_any_good_graph_says_why(tmp_path):
    (tmp_path / "g.jsonl").write_text('{"edges": []}\n')
    config = configs.parse({"data": {"name": "graphs", "path": str(tmp_path / "g.jsonl")}})
    with pytest.raises(DeepenError, match=r"1 of 1 items .*no 'nodes'"):
        prepare(registry.build("sources", config.data).read(), config)


def folder(place, nodes, edges):
    (place / "nodes.csv").write_text(nodes)
    (place / "edges.csv").write_text(edges)
    return str(place)


def test_a_folder_with_nodes_and_edges(tmp_path):
    place = folder(
        tmp_path, "id,age,pay,kind,split\nann,3,1.5,x,train\nbob,,2,y,test\ncat,5,1,,\ndan,2,2,x,val\n",
        "from,to,weight\nann,bob,1\nbob,cat,1\nann,eve,1\n",
    )  # fmt: skip
    items = Graphs(place, target="kind").read()
    assert items.ids == ["ann", "cat", "dan"]
    assert items.bad[0].id == "bob"
    assert items.target == ["x", None, "x"]
    assert items.split == ["train", None, "val"]
    assert items.shared["node"]["edges"].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert "edges.csv: columns left out: weight" in items.notes
    assert configs.from_target(place, {"target": "kind"}).data["name"] == "graphs"


@pytest.mark.parametrize(
    ("nodes", "target", "text"),
    [
        ("id,a,k\nx,1,2\n", None, r"which column to predict is not said\. Expected one of a, k\. target=k"),
        ("id,a,k\nx,1,2\n", "id", "unknown column 'id'"),
        ("id,a,k\nx,1,2\nx,1,2\n", "k", "id 'x' stands twice"),
        ("id,a,k\nx,red,2\n", "k", "column 'a': holds 'red'. Expected numbers"),
        ("id,k\nx,2\n", "k", "no column of numbers beside id and target"),
        ("id,a,split,k\nx,1,tset,2\n", "k", "split 'tset'"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path, nodes, target, text):
    with pytest.raises(DeepenError, match=text):
        Graphs(folder(tmp_path, nodes, "a,b\nx,x\n"), target=target).read()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"edge_index": EDGES.T}, r"edge_index: int64 \(6, 2\)\. Expected whole numbers \(2, edges\)"),
        ({"edge_index": EDGES + 0.5}, "edge_index: float64"),
        ({"x": X[:4]}, "x: 4 rows. Expected one for each of 5 nodes"),
        ({"x": X[0]}, r"x: float32 \(3,\)"),
        ({"ids": np.array(list("aabcd"))}, "ids: 4 different ids for 5 nodes"),
        ({"y": np.full(5, np.nan)}, "no label at all"),
    ],
)
def test_what_is_wrong_with_arrays_is_said(tmp_path, changes, text):
    with pytest.raises(DeepenError, match=text):
        Graphs(one(tmp_path, **changes)).read()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"y": np.array([0, 1])}, "y: 2 labels for 3 graphs"),
        ({"node_offset": np.array([0, 5, 2, 6])}, "node_offset: no rising whole numbers"),
        ({"node_tag": np.arange(5)}, "a tag for each of 6 nodes"),
    ],
)
def test_what_is_wrong_with_many_graphs_is_said(tmp_path, changes, text):
    with pytest.raises(DeepenError, match=text):
        Graphs(many(tmp_path, **changes)).read()


@pytest.mark.parametrize(
    ("y", "kind", "target"),
    [
        (np.array([1, 0, 2, 2, 1]), "classes", [1, 0, 2, 2, 1]),
        (np.array([0.5, 1, 2, np.nan, 3]), "number", [0.5, 1, 2, None, 3]),
        (np.array([1, 1, 2, np.inf, 3]), "number", [1, 1, 2, np.inf, 3]),
        (np.array(["b", "a", "", "1.5", "b"]), "classes", ["b", "a", None, "1.5", "b"]),
        (np.eye(5, 2), "labels", [["0"], ["1"], [], [], []]),
        (np.array([-1, 1, -1, 1, 1]), "classes", [-1, 1, -1, 1, 1]),
    ],
)
def test_kinds_of_labels(tmp_path, y, kind, target):
    items = Graphs(one(tmp_path, y=y)).read()
    assert (items.kind, items.target) == (kind, target)


def test_files_of_other_kinds_are_refused_with_the_way_out(tmp_path):
    for name, text in (
        ("d.pt", "a pickle: opening it would run whatever code stands in it.*numpy.savez"),
        ("d.gml", "not a kind of file"),
    ):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DeepenError, match=text):
            Graphs(str(tmp_path / name)).read()
    with pytest.raises(DeepenError, match="nothing there"):
        Graphs(str(tmp_path / "absent.npz")).read()
    np.savez(tmp_path / "o.npz", edge_index=np.array([None]), y=Y)
    with pytest.raises(DeepenError, match="arrays of Python objects"):
        Graphs(str(tmp_path / "o.npz")).read()


def test_a_file_with_edges_is_known_by_itself(tmp_path):
    assert configs.from_target(one(tmp_path), {}).data["name"] == "graphs"
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    assert configs.from_target(str(tmp_path / "a.npz"), {}).data["name"] == "arrays"


@pytest.mark.parametrize(
    ("name", "items", "parts"), [("cora", 2708, (140, 500, 1000)), ("amazon_photo", 7650, (160, 240, 7250))]
)
def test_real_nodes(real_data, name, items, parts):
    config = configs.from_target(str(real_data / "graphs" / f"{name}.npz"), {})
    prepared = prepare(registry.build("sources", config.data).read(), config)
    assert len(prepared.items) == items
    assert tuple(len(prepared.parts[part]) for part in ("train", "val", "test")) == parts
    assert prepared.items.shared["node"]["edges"].shape == (2, {"cora": 10556, "amazon_photo": 238162}[name])
    assert prepared.items.encoders["node"][1]["scale"] == {"cora": "rows", "amazon_photo": "columns"}[name]
    assert prepared.bad == []


@pytest.mark.parametrize(
    ("name", "graphs", "nodes", "edges"), [("mutag", 188, 17.93, 19.79), ("proteins", 1113, 39.06, 72.82)]
)
def test_real_graphs(real_data, name, graphs, nodes, edges):
    config = configs.from_target(str(real_data / "graphs" / f"{name}.npz"), {"fold": 3})
    prepared = prepare(registry.build("sources", config.data).read(), config)
    assert len(prepared.items) == graphs
    assert round(np.diff(prepared.columns["nodes"].starts).mean(), 2) == nodes
    assert round(np.diff(prepared.columns["edges"].starts).mean() / 2, 2) == pytest.approx(edges, abs=0.01)
    assert len(prepared.parts["test"]) == {"mutag": 18, "proteins": 111}[name]
    assert prepared.bad == []
