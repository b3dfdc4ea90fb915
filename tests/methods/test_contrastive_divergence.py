"""Contrastive divergence without labels: its gradient, its chains, the exact likelihood, what is told of items."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.nn.test_boltzmann import bars, likelihood, states
from torch import nn

import deepen
from deepen.data.batch import Unlabeled
from deepen.errors import DeepenError
from deepen.kinds.density import Density
from deepen.methods.contrastive_divergence import ContrastiveDivergence
from deepen.models.rbm import RBM
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.signature import Signature


def kind_of(items: np.ndarray, encoder, ink: bool = True) -> Density:
    return Density.of({"x": encoder}, {encoder.tensors[0].name: items}, np.arange(len(items)), ink=ink)


def network(items: np.ndarray, encoder=None, **settings) -> tuple[Normalise, RBM, Density]:
    """A machine that has looked at the items, behind what scales them."""
    torch.manual_seed(0)
    encoder = encoder or Array(items.shape[1:])
    kind = kind_of(items, encoder)
    signature = Signature({"x": encoder}, {"item": kind})
    normalise = Normalise(signature)
    normalise.fit(signature, {encoder.tensors[0].name: items}, np.arange(len(items)))
    net = RBM(signature, **{"hidden": 12, **settings})
    net.measure(*normalise(torch.from_numpy(items)))
    return normalise, net, kind


@pytest.mark.parametrize(
    ("steps", "persistent", "rate", "momentum"), [(10, False, 0.1, 0.9), (1, True, 0.2, 0.0)], ids=["CD-10", "PCD-1"]
)
def test_the_exact_likelihood_rises(steps, persistent, rate, momentum):
    """No model does better than log(1 / 14) in the mean: half of the way there."""
    items = bars().numpy()
    normalise, net, _ = network(items)
    nn.init.normal_(net.machine.weight, std=0.3)
    method = ContrastiveDivergence(net, steps, persistent)
    seen = normalise(torch.from_numpy(items).repeat(4, 1))
    before, best = likelihood(net.machine, bars()), -float(np.log(14))
    speeds = [torch.zeros_like(p) for p in net.parameters()]
    for _ in range(500 if persistent else 250):
        method.before("model")
        method.loss(Unlabeled(seen, 56), "model").backward()
        with torch.no_grad():
            for p, speed in zip(net.parameters(), speeds):
                p += speed.mul_(momentum).sub_(rate * p.grad)
                p.grad = None
    assert before + 0.5 * (best - before) < likelihood(net.machine, bars()) < best


def test_its_gradient_is_that_of_the_divergence_and_its_value_the_error_of_telling_again():
    items = bars().numpy()
    normalise, net, _ = network(items)
    nn.init.normal_(net.machine.weight)
    (seen,) = normalise(torch.from_numpy(items))
    method = ContrastiveDivergence(net, steps=3)
    torch.manual_seed(1)
    loss = method.loss(Unlabeled((seen,), 14), "model")
    loss.backward()
    torch.manual_seed(1)
    changes = net.machine.divergence(bars(), 3)
    for part, change in zip((net.machine.weight, net.machine.bias, net.machine.below), changes):
        torch.testing.assert_close(part.grad, -change)
    again = net.machine.down(net.machine(bars()))
    torch.testing.assert_close(loss.detach(), (again - bars()).square().sum(1).mean().detach())


def test_chains_go_on_whatever_else_is_drawn():
    _, net, _ = network(bars().numpy())
    nn.init.normal_(net.machine.weight)
    method = ContrastiveDivergence(net, persistent=True, chains=30)
    other = ContrastiveDivergence(net, persistent=True, chains=30)
    other.load_state_dict(method.state_dict())
    start = method.particles.clone()
    for _ in range(3):
        before = method.particles.clone()
        method.before("model")
        torch.rand(7)
        other.before("model")
        assert torch.equal(method.particles, other.particles), "in another process, at another time"
        assert not torch.equal(method.particles, before)
    assert not torch.equal(method.particles, start)


def test_what_is_told_are_probabilities_of_all_items_of_0_and_1():
    """Rare ones too, which are further from the mean than numbers are let through."""
    items = np.zeros((400, 4), np.float32)
    items[::2, 0] = items[::3, 1] = items[7, 2] = items[::5, 3] = 1
    normalise, net, kind = network(items, hidden=5)
    nn.init.normal_(net.machine.weight)
    net.settle()
    last = head(kind)
    tell = lambda x: last(net(*normalise(x))).detach()
    assert float(tell(states(4)).exp().sum()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(net.seen(*normalise(states(4))), states(4))
    grey = torch.tensor([[0.3, 0.5, 1.0, 0.0]])
    chance = (states(4) * grey + (1 - states(4)) * (1 - grey)).prod(1)
    mean = float((chance * tell(states(4))).sum())
    rare = torch.tensor([[0.3, 0.5, 1.0, 0.0]])
    assert float(tell(rare)) <= mean + 1e-4, "of chances a bound"


def test_pictures_are_seen_as_shares_of_white():
    pictures = np.random.default_rng(0).integers(256, size=(20, 3, 4, 3), dtype=np.uint8)
    normalise, net, kind = network(pictures, Image(3, 4, 3))
    seen = net.seen(*normalise(torch.from_numpy(pictures)))
    torch.testing.assert_close(seen, torch.from_numpy(np.moveaxis(pictures, 3, 1).reshape(20, -1) / np.float32(255)))
    nn.init.normal_(net.machine.weight, std=0.1)
    made = kind.own(net.sample(5).detach().numpy())
    assert made.shape == (5, 3, 4, 3)
    assert 0 <= made.min() < made.max() <= 255
    assert float(head(kind)(torch.zeros(1))) == 0, "of a probability nothing is left to be scaled"


def test_the_baseline_is_places_on_their_own():
    items = np.float32([[0, 1], [1, 1], [0, 1], [0, 0]])
    name, loss = kind_of(items, Array((2,))).baseline(items, items)
    expected = -np.mean([np.log(0.75 if not a else 0.25) + np.log(0.75 if b else 0.25) for a, b in items])
    assert name == "every place on its own"
    assert loss == pytest.approx(expected)


def test_log_z_is_that_of_the_weights_that_are_kept(tmp_path):
    """Also of averaged ones, and where later epochs were worse."""
    np.savez(tmp_path / "bars.npz", x=bars().numpy().repeat(8, 0))
    settings = {"model": "rbm", "hidden": 10, "threads": 1, "epochs": 3, "lr": 0.5, "output": str(tmp_path)}
    for average in ("none", "ema"):
        run = deepen.train(str(tmp_path / "bars.npz"), average=average, average_decay=0.9, **settings)
        answers = deepen.load(str(run.path))([list(map(float, code)) for code in itertools.product((0, 1), repeat=9)])
        assert sum(np.exp(answer["log_density"]) for answer in answers) == pytest.approx(1, abs=1e-3)
    assert "contrastive_divergence" in (run.path / "config.yaml").read_text(), "as no item has a label"
    panels = [panel["title"] for panel in deepen.evaluate(str(run.path))["panels"]]
    assert panels[:2] == ["Error of telling items again", "Validation loss"], "each in its own unit"


def test_networks_and_numbers_it_is_not_for_are_refused(tmp_path):
    with pytest.raises(DeepenError, match=r"model linear\. Expected a Boltzmann machine.*model=rbm"):
        ContrastiveDivergence(nn.Linear(2, 2))
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(40, 3)))
    for method, reason in (
        ("contrastive_divergence", r"numbers from -.* Expected numbers from 0 to 1.*model=flow"),
        ("max_likelihood", r"densities of numbers.*method=contrastive_divergence"),
    ):
        with pytest.raises(DeepenError, match=reason):
            deepen.train(str(tmp_path / "x.npz"), method=method, model="rbm", output=str(tmp_path))
