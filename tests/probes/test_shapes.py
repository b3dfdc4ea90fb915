"""Do other shapes of problem pass through export, gate, bundle and server batching: text, graphs, boxes, ensembles,
pruned networks? The networks are small and untrained: what is asked is whether the same answer comes out everywhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import deepen
from deepen import gate, registry
from deepen.formats.onnx import Onnx
from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.nn import surgery
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged, TorchRuntime
from deepen.predictor import Predictor
from deepen.preprocess.graph import Graph
from deepen.preprocess.image import Image
from deepen.preprocess.text import Text
from deepen.program import Program
from deepen.serving.messages import Request
from deepen.signature import Signature
from deepen.stages.export import assemble
from deepen.store import durable
from tests.serving.fakes import of_bundle, only

RNG = np.random.default_rng(0)
RUN = SimpleNamespace(id="probe", info={})


def packaged(net: nn.Module, signature: Signature) -> Packaged:
    return Packaged(Normalise(signature), net, head(signature.answer)).eval()


def bundled(
    place: Path, networks: list[Packaged], signature: Signature, program, items, target
) -> tuple[Predictor, Path]:
    """A reference Predictor on torch, and a bundle that has passed the gate against it."""
    graphs = [f"graph{i}.onnx" for i in range(len(networks))]
    runtimes = {name: TorchRuntime(net, signature) for name, net in zip(graphs, networks)}
    reference = Predictor(signature, Program(program, runtimes))
    with durable.publish(place / "bundle") as draft:
        for name, net in zip(graphs, networks):
            Onnx().write(net, signature, reference.encode(items[:2]), draft / name)
        assemble(draft, "onnx", reference, program, items, target, gate.Tolerance(), RUN)
    return reference, place / "bundle"


def ask(path: Path, items: list) -> list:
    """Every item in a request of its own, all at once, through the server's core: they join batches there."""
    core = of_bundle(path)
    predictor = only(core).predictor
    joined = []
    run = predictor.run
    predictor.run = lambda arrays: joined.append(1) or run(arrays)
    dump = next(iter(predictor.signature.inputs.values())).dump

    async def all_at_once():
        head = {"content-type": "application/json"}
        bodies = [json.dumps({"items": [dump(item)]}).encode() for item in items]
        return await asyncio.gather(*(core.handle(Request("POST", "/predict", head, body)) for body in bodies))

    responses = asyncio.run(all_at_once())
    core.close()
    assert [r.status for r in responses] == [200] * len(items)
    assert len(joined) < len(items)  # some requests shared a run
    return [r.document["answers"][0] for r in responses]


def close(predictor: Predictor, a: list, b: list) -> bool:
    return predictor.gap(a, b) < 1e-4


class BagOfWords(nn.Module):
    """The mean of word vectors, what fills up left out."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        (text,) = signature.inputs.values()
        self.words = nn.Embedding(len(text.words) + 2, 8)
        self.last = nn.Linear(8, signature.answer.width)

    def forward(self, tokens):
        there = (tokens > 0).unsqueeze(2)
        return self.last((self.words(tokens) * there).sum(1) / there.sum(1))


def test_texts_of_unequal_length_batch_in_the_server(tmp_path):
    torch.manual_seed(0)
    words = [
        "a",
        "good",
        "film",
        ",",
        "a",
        "bad",
        "film",
        ".",
        "very",
        "good",
        "indeed",
        "and",
        "so",
        "long",
        "that",
        "it",
        "is",
        "hardly",
        "short",
    ]
    texts = [" ".join(RNG.choice(words, size=n)) for n in RNG.integers(1, 30, 40)]
    signature = Signature({"text": Text.fit(texts, at_least=1)}, {"mood": Classes(("bad", "good"))})
    net = packaged(BagOfWords(signature), signature)
    reference, path = bundled(
        tmp_path, [net], signature, [{"do": "run", "graph": "graph0.onnx"}], texts, RNG.integers(2, size=40)
    )
    assert close(reference, ask(path, texts), [reference([text])[0] for text in texts])


class NeighbourMean(nn.Module):
    """One round of messages along edges, then the mean over each graph's nodes."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        (graph,) = signature.inputs.values()
        self.first, self.last = nn.Linear(graph.width, 8), nn.Linear(8, signature.answer.width)

    def forward(self, nodes, edges, graph):
        hidden = torch.relu(self.first(nodes))
        hidden = hidden.index_add(0, edges[1], hidden.index_select(0, edges[0]))
        graphs = graph[-1] + 1  # items come in order, each with a node
        total = hidden.new_zeros((graphs, 8)).index_add(0, graph, hidden)
        count = hidden.new_zeros((graphs, 1)).index_add(0, graph, torch.ones_like(hidden[:, :1]))
        return self.last(total / count)


def some_graph() -> dict:
    n = int(RNG.integers(1, 9))
    edges = RNG.integers(n, size=(int(RNG.integers(0, 12)), 2))
    return {"nodes": RNG.normal(size=(n, 3)).astype(np.float32), "edges": edges}


def test_graphs_of_unequal_size_batch_in_the_server(tmp_path):
    torch.manual_seed(0)
    graphs = [some_graph() for _ in range(40)]
    signature = Signature({"graph": Graph(3)}, {"kind": Classes(("ring", "star", "tree"))})
    net = packaged(NeighbourMean(signature), signature)
    reference, path = bundled(
        tmp_path, [net], signature, [{"do": "run", "graph": "graph0.onnx"}], graphs, RNG.integers(3, size=40)
    )
    assert close(reference, ask(path, graphs), [reference([graph])[0] for graph in graphs])


