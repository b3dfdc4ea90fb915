"""Graphs that are made: what is learnt from the training graphs, answers and back, figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepen.data.encoding import encode_each
from deepen.errors import DeepenError
from deepen.kinds.graphs import Graphs
from deepen.panels import Drawings
from deepen.preprocess.graph import Graph
from deepen.sources.graphs import Graphs as Source

TAGGED = [
    {"nodes": [[0, 1], [1, 0], [1, 0]], "edges": [[0, 1], [0, 2]]},
    {"nodes": [[0, 1], [0, 1]], "edges": [[0, 1]]},
    {"nodes": [[1, 0]], "edges": []},
]


def learnt(graphs=TAGGED, directed=False, rows=None) -> tuple[Graphs, np.ndarray]:
    encoder = Graph.fit(graphs, directed=directed)
    columns = encode_each(encoder, graphs)[0]
    rows = np.arange(len(graphs)) if rows is None else rows
    kind = Graphs.of({"graph": encoder}, columns, rows, reads={}, code=4)
    return kind, kind.column({"graph": encoder}, columns)


def as_outputs(kind: Graphs, target: np.ndarray) -> dict[str, np.ndarray]:
    """The held-out graphs as if they had been made."""
    d = len(kind.mean)
    return {"nodes": target[..., 1 : 1 + d], "links": target[..., 1 + d :], "size": target[..., 0].sum(1).astype(int)}


def test_what_is_learnt_of_the_training_graphs():
    kind, target = learnt()
    assert kind.sizes == (0, 1, 1, 1)
    assert kind.links == pytest.approx(6 / 8)
    assert kind.tags
    assert kind.mean == pytest.approx((0.5, 0.5))
    assert target.shape == (3, 3, 1 + 2 + 3)
    assert target[:, :, 0].sum(1).tolist() == [3, 2, 1]
    assert target[0, :, 1].tolist() == [1, 0, 1], "the middle of the path stands in the middle"
    np.testing.assert_array_equal(target[0, :, 3:], [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_allclose(kind._looks(*kind._true(target))[2][2], [1, -1])  # the mean of the nodes that are there
    assert kind.draws == 1 + 4 * 4 + 3 * 1 + 3
    numbers, _ = learnt([{"nodes": [[0.5, 2], [3, 4]], "edges": [[0, 1]]}])
    assert not numbers.tags
    assert numbers.draws == 1 + 3 * 4 + 2 * 2 + 1


def test_a_held_out_graph_that_is_larger_is_cut():
    kind, target = learnt(rows=np.array([1, 2]))
    assert kind.most == 2
    assert target.shape == (3, 2, 1 + 2 + 2)


def test_what_cannot_be_made_is_told():
    with pytest.raises(DeepenError, match=r"edges that lead one way.*data\.directed=false"):
        learnt(directed=True)
    with pytest.raises(DeepenError, match=r"graphs of up to 101 nodes\. Expected 2 to 100"):
        learnt([{"nodes": [[1.0]] * 101, "edges": [[0, 1]]}])
    with pytest.raises(DeepenError, match=r"graphs of up to 1 nodes\. Expected 2 to 100"):
        learnt([{"nodes": [[1.0]], "edges": []}])


def test_answers_are_lines_the_source_reads(tmp_path):
    kind, target = learnt()
    outputs = as_outputs(kind, target)
    answers = kind.decode(outputs)
    (tmp_path / "made.jsonl").write_text("".join(json.dumps({"id": "1", **answer}) + "\n" for answer in answers))
    items = Source(str(tmp_path / "made.jsonl")).read()
    assert [len(graph["nodes"]) for graph in items.inputs["graph"]] == [3, 2, 1]
    assert sorted(items.inputs["graph"][0]["edges"].tolist()) == [[0, 1], [1, 2]]
    again = kind.outputs(answers)
    assert all(np.array_equal(again[name], outputs[name]) for name in outputs)
    assert kind.gap(answers[0], answers[0]) == 0
    assert kind.gap(answers[0], {**answers[0], "edges": [[0, 1]]}) == np.inf
    assert kind.agreement(outputs, outputs) == 1
    other = {**outputs, "links": outputs["links"] * np.array([1, 0, 1])[:, None, None]}
    assert kind.agreement(outputs, other) == pytest.approx(2 / 3)


def test_figures_tell_structure_and_numbers_apart():
    rng = np.random.default_rng(0)
    ring = [[i, (i + 1) % 8] for i in range(8)]
    rings = [{"nodes": np.eye(2)[rng.integers(2, size=8)], "edges": ring} for _ in range(12)]
    kind, target = learnt(rings)
    same = kind.metrics(target, as_outputs(kind, target))
    assert same == {"degree_mmd": 0, "clustering_mmd": 0, "node_mmd": 0}
    made = as_outputs(kind, target)
    full = kind.metrics(target, {**made, "links": np.ones_like(made["links"]) - np.eye(8, dtype=np.float32)})
    assert full["degree_mmd"] > 1.9
    assert full["clustering_mmd"] > 1.9
    assert full["node_mmd"] == 0
    red = kind.metrics(target, {**made, "nodes": np.broadcast_to(np.float32([1, 0]), made["nodes"].shape)})
    assert red["degree_mmd"] == 0
    assert red["node_mmd"] > 0.1
    said, least = kind.baseline(target, target)
    assert said == "links drawn alike"
    assert 0 < least < full["degree_mmd"]


def test_made_and_held_out_graphs_are_drawn_side_by_side():
    kind, target = learnt()
    made, held, *_ = kind.panels(target, as_outputs(kind, target))
    assert isinstance(made, Drawings)
    assert (made.title, held.title) == ("Made", "Held out")
    assert [sketch.caption for sketch in held.graphs] == ["3 nodes, 2 links", "2 nodes, 1 link", "1 node, 0 links"]
    assert held.graphs[0].colours == (0, 1, 0)
