"""Mixing two items and their targets, against the papers' formulas, item by item; parts of a batch equal the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.augmentations import share_of
from deepen.augmentations.cutmix import Cutmix
from deepen.augmentations.mixup import Mixup
from deepen.config import Config
from deepen.data.augment import Augment
from deepen.data.data import Data
from deepen.data.feeds import LabeledFeed
from deepen.data.items import Items
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.nn.normalise import Normalise
from tests.training.engines import engine, new_run
from tests.training.test_recovery import Killed, Killer

N, H, W = 12, 10, 7


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_of_beta(alpha):
    drawn = share_of(alpha, 20_000, generator())
    assert torch.isfinite(drawn).all()
    assert abs(float(drawn.mean()) - 0.5) < 0.01
    assert float(drawn.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_mixup_is_a_weighted_sum():
    inputs, others = (torch.randn(N, 3), torch.randn(N, 2, 4)), (torch.randn(N, 3), torch.randn(N, 2, 4))
    drawn = Mixup().draw(N, generator())
    assert sorted(drawn["partner"][0].tolist()) == list(range(N))
    found, share = Mixup().apply(inputs, others, drawn)
    for i, s in enumerate(share.tolist()):
        for x, o, y in zip(inputs, others, found):
            torch.testing.assert_close(y[i], s * x[i] + (1 - s) * o[i])


def test_cutmix_puts_in_a_rectangle_and_counts_its_pixels():
    images, others = torch.zeros(N, 2, H, W), torch.ones(N, 2, H, W)
    drawn = Cutmix().draw(N, generator())
    (found,), share = Cutmix().apply((images,), (others,), drawn)
    cut = 0
    for i in range(N):
        half = float((1 - drawn["share"][0, i]).sqrt()) / 2
        for y in range(H):
            for x in range(W):
                down, right = (y + 0.5) / H - drawn["centre"][0, i], (x + 0.5) / W - drawn["centre"][1, i]
                assert bool(found[i, 0, y, x]) == (-half <= down < half and -half <= right < half)
        torch.testing.assert_close(1 - share[i], found[i, 0].mean())
        assert torch.equal(found[i, 0], found[i, 1])
        cut += int(found[i].any() and not found[i].all())
    assert cut > N / 2


def pictures(*augment: dict[str, object], kind: str = "classes") -> Data:
    """Pictures that hold one number, the one in their target."""
    count = 120
    values = np.repeat(np.arange(count, dtype=np.uint8), 48).reshape(count, 4, 4, 3)
    target = [("a", "b", "c")[i % 3] if kind == "classes" else float(i) for i in range(count)]
    split = ["train"] * 90 + ["val"] * 15 + ["test"] * 15
    items = Items(
        [str(i) for i in range(count)], {"image": values}, {"image": ("image", {})}, target, kind, split=split
    )
    prepared = prepare(items, Config({"name": "arrays"}))
    return Data(prepared, Normalise(prepared.signature), Augment(augment, prepared.signature))


@pytest.mark.parametrize("size", [8, 64, 90])
def test_the_target_is_mixed_as_the_item_is(size):
    """Every picture holds its target: what is in the mixed picture must be what is in the mixed target."""
    feed = LabeledFeed(pictures({"name": "mixup", "alpha": 1}, kind="number"), size, 0)
    moved = 0
    for k in range(len(feed)):
        batch, names = feed.batch(0, k), feed.names(0, k)
        torch.testing.assert_close(batch.inputs[0].mean((1, 2, 3)), batch.target, atol=1e-3, rtol=1e-4)
        moved += sum(abs(float(name) - value) > 1e-3 for name, value in zip(names, batch.target.tolist()))
    assert moved > 45


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("size", [8, 64])
def test_parts_of_a_batch_agree_and_epochs_differ(name, size):
    data = pictures({"name": "crop", "padding": 1}, {"name": name, "alpha": 1})
    one, other = LabeledFeed(data, size, 3), LabeledFeed(data, size, 3)
    whole = one.batch(1, 1)
    pieces = [other.batch(1, 1, part, 3) for part in range(3)]
    assert torch.equal(torch.cat([p.inputs[0] for p in pieces]), whole.inputs[0])
    assert torch.equal(torch.cat([p.target for p in pieces]), whole.target)
    assert whole.target.shape == (len(whole.target), 3)
    torch.testing.assert_close(whole.target.sum(1), torch.ones(len(whole.target)))
    assert not torch.equal(one.batch(2, 1).inputs[0], whole.inputs[0])


@pytest.mark.parametrize("size", [8, 64])
def test_a_partner_looks_as_it_does_in_its_own_place(size):
    """Nothing but partners: the batch is what it would be unmixed, in another order."""
    data = pictures({"name": "crop", "padding": 1}, {"name": "mixup"})
    feed = LabeledFeed(data, size, 3)
    real = data.augment.mix.draw
    data.augment.mix.draw = lambda n, generator: {**real(n, generator), "share": torch.zeros(1, n)}
    count = feed.group
    mixed = torch.cat([feed.batch(0, k).inputs[0] for k in range(min(count, len(feed)))])
    data.augment.mix = None
    plain = torch.cat([LabeledFeed(data, size, 3).batch(0, k).inputs[0] for k in range(min(count, len(feed)))])
    assert not torch.equal(mixed, plain)
    assert sorted(mixed.flatten(1).tolist()) == sorted(plain.flatten(1).tolist())


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        (({"name": "mixup", "alpha": 0},), "alpha: got 0. Expected a number above 0"),
        (({"name": "mixup"}, {"name": "cutmix"}), "more than one way of mixing. Expected one of them"),
    ],
)
def test_mistakes_are_told(specs, text):
    with pytest.raises(DeepenError, match=text):
        Augment(specs, pictures().signature)


def test_items_that_cannot_be_mixed_are_refused():
    with pytest.raises(
        DeepenError, match=r"train.augment\[0\]: cutmix cannot change rows .* Expected nothing but image"
    ):
        engine(augment="[cutmix]")


def test_mixed_and_killed_goes_on_bit_for_bit(tmp_path):
    settings = {"augment": "[mixup]", "focus": 2, "balance": 0.9, "resample": 0.5, "epochs": 3}
    settings |= {"optimizer": "muon", "schedule": "one_cycle", "l1": 0.001, "max_norm": 2.0}
    found = []
    for killed in (False, True):
        run = new_run(tmp_path / str(killed), **settings)
        trained = engine(run, Killer(1) if killed else None, **settings)
        if killed:
            trained.observer.left = trained.epoch_steps + 3
            with pytest.raises(Killed):
                trained.fit()
            trained = engine(run, **settings)
            assert trained.load()
        trained.fit()
        found.append((trained.packaged.state_dict(), (run.path / "metrics.jsonl").read_bytes()))
    assert found[0][1] == found[1][1]
    assert all(torch.equal(value, found[1][0][name]) for name, value in found[0][0].items())


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_add_up_to_the_batch_whatever_is_chosen(parts):
    settings = {"augment": "[mixup]", "focus": 2, "balance": 0.9, "optimizer": "sgd"}
    whole, split = engine(**settings), engine(accumulate=parts, **settings)
    whole.fit()
    split.fit()
    for name, tensor in whole.packaged.state_dict().items():
        torch.testing.assert_close(split.packaged.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