def pictures(n: int = 30, side: int = 16) -> list[np.ndarray]:
    return list(RNG.integers(256, size=(n, side, side, 1), dtype=np.uint8))


def test_an_ensemble_is_one_bundle(tmp_path):
    signature = Signature({"image": Image(16, 16, 1)}, {"label": Classes(("a", "b", "c"))})
    networks = []
    for seed in range(2):
        torch.manual_seed(seed)
        networks.append(packaged(registry.build("models", {"name": "lenet"}, signature=signature), signature))
    program = [
        {"do": "run", "graph": "graph0.onnx", "as": "0."},
        {"do": "run", "graph": "graph1.onnx", "as": "1."},
        {"do": "mean", "of": ["0.probabilities", "1.probabilities"], "as": "probabilities"},
    ]
    items = pictures()
    reference, path = bundled(tmp_path, networks, signature, program, items, RNG.integers(3, size=30))
    together = np.array([list(a["probabilities"].values()) for a in deepen.load(str(path))(items)])
    each = [
        np.array(
            [
                list(a["probabilities"].values())
                for a in Predictor(
                    signature, Program([{"do": "run", "graph": "g"}], {"g": TorchRuntime(n, signature)})
                )(items)
            ]
        )
        for n in networks
    ]
    np.testing.assert_allclose(together, (each[0] + each[1]) / 2, atol=1e-5)
    assert close(reference, ask(path, items), reference(items))


class Places(nn.Module):
    """A box and scores at every place of a coarse grid."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.classes = len(signature.answer.classes)
        self.conv = nn.Conv2d(1, 4 + self.classes, 4, stride=4)

    def forward(self, image):
        found = self.conv(image).flatten(2).transpose(1, 2)
        centre, size = found[..., :4].sigmoid().split(2, -1)
        return torch.cat([centre - size / 2, centre + size / 2], -1), found[..., 4:]


def test_boxes_are_thinned_out_by_the_program(tmp_path):
    torch.manual_seed(0)
    signature = Signature({"image": Image(16, 16, 1, "fit")}, {"things": Boxes(("cat", "dog"), threshold=0.4)})
    net = packaged(Places(signature), signature)
    items = [picture[: 16 - i % 9] for i, picture in enumerate(pictures())]
    program = [{"do": "run", "graph": "graph0.onnx"}, *signature.answer.steps]
    target = signature.answer.encode([[{"box": [0.1, 0.1, 0.5, 0.5], "class": "cat"}]] * len(items))
    reference, path = bundled(tmp_path, [net], signature, program, items, target)
    answers = reference(items)
    assert sum(len(a["boxes"]) for a in answers) > 10
    assert close(reference, ask(path, items), answers)


def test_suppression_by_hand():
    """Two boxes on one thing and one elsewhere: the weaker twin goes, another class at the same place stays."""
    boxes = np.array([[[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 1, 1], [2, 2, 3, 3]]], np.float32)
    scores = np.array([[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.1, 0.0]]], np.float32)
    program = Program([{"do": "nms", "threshold": 0.3, "overlap": 0.5}], {})
    found = program.run({"boxes": boxes, "scores": scores})
    np.testing.assert_allclose(found["detected.scores"], [0.9, 0.7])
    assert found["detected.class"].tolist() == [0, 1]


def test_a_pruned_network_is_built_again_and_takes_its_weights(tmp_path):
    signature = Signature({"image": Image(28, 28, 1)}, {"label": Classes(("a", "b"))})
    torch.manual_seed(0)
    net = packaged(registry.build("models", {"name": "lenet"}, signature=signature), signature)
    whole = TorchRuntime(net, signature)
    items = {"image": np.stack(pictures(4, 28))}
    before = {name: p.shape for name, p in net.net.named_parameters()}
    kept = [0, 2, 3, 5, 9]  # channels of the second convolution that stay; the others are silenced, then cut
    conv, dense = net.net.convolutions[3], net.net.dense[0]
    gone = [c for c in range(16) if c not in kept]
    with torch.no_grad():
        conv.weight[gone], conv.bias[gone] = 0, 0
        masked = whole.run(items)["probabilities"]
        dense.weight = nn.Parameter(dense.weight.view(120, 16, 25)[:, kept].reshape(120, -1))
        conv.weight, conv.bias = nn.Parameter(conv.weight[kept]), nn.Parameter(conv.bias[kept])
    surgery.replay(net, surgery.describe(net))  # the layers' own records of their sizes
    np.testing.assert_allclose(whole.run(items)["probabilities"], masked, atol=1e-6)

    again = packaged(registry.build("models", {"name": "lenet"}, signature=signature), signature)
    surgery.replay(again, json.loads(json.dumps(surgery.describe(net))))
    again.load_state_dict(net.state_dict())
    assert again.net.convolutions[3].out_channels == 5
    assert again.net.dense[0].in_features == 125
    assert {name: p.shape for name, p in again.net.named_parameters()} != before
    np.testing.assert_array_equal(
        TorchRuntime(again, signature).run(items)["probabilities"], whole.run(items)["probabilities"]
    )


@pytest.mark.parametrize("family", ["kinds", "preprocess"])
def test_every_kind_and_encoder_survives_the_signature(family):
    """What is written into signature.json comes back equal."""
    examples = {
        "kinds": {"classes": Classes(("a", "b")), "boxes": Boxes(("a",))},
        "preprocess": {"image": Image(4, 5, 3), "text": Text(("a", "b")), "graph": Graph(3)},
    }[family]
    for part in examples.values():
        one = Signature({"x": part}, {}) if family == "preprocess" else Signature({}, {"y": part})
        back = Signature.from_json(one.to_json())
        assert (back.inputs, back.outputs) == (one.inputs, one.outputs)
