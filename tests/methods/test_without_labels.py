"""Methods that learn without labels: each loss against its formula."""

from __future__ import annotations

import pytest
import torch
from tests.contract.test_methods import engine_of
from torch import nn
from torch.nn import functional as F

from deepen.data.batch import Labeled, Unlabeled
from deepen.errors import DeepenError
from deepen.kinds.reconstruction import Reconstruction
from deepen.kinds.sample import Sample
from deepen.methods.elbo import Elbo, discrepancy
from deepen.methods.gan import Gan
from deepen.methods.reconstruct import Reconstruct
from deepen.models.autoencoder import Autoencoder
from deepen.models.dcgan import DCGAN
from deepen.models.vae import VAE
from deepen.preprocess.array import Array
from deepen.preprocess.draw import Draw
from deepen.signature import Signature

TOLD = Reconstruction(shape=(5,), picture=False, mean=(0.0,) * 5, scale=(1.0,) * 5)
MADE = Sample(shape=(5,), picture=False, mean=(1.0,) * 5, scale=(0.5,) * 5, reads={}, draws=3)
ITEMS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def network(of, kind=TOLD, **settings):
    torch.manual_seed(0)
    encoder = Draw(3) if isinstance(kind, Sample) else Array((5,))
    return of(Signature({"x": encoder}, {"item": kind}), hidden=(8,), **settings)


class Spy(nn.Module):
    """Remembers what goes in and tells nothing of it."""

    def again(self, item):
        self.given = item
        return torch.zeros_like(item)


@pytest.mark.parametrize(("settings", "spoils"), [({"noise": 0.5}, True), ({"masking": 0.4}, True), ({}, False)])
def test_noise_is_on_what_goes_in_and_never_on_what_is_to_come_out(settings, spoils):
    spy = Spy()
    items = torch.randn(400, 5)
    loss = Reconstruct(spy, **settings).loss(Unlabeled((items,), 400), "model")
    assert loss == pytest.approx(float(items.square().mean()))
    assert torch.equal(spy.given, items) != spoils
    if "noise" in settings:
        assert float((spy.given - items).std()) == pytest.approx(0.5, rel=0.1)
    if "masking" in settings:
        hidden = spy.given == 0
        assert float(hidden.float().mean()) == pytest.approx(0.4, abs=0.05)
        assert torch.equal(spy.given[~hidden], items[~hidden])


def test_the_bound_weighs_its_divergence():
    net = network(VAE, code=2)
    losses = []
    for beta in (0.0, 1.0, 3.0):
        torch.manual_seed(1)
        losses.append(Elbo(net, TOLD, beta=beta).loss(Unlabeled((ITEMS,), 6), "model"))
    mean, spread = net.posterior(ITEMS)
    divergence = net.divergence(mean, spread, mean).mean()
    torch.testing.assert_close(losses[1] - losses[0], divergence)
    torch.testing.assert_close(losses[2] - losses[0], 3 * divergence)
    torch.manual_seed(1)
    code = mean + spread.exp() * torch.randn_like(mean)
    torch.testing.assert_close(losses[0], -net.log_likelihood(ITEMS, net.back(code)).mean())


def test_several_draws_are_importance_weighted():
    net = network(VAE, code=2)
    torch.manual_seed(1)
    loss = Elbo(net, TOLD, samples=7).loss(Unlabeled((ITEMS,), 6), "model")
    torch.manual_seed(1)
    weights = net.weights(ITEMS, ITEMS, 7)
    torch.testing.assert_close(loss, -weights.exp().mean(1).log().mean())
    for wrong in ({"beta": 2.0}, {"mmd": 1.0}):
        with pytest.raises(DeepenError, match="7 with beta"):
            Elbo(net, TOLD, samples=7, **wrong)


def test_discrepancy_pair_by_pair_and_what_it_couples():
    a, b = torch.randn(5, 3), torch.randn(4, 3) + 1
    kernel = lambda x, y: sum(torch.exp(-(i - j).square().sum() / 6) for i in x for j in y) / (len(x) * len(y))
    torch.testing.assert_close(discrepancy(a, b), kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))
    assert float(discrepancy(a, a)) == pytest.approx(0, abs=1e-6)
    net = network(VAE, code=2)
    assert Elbo(net, TOLD).separable
    assert not Elbo(net, TOLD, mmd=1.0).separable
    losses = []
    for weight in (0.0, 5.0):
        torch.manual_seed(1)
        losses.append(Elbo(net, TOLD, beta=0.0, mmd=weight).loss(Unlabeled((ITEMS,), 6), "model"))
    torch.manual_seed(1)
    mean, spread = net.posterior(ITEMS)
    code, draws = mean + spread.exp() * torch.randn_like(mean), torch.randn(6, 2)
    torch.testing.assert_close(losses[1] - losses[0], 5 * discrepancy(code, draws))


