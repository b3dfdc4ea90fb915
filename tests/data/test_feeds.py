"""Order and augmentation are functions of (seed, epoch, k): however a batch is asked for, it holds the same."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepen.config import Config
from deepen.data.augment import Augment
from deepen.data.data import Data
from deepen.data.feeds import TOGETHER, LabeledFeed, Rows, UnlabeledFeed
from deepen.data.items import Items
from deepen.data.prepare import prepare
from deepen.data.stored import Dense
from deepen.errors import DeepenError
from deepen.nn.normalise import Normalise
from tests.training.engines import engine

COUNT = 700


@pytest.fixture(scope="module")
def data() -> Data:
    """Pictures whose number stands in their target, so that an order can be read off."""
    pictures = np.random.default_rng(0).integers(0, 256, (COUNT + 40, 9, 7, 3), np.uint8)
    split = ["train"] * COUNT + ["val"] * 20 + ["test"] * 20
    items = Items(
        [str(i) for i in range(len(pictures))], {"image": pictures}, {"image": ("image", {})},
        [float(i) for i in range(len(pictures))], "number", split=split,
    )  # fmt: skip
    prepared = prepare(items, Config({"name": "arrays"}))
    augment = Augment(({"name": "crop", "padding": 2}, {"name": "flip"}), prepared.signature)
    return Data(prepared, Normalise(prepared.signature), augment)


def same(a, b) -> bool:
    return torch.equal(a.target, b.target) and all(torch.equal(x, y) for x, y in zip(a.inputs, b.inputs, strict=True))


@pytest.mark.parametrize("size", [1, 8, 100, 128, 200, 233, 300, COUNT])
def test_a_batch_is_the_same_in_parts_and_in_any_order_of_asking(data, size):
    one, other = LabeledFeed(data, size, seed=3), LabeledFeed(data, size, seed=3)
    steps = [(epoch, k) for epoch in (0, 1) for k in range(len(one))]
    sequence = {at: one.batch(*at) for at in steps}
    for at in reversed(steps[:: max(1, len(steps) // 40)]):
        assert same(other.batch(*at), sequence[at])
        pieces = [other.batch(*at, part, 3) for part in range(3)]
        assert torch.equal(torch.cat([p.target for p in pieces]), sequence[at].target)
        assert torch.equal(torch.cat([p.inputs[0] for p in pieces]), sequence[at].inputs[0])
    for at, batch in sequence.items():
        assert len(batch.target) == len(batch.inputs[0]) == one.items(*at) == len(one.names(*at))
        assert [float(name) for name in one.names(*at)] == batch.target.tolist()


@pytest.mark.parametrize("size", [8, 233, 300])
def test_an_epoch_shows_every_item_once_and_each_epoch_differently(data, size):
    feed = LabeledFeed(data, size, seed=3)
    epochs = [torch.cat([feed.batch(epoch, k).target for k in range(len(feed))]) for epoch in (0, 1)]
    assert all(sorted(epoch.tolist()) == list(range(COUNT)) for epoch in epochs)
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("size", [8, 300])
def test_augmentation_differs_between_epochs_and_batches(data, size):
    alike = copy.copy(data)  # one picture everywhere: what differs is the augmentation
    alike.columns = [Dense(c.values[:1].expand_as(c.values)) for c in data.columns]
    feed = LabeledFeed(alike, size, seed=3)
    first = feed.batch(0, 0).inputs[0]
    far = min(TOGETHER // size + 1, len(feed) - 2)  # in another group
    for epoch, k in [(1, 0), (0, 1), (0, far)]:
        assert not torch.equal(feed.batch(epoch, k).inputs[0], first)
    feed.batch(0, 0)
    assert not torch.equal(feed.batch(1, 0).inputs[0], first)
    assert torch.equal(feed.batch(0, 0).inputs[0], first)


def test_small_batches_are_made_together_and_large_ones_alone(data):
    assert LabeledFeed(data, 8, 0).group == TOGETHER // 8
    assert LabeledFeed(data, 300, 0).group == 1


# ---------------------------------------------------------------- drawn by weight


def test_every_class_is_drawn_alike_and_the_order_is_a_function_of_seed_and_epoch():
    counts = torch.tensor([500, 100, 20, 4])
    target = torch.repeat_interleave(torch.arange(4), counts)
    for resample, wanted in ((1.0, [0.25] * 4), (0.5, (counts**0.5 / (counts**0.5).sum()).tolist())):
        weights = counts[target].double() ** -resample
        rows = Rows(torch.arange(len(target)), 32, 3, weights=weights)
        epochs = [torch.cat([rows.of(epoch, k) for k in range(len(rows))]) for epoch in range(20)]
        found = target[torch.cat(epochs)].bincount(minlength=4) / (20 * len(target))
        torch.testing.assert_close(found, torch.tensor(wanted), atol=0.02, rtol=0)
        again = Rows(torch.arange(len(target)), 32, 3, weights=weights)
        assert torch.equal(torch.cat([again.of(7, k) for k in range(len(again))]), epochs[7])
        assert not torch.equal(epochs[0], epochs[1])
        assert all(len(epoch) == len(target) for epoch in epochs)


def test_each_row_comes_as_often_as_it_weighs_to_within_one():
    """Systematic sampling: n w / sum(w) draws, rounded up or down; the rounding is right on the average."""
    weights = torch.rand(300, generator=torch.Generator().manual_seed(0)).double() ** 3
    wanted = 300 * weights / weights.sum()
    rows = Rows(torch.arange(300), 32, 3, weights=weights)
    counts = torch.stack([torch.cat([rows.of(e, k) for k in range(10)]).bincount(minlength=300) for e in range(400)])
    assert ((counts - wanted).abs() < 1).all()
    torch.testing.assert_close(counts.double().mean(0), wanted, atol=0.1, rtol=0)  # 4 deviations of a mean of 400
    # which of the rows alike are rounded up is chance: no pair is tied together
    up = (counts[:, wanted < 1] > 0).double()
    assert torch.corrcoef(up.T[up.std(0) > 0.3]).triu(1).abs().max() < 0.3


def test_of_few_rows_each_has_its_chance():
    rows = Rows(torch.arange(3), 3, 3, weights=torch.tensor([0.1, 1.0, 1.9]))
    counts = torch.stack([rows.of(epoch, 0).bincount(minlength=3) for epoch in range(1000)]).double()
    torch.testing.assert_close(counts.mean(0), torch.tensor([0.1, 1.0, 1.9]).double(), atol=0.04, rtol=0)


def test_what_is_drawn_twice_does_not_come_twice_in_a_row():
    order = Rows(torch.arange(100), 100, 3, weights=torch.tensor([3.0] * 25 + [0.01] * 75)).of(0, 0)
    assert (order[1:] == order[:-1]).sum() < 12, "of 75 repetitions 3 by chance"


def test_equal_weights_are_a_shuffle():
    rows = Rows(torch.arange(500), 32, 3, weights=torch.ones(500, dtype=torch.float64))
    order = torch.cat([rows.of(0, k) for k in range(len(rows))])
    assert sorted(order.tolist()) == list(range(500))
    assert order.tolist() != list(range(500))


def test_a_batch_knows_its_rows(data):
    for size, parts in ((8, 1), (300, 1), (300, 3)):
        feed = LabeledFeed(data, size, seed=3)
        for part in range(parts):
            batch = feed.batch(0, 1, part, parts)
            assert torch.equal(data.targets(batch.rows), batch.target)


def test_without_labels_those_that_lack_one_are_learnt_from_too():
    free = SimpleNamespace(parts={"train": torch.tensor([4, 0])}, unlabelled=torch.tensor([3]), lengths=None)
    assert sorted(UnlabeledFeed(free, 8, 0).order.of(0, 0).tolist()) == [0, 3, 4]  # type: ignore[arg-type]


def test_only_rows_of_the_part_are_drawn():
    rows = torch.tensor([3, 5, 6])
    drawn = Rows(rows, 3, 0, weights=torch.tensor([9.0, 9, 9, 1, 9, 0, 1])).of(0, 0)
    assert set(drawn.tolist()) <= {3, 6}, "what weighs nothing is never drawn"


def test_resampling_by_class():
    trained = engine(resample=1.0)
    data = trained.data
    target = data.targets(data.parts["train"])
    for name in target.unique():
        weight = data.weights[data.parts["train"]][target == name]
        torch.testing.assert_close(weight.sum(), torch.ones((), dtype=torch.float64))
    assert trained.feed.order.weights is data.weights
    with pytest.raises(DeepenError, match="train.resample: the answer is not one of several classes"):
        engine(resample=1.0, **{"data.kind": "number"})
