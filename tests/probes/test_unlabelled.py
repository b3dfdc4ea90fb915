"""Does a method that learns from labelled and unlabelled items fit the contract, and does a run without any labels?"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from deepen import registry
from deepen.config import Config, Split, Train
from deepen.data.augment import Augment
from deepen.data.batch import Semi
from deepen.data.data import Data
from deepen.data.feeds import SemiFeed
from deepen.data.prepare import prepare
from deepen.methods.supervised import Supervised
from deepen.nn.normalise import Normalise
from deepen.sources.blobs import Blobs
from deepen.training.engine import Engine
from deepen.training.method import Method


class PseudoLabels(Method):
    """Learn from labelled items and from what the network is sure of on the others."""

    def __init__(self, model, sure: float = 0.9) -> None:
        super().__init__()
        self.model, self.sure = model, sure

    def feed(self, data, size, seed):
        return SemiFeed(data, size, seed, ratio=4)

    def loss(self, batch: Semi, player: str):
        with torch.no_grad():
            sureness, guess = self.model(*batch.weak.inputs).softmax(1).max(1)
        rest = F.cross_entropy(self.model(*batch.strong.inputs), guess, reduction="none") * (sureness > self.sure)
        return F.cross_entropy(self.model(*batch.labeled.inputs), batch.labeled.target) + rest.mean()


def few_labels(keep: int = 6):
    """Blobs of which the training part keeps only a few labels."""
    items = Blobs(items=400, width=4, classes=3, spread=0.7).read()
    rng = np.random.default_rng(0)
    hidden = rng.permutation(300)[keep:]
    items.split = ["train" if i < 300 else "val" if i < 350 else "test" for i in range(400)]
    items.target = [None if i in set(hidden.tolist()) else t for i, t in enumerate(items.target)]
    return prepare(items, Config({"name": "blobs"}, split=Split()))


def engine_for(prepared, method_of, **train):
    normalise = Normalise(prepared.signature)
    normalise.fit(prepared.signature, prepared.columns, prepared.parts["train"])
    torch.manual_seed(0)
    net = registry.build("models", {"name": "mlp", "hidden": [16]}, signature=prepared.signature)
    settings = Train(**{"steps": 120, "batch_size": 6, "lr": 5e-3, "device": "cpu", **train})
    return Engine(method_of(net), Data(prepared, normalise, Augment((), prepared.signature)), settings)


def test_labelled_and_unlabelled_items_reach_the_method():
    prepared = few_labels()
    assert len(prepared.unlabelled) == 294
    engine = engine_for(prepared, PseudoLabels)
    batch = engine.feed.batch(0, 0)
    assert batch.items == 6
    assert len(batch.weak.inputs[0]) == 24
    assert len(engine.feed) == -(-294 // 24)
    engine.fit()
    assert engine.validate("test")["accuracy"] > 0.75


def test_no_label_reaches_the_unlabelled_side():
    prepared = few_labels()
    feed = engine_for(prepared, PseudoLabels).feed
    labelled = set(prepared.parts["train"].tolist())
    seen = {int(row) for k in range(len(feed)) for row in feed.free.of(0, k)}
    assert seen == set(prepared.unlabelled.tolist())
    assert not seen & labelled


def test_data_without_any_label_trains_a_method_that_needs_none(monkeypatch):
    items = Blobs(items=60).read()
    items.target, items.kind = [None] * 60, ""
    prepared = prepare(items, Config({"name": "blobs"}))
    assert prepared.signature.outputs == {}
    assert sum(len(rows) for rows in prepared.parts.values()) == 60


def test_parts_of_a_semi_batch_together_are_the_batch():
    prepared = few_labels(keep=12)
    feed = engine_for(prepared, PseudoLabels, batch_size=12).feed
    whole = feed.batch(1, 2)
    parts = [feed.batch(1, 2, part, 3) for part in range(3)]
    for pick in (lambda b: b.labeled.inputs[0], lambda b: b.labeled.target, lambda b: b.strong.inputs[0]):
        torch.testing.assert_close(torch.cat([pick(p) for p in parts]), pick(whole))


def test_supervised_ignores_the_unlabelled():
    prepared = few_labels(keep=12)
    engine = engine_for(prepared, lambda net: Supervised(net, prepared.signature.answer))
    assert len(engine.feed.order.rows) == 12
