"""Learning to go on with a text: nothing is foretold from what comes later, and an alarm where it would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepen import config as configs
from deepen import registry
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.kinds.tokens import Tokens
from deepen.methods.next_token import NextToken
from deepen.nn.heads import head
from deepen.nn.inputs import network
from deepen.nn.language import looks_ahead
from deepen.nn.packaged import Packaged
from deepen.preprocess.text import Text
from deepen.signature import Signature
from deepen.training import plan
from deepen.training.assemble import build

WORDS = tuple("abcdefgh")
KIND = Tokens(WORDS, "character", 16)
SIGNATURE = Signature({"text": Text(WORDS, 16, "character", newest=True)}, {"next": KIND})
MODELS: list[dict[str, Any]] = [
    {"name": "transformer", "width": 16, "heads": 2, "depth": 2, "dropout": 0.0},
    {"name": "rnn", "width": 12, "layers": 2, "embedding": 8},
    {"name": "tcn", "channels": [12, 12], "embedding": 8, "dropout": 0.0},
]


def net_of(spec: dict[str, Any], seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return network(registry.check("models", spec, "model", given=("signature",)), SIGNATURE)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec["name"])
def test_a_later_piece_changes_no_earlier_answer(spec):
    net = net_of(spec).eval()
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(2, 10, (3, 12), generator=draw)
    whole = net(tokens)[0]
    assert whole.shape == (3, 12, KIND.width)
    for at in range(1, 12):
        other = tokens.clone()
        other[:, at] = 2 + (other[:, at] - 1) % 8
        now = net(other)[0]
        torch.testing.assert_close(now[:, :at], whole[:, :at], rtol=0, atol=1e-5)
        assert not torch.allclose(now[:, at:], whole[:, at:], rtol=0, atol=1e-4)  # and what it should see, it sees
    assert not looks_ahead(net, KIND.width)


@pytest.mark.parametrize(
    "spec", [{**MODELS[0], "causal": False}, {**MODELS[1], "bidirectional": True}], ids=lambda spec: spec["name"]
)
def test_a_network_that_looks_ahead_is_refused(spec):
    with pytest.raises(DeepenError, match="the network looks at pieces that come later"):
        NextToken(net_of(spec), KIND)


def test_a_network_that_answers_once_is_refused():
    spec = {"name": "bert", "width": 8, "depth": 1, "heads": 2, "inner": 16}
    with pytest.raises(DeepenError, match=r"it answers once for each text.*model=transformer, model=rnn or model=tcn"):
        NextToken(net_of(spec), KIND)


def test_only_texts_go_on():
    with pytest.raises(DeepenError, match=r"method next_token: the answer is 2 classes: a, b"):
        NextToken(net_of(MODELS[0]), Classes(("a", "b")))


def test_the_loss_by_hand():
    """The first piece is not foretold; what fills up does not count; each text weighs the same."""
    logits = torch.randn(2, 4, KIND.width, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[2, 3, 4, 5], [6, 7, 0, 0]])
    logs = logits.log_softmax(2)
    first = -(logs[0, 0, 3] + logs[0, 1, 4] + logs[0, 2, 5]) / 3
    second = -logs[1, 0, 7]
    own = head(KIND)
    assert own.loss((logits, tokens), torch.zeros(2)).item() == pytest.approx(float((first + second) / 2), rel=1e-5)
    nats, right, after = own((logits, tokens))
    torch.testing.assert_close(
        nats[0], torch.stack([torch.tensor(0.0), -logs[0, 0, 3], -logs[0, 1, 4], -logs[0, 2, 5]])
    )
    assert nats[1, 2:].tolist() == [0, 0]
    assert right[1].tolist() == [-1, int(logits[1, 0].argmax() == 7), -1, -1]
    torch.testing.assert_close(after, torch.stack([logs[0, 3], logs[1, 1]]))  # after the last piece that is there


def test_the_loss_is_that_of_torch_with_label_smoothing():
    logits = torch.randn(3, 5, KIND.width, generator=torch.Generator().manual_seed(1))
    tokens = torch.randint(2, 10, (3, 5), generator=torch.Generator().manual_seed(2))
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), label_smoothing=0.1)
    assert head(KIND).loss((logits, tokens), tokens, 0.1).item() == pytest.approx(float(expected), rel=1e-5)


def engine_on(text: str, tmp_path, **train: Any):
    (tmp_path / "book.txt").write_text(text)
    document = {
        "data": {"name": "text", "path": str(tmp_path / "book.txt"), "context": 15},
        "model": MODELS[0],
        "train": {"batch_size": 16, "lr": 1e-2, "threads": 1, "device": "cpu", **train},
    }
    config = configs.parse(document)
    assert config.method["name"] == "next_token"  # what the source is learnt by, where it is not said
    prepared = prepare(registry.build("sources", config.data).read(), config)
    return build(plan.complete(config, prepared), prepared, None)


def test_what_can_be_foretold_is_learnt(tmp_path):
    """After each letter comes the next of the alphabet, but for one in five that is drawn: so much must stay open."""
    draw = np.random.default_rng(0)
    text = "".join("abcdefgh"[draw.integers(8)] if i % 5 == 0 else "." for i in range(6000))
    letters, last = [], 0
    for mark in text:
        last = "abcdefgh".index(mark) if mark != "." else (last + 1) % 8
        letters.append("abcdefgh"[last])
    engine = engine_on("".join(letters), tmp_path, steps=150)
    engine.fit()
    floor = np.log(8) / 5
    found = engine.validate("test")
    assert floor * 0.95 < found["nats"] < floor + 0.3  # below the floor it would have looked ahead
    assert found["perplexity"] == pytest.approx(np.exp(found["nats"]))
    assert found["bits_per_character"] == pytest.approx(found["nats"] / np.log(2), rel=1e-6)


def test_parts_of_a_batch_give_the_whole_gradient(tmp_path):
    engine = engine_on("to be or not to be that is the question " * 60, tmp_path, steps=1)
    gradients = []
    for parts in (1, 4):
        engine.method.zero_grad()
        batches = [engine.feed.batch(0, 0, part, parts) for part in range(parts)]
        total = sum(batch.items for batch in batches)
        for batch in batches:
            (engine.method.loss(batch, "model") * batch.items / total).backward()
        gradients.append([p.grad.clone() for p in engine.method.parameters() if p.grad is not None])
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_penalties_leave_biases_and_norms_alone_and_blocks_end_small(tmp_path):
    engine = engine_on("to be or not to be that is the question " * 60, tmp_path, steps=1)
    (_, yes), (others, no) = engine.players["model"].optimizer.groups
    assert (yes, no) == (True, False)
    assert all(p.ndim == 1 for p in others)
    net = engine.method.model.net
    inner, end = (float(net.stack.blocks[0].dense[i].weight.detach().std()) for i in (0, 3))
    assert end / inner == pytest.approx(1 / np.sqrt(2 * 2), rel=0.15)


def test_packaged_answers_are_those_of_the_kind():
    packaged = Packaged(torch.nn.Identity(), net_of(MODELS[0]), head(KIND)).eval()
    packaged.normalise.forward = lambda *tensors: tensors
    outputs = packaged(torch.tensor([[2, 3, 4, 0]]))
    assert [tuple(t.shape) for t in outputs] == [(1, 4), (1, 4), (1, 10)]
    assert len(KIND.tensors) == 3
