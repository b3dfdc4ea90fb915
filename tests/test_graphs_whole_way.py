"""Nodes of one graph and whole graphs, from the file to the service: one split, one answer per item, one gate."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import deepen
from deepen.serving.messages import Request
from deepen.stages.export import traced
from deepen.training.finished import config_of, data_of, load_model, predictor_of
from tests.serving.fakes import of_bundle


def communities(place: Path, nodes: int = 90, classes: int = 3) -> str:
    """Nodes whose numbers say nothing of their class; their neighbours, mostly of their own class, tell it together."""
    rng = np.random.default_rng(0)
    y = np.arange(nodes) % classes
    near = np.where(y[:, None] == y, 0.25, 0.01)
    edges = np.argwhere(np.triu(rng.random((nodes, nodes)) < near, 1)).T
    x = (np.eye(classes)[y] + rng.normal(size=(nodes, classes))).astype(np.float32)
    parts = dict(zip(("train_idx", "val_idx", "test_idx"), np.split(rng.permutation(nodes), [18, 36])))
    np.savez(place / "net.npz", x=x, edge_index=edges, y=y, ids=np.array([f"n{i}" for i in range(nodes)]), **parts)
    return str(place / "net.npz")


@pytest.fixture(scope="module")
def nodes_run(tmp_path_factory):
    place = tmp_path_factory.mktemp("nodes")
    return deepen.train(communities(place), output=str(place / "runs"), epochs=40, threads=1)


def ask(path: Path, items: list) -> list:
    """Each item in a request of its own, all at once."""
    core = of_bundle(path)

    async def all_at_once():
        bodies = [json.dumps({"item": item}).encode() for item in items]
        head = {"content-type": "application/json"}
        return await asyncio.gather(*(core.handle(Request("POST", "/predict", head, body)) for body in bodies))

    responses = asyncio.run(all_at_once())
    core.close()
    return [r.document["answers"][0] if r.status == 200 else (r.status, r.document["error"]) for r in responses]


def test_nodes_from_the_file_to_the_service(nodes_run):
    run = str(nodes_run.path)
    figures = deepen.evaluate(run)
    assert figures["items"] == 54
    assert figures["metrics"]["accuracy"][0] > 0.9
    bundle = Path(deepen.export(run)["bundle"])
    network, answers = predictor_of(nodes_run), deepen.load(str(bundle))
    new = {"features": [0.1, None, 0.3], "neighbours": ["n1", "n4", "n7"]}
    expected = network(["n5", new, "n0"])
    assert network.gap(answers(["n5", new, "n0"]), expected) < 1e-4
    served = ask(bundle, [{"node": "n5"}, new, {"node": "n0"}, {"node": "nobody"}])
    assert network.gap(served[:3], expected) < 1e-4
    assert served[3][0] == 422
    assert "node 'nobody' is not in the graph" in served[3][1]
    assert expected[1]["label"] == "1", "its three neighbours are of class 1"


def test_a_node_that_joins_is_answered_as_if_it_stood_in_the_graph(nodes_run):
    """The network over the graph with the node in it, heard by nobody, by hand."""
    packaged, predictor = load_model(nodes_run), predictor_of(nodes_run)
    new = {"features": [0.5, -1.0, 0.3], "neighbours": ["n3", "n8"]}
    shared = packaged.normalise.parts[0]
    row = shared.numbers(torch.tensor([new["features"]]))
    nodes = torch.cat([shared.features, row])
    edges = torch.cat([shared.edges, torch.tensor([[3, 8], [90, 90]])], 1)
    with torch.no_grad():
        expected = packaged.head(packaged.net(nodes, edges, torch.tensor([90])))[0]
    found = predictor([new])[0]["probabilities"]
    np.testing.assert_allclose(list(found.values()), expected.numpy(), atol=1e-5)
    alone, among = predictor(["n3"])[0], predictor(["n3", new, new])[0]
    assert predictor.gap([alone], [among]) < 1e-6


def test_nodes_held_out_are_heard_but_their_labels_are_not(nodes_run, tmp_path):
    """Other labels on held-out nodes change no weight."""
    path = config_of(nodes_run).data["path"]
    data = dict(np.load(path))
    held = np.concatenate([data["val_idx"], data["test_idx"]])
    data["y"][held] = data["y"][held][::-1]
    np.savez(tmp_path / "other.npz", **data)
    runs = [
        deepen.train(file, output=str(tmp_path / "runs"), steps=3, threads=1, monitor="train_loss")
        for file in (path, str(tmp_path / "other.npz"))
    ]
    one, other = (load_model(run).state_dict() for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def rings(place: Path) -> str:
    """Rings and stars of unequal size; the first graphs have no edge at all."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(120):
        n = int(rng.integers(4, 9))
        ring = [[k, (k + 1) % n] for k in range(n)]
        star = [[0, k] for k in range(1, n)]
        edges, label = [(ring, "ring"), (star, "star"), ([], "dust")][i % 3]
        lines.append({"nodes": [[1.0]] * n, "edges": edges, "label": label})
    lines.sort(key=lambda line: bool(line["edges"]))
    (place / "shapes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return str(place / "shapes.jsonl")


def test_whole_graphs_from_the_file_to_the_service(tmp_path):
    (tmp_path / "c.yaml").write_text("data: {name: graphs, path: shapes.jsonl}\n")
    rings(tmp_path)
    run = deepen.train(str(tmp_path / "c.yaml"), epochs=12, threads=1, lr=5e-3)
    assert deepen.evaluate(str(run.path))["metrics"]["accuracy"][0] > 0.9
    prepared, predictor = data_of(run), predictor_of(run)
    first = prepared.items.raw(prepared.parts["test"])[:2]
    assert all(len(item["edges"]) == 0 for item in first), "what an exporter would take for a fixed size"
    bundle = Path(deepen.export(str(run.path))["bundle"])
    items = [{"nodes": [[1.0]] * 3, "edges": [[0, 1], [1, 2], [2, 0]]}, {"nodes": [[1.0]], "edges": []}]
    assert predictor.gap(ask(bundle, items), predictor(items)) < 1e-4
    assert ask(bundle, [{"nodes": [[1.0]], "edges": [[0, 1]]}])[0][0] == 422


def test_a_sample_to_trace_with_has_no_size_of_one(nodes_run):
    predictor = predictor_of(nodes_run)
    alone = {"features": [0, 0, 0], "neighbours": []}
    assert len(traced(predictor, [alone, alone, "n1", "n2"])["source"]) == 2
    assert len(traced(predictor, [alone, "n0", "n1", "n2"])["source"]) == 3
    assert len(traced(predictor, ["n1"])["source"]) == 2
    assert len(traced(predictor, [alone, alone])["source"]) == 0
