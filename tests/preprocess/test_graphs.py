"""Graphs and nodes of one: what a client may send, and what the network gets of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.errors import Invalid
from deepen.kinds.classes import Classes
from deepen.nn.normalise import Normalise, Shares
from deepen.preprocess.graph import Graph, scale_of, tidy
from deepen.preprocess.nodes import Nodes
from deepen.signature import Signature
from deepen.tensors import join

NODES = Nodes(("a", "b", "7"), 4, 2)
FEATURES = np.array([[1, 10], [3, 10], [5, 10]], np.float32)
EDGES = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])


def test_edges_are_tidied():
    edges = np.array([[0, 2, 2, 1, 1], [1, 1, 1, 1, 2]])
    assert tidy(edges, 3, directed=True).T.tolist() == [[0, 1], [1, 2], [2, 1]]
    assert tidy(edges, 3, directed=False).T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert tidy(np.empty((2, 0), np.int64), 3, False).shape == (2, 0)


def test_a_graph_is_the_same_however_its_edges_are_written():
    nodes = [[1.0], [2.0], [3.0]]
    one = Graph(1, directed=False).encode([{"nodes": nodes, "edges": [[0, 1], [2, 1]]}])
    other = Graph(1, directed=False).encode([{"nodes": nodes, "edges": [[1, 2], [1, 0], [0, 1], [2, 2]]}])
    np.testing.assert_array_equal(one["edges"], other["edges"])
    assert one["edges"].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]


def test_counts_are_told_from_measures():
    tags = np.eye(6)[[0, 1, 2, 1]]
    assert scale_of([tags, tags]) == "rows"
    assert scale_of([tags, tags - 0.1]) == "columns"
    assert scale_of([tags + 1]) == "columns"
    assert scale_of([tags[:, :3]]) == "columns", "a third of them is something: rows say little of their own"
    assert scale_of([tags[:, :1]]) == "columns"
    assert Graph.fit([{"nodes": tags}]).scale == "rows"
    assert Graph.fit([{"nodes": tags}], scale="columns").scale == "columns"


def test_counts_become_shares():
    counts = torch.tensor([[1.0, 3, 0], [0, 0, 0], [float("nan"), 2, 2], [0.25, 0, 0]])
    expected = torch.tensor([[0.25, 0.75, 0], [0, 0, 0], [0, 0.5, 0.5], [0.25, 0, 0]])
    torch.testing.assert_close(Shares()(counts), expected)


def test_known_and_new_nodes_in_one_batch():
    new = {"features": [1, None], "neighbours": ["7", "a", "7"]}
    found = NODES.encode(["b", new, "a"])
    assert found["node"].tolist() == [1, -1, 0]
    np.testing.assert_array_equal(found["features"], [[0, 0], [1, np.nan], [0, 0]])
    assert found["source"].tolist() == [1, 0, 2, 0]  # a known node hears itself, a new one its neighbours once each
    assert found["target"].tolist() == [0, 1, 1, 2]
    parts = join(NODES.tensors, [NODES.encode([value]) for value in ("b", new, "a")])
    for name, array in found.items():
        np.testing.assert_array_equal(parts[name], array)


def test_the_network_gets_the_shared_graph_with_the_items_behind_it():
    signature = Signature({"node": NODES}, {"label": Classes(("x", "y"))})
    normalise = Normalise(signature)
    arrays = NODES.encode(["b", {"features": [5, 10], "neighbours": ["a"]}])
    normalise.fit(signature, NODES.encode(["a", "b"]), np.arange(2), {"node": {"features": FEATURES, "edges": EDGES}})
    nodes, edges, rows = normalise(*(torch.from_numpy(arrays[t.name]) for t in NODES.tensors))
    root = 1.5**0.5
    scaled = [[-root, 0], [0, 0], [root, 0]]
    torch.testing.assert_close(nodes[[0, 1, 2, 4]], torch.tensor([*scaled, [root, 0]]))
    assert edges.T.tolist() == [*EDGES.T.tolist(), [1, 3], [0, 4]]  # into the items, never out of them
    assert rows.tolist() == [1, 4]


@pytest.mark.parametrize(
    "value", [{"node": "a"}, {"node": 7}, {"features": [1.5, None], "neighbours": ["b", 7]}, {"features": [1, 2], "neighbours": []}]
)  # fmt: skip
def test_items_go_round_through_json(value):
    raw = NODES.parse(value)
    again = NODES.parse(NODES.dump(raw))
    for name, array in NODES.encode([raw]).items():
        np.testing.assert_array_equal(NODES.encode([again])[name], array)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "not a node"),
        ({"node": "a", "features": [1, 2]}, "not a node"),
        ({"node": "c"}, "node 'c' is not in the graph"),
        ({"node": None}, "node 'None' is not in the graph"),
        ({"node": True}, "node 'True' is not in the graph"),
        ({"node": ["a"]}, "is not in the graph"),
        ({"features": [1], "neighbours": []}, r"features of shape \(1,\)"),
        ({"features": ["1", 2], "neighbours": []}, "features that are no numbers"),
        ({"features": [True, 2], "neighbours": []}, "features that are no numbers"),
        ({"features": [1e39, 2], "neighbours": []}, "features that are not finite"),
        ({"features": [10**400, 2], "neighbours": []}, "features that are no numbers"),
        ({"features": [1, 2], "neighbours": "ab"}, "neighbours that are no list"),
        ({"features": [1, 2], "neighbours": ["a", "z"]}, "node 'z' is not in the graph"),
        ({"features": [1, 2], "neighbours": [["a"]]}, "is not in the graph"),
    ],
)
def test_what_is_no_node_is_refused(value, reason):
    with pytest.raises(Invalid, match=reason):
        NODES.parse(value)


def test_the_row_of_a_bad_item_is_told():
    with pytest.raises(Invalid) as caught:
        NODES.encode(["a", "nobody"])
    assert caught.value.row == 1