@pytest.mark.parametrize("loss", ["bce", "hinge"])
def test_both_players_losses(loss):
    net = network(DCGAN, MADE)
    method = Gan(net, MADE, draws=3, loss=loss)
    batch = Labeled((torch.zeros(6, 3),), ITEMS)
    torch.manual_seed(2)
    critic, draws = method.loss(batch, "critic"), None
    torch.manual_seed(2)
    generator = method.loss(batch, "generator")
    torch.manual_seed(2)
    draws = torch.randn(6, 3)
    true, false = net.critic((ITEMS - 1) * 0.5), net.critic(net.generator(draws))
    if loss == "hinge":
        torch.testing.assert_close(critic, (1 - true).relu().mean() + (1 + false).relu().mean())
        torch.testing.assert_close(generator, -false.mean())
    else:
        one, zero = torch.ones(6), torch.zeros(6)
        logits = F.binary_cross_entropy_with_logits
        torch.testing.assert_close(critic, logits(true, one) + logits(false, zero))
        torch.testing.assert_close(generator, logits(false, one))


def test_the_critics_turn_leaves_the_generator_alone():
    net = network(DCGAN, MADE)
    method = Gan(net, MADE, draws=3, critic_steps=2, critic_rate=4.0)
    method.loss(Labeled((torch.zeros(6, 3),), ITEMS), "critic").backward()
    assert all(p.grad is None for p in net.generator.parameters())
    assert all(p.grad is not None for p in net.critic.parameters())
    assert method.players == ("critic", "critic", "generator")
    assert (method.pace("critic"), method.pace("generator")) == (4.0, 1.0)
    assert {*method.learns("critic")} == {*net.critic.parameters()}


def test_both_learn_in_a_run_each_at_its_pace_and_both_losses_are_written_down(tmp_path):
    from deepen.store.run import Run

    engine = engine_of("gan", Run.create(tmp_path, ""))
    engine.method.critic_rate = 4.0
    rates = {}
    for name, player in engine.players.items():
        step = player.optimizer.step
        player.optimizer.step = lambda lr, name=name, step=step: (rates.setdefault(name, lr), step(lr))
    before = {name: value.clone() for name, value in engine.method.state_dict().items()}
    engine.fit()
    moved = {
        name.split(".")[1] for name, value in engine.method.state_dict().items() if not torch.equal(before[name], value)
    }
    assert {"critic", "generator"} <= moved
    assert rates["critic"] == pytest.approx(4 * rates["generator"])
    assert {"critic_loss", "generator_loss", "val_likeness"} <= {*engine.run.rows()[0]}


def test_networks_that_cannot_are_refused_with_those_that_can():
    plain = nn.Linear(2, 2)
    for method, given, way in ((Reconstruct, (), "autoencoder"), (Elbo, (TOLD,), "vae"), (Gan, (MADE,), "dcgan")):
        with pytest.raises(DeepenError, match=rf"model linear.*model={way}"):
            method(plain, *given)
    with pytest.raises(DeepenError, match="model autoencoder"):
        Elbo(network(Autoencoder), TOLD)
    with pytest.raises(DeepenError, match="bernoulli for arrays"):
        Elbo(network(VAE), TOLD, likelihood="bernoulli")


@pytest.mark.slow
def test_a_generator_learns_nothing_from_a_critic_that_does_not_learn(tmp_path):
    """The same training with the critic's rate at nothing stays as far from the digits as it began."""
    import deepen

    settings = {"method": "gan", "draws": 8, "channels": [16, 32], "epochs": 40, "lr": 1e-3, "threads": 1}
    far = {}
    for rate in (1.0, 1e-9):
        run = deepen.train("digits", output=str(tmp_path), critic_rate=rate, **settings)
        far[rate] = [row["val_frechet_error"] for row in run.rows()]
    assert min(far[1.0]) < 0.5 * far[1.0][0]
    assert min(far[1.0]) < 0.5 * min(far[1e-9])


@pytest.mark.slow
def test_all_of_a_ring_of_eight_bells_is_made(tmp_path):
    """At least 7 of the 8 bells, and 4 of 5 points within three deviations of one."""
    import numpy as np

    import deepen

    rng, corners = np.random.default_rng(0), np.arange(8) * np.pi / 4
    centres = 2 * np.stack([np.cos(corners), np.sin(corners)], 1)
    points = centres[rng.integers(8, size=4000)] + 0.05 * rng.normal(size=(4000, 2))
    np.savez(tmp_path / "ring.npz", x=points.astype(np.float32))
    run = deepen.train(
        str(tmp_path / "ring.npz"), output=str(tmp_path), method="gan", draws=4, epochs=250, batch_size=256, lr=1e-3,
        average="ema", average_decay=0.99, threads=1,
    )  # fmt: skip
    made = np.array([answer["made"] for answer in deepen.load(str(run.path))([{"seed": s} for s in range(2000)])])
    far = np.linalg.norm(made[:, None] - centres, axis=2)
    good = far.min(1) < 0.15
    assert good.mean() >= 0.8
    assert (np.bincount(far.argmin(1)[good], minlength=8) >= 20).sum() >= 7
