"""Densities against torch.distributions, bounds against each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as d

from deepen.kinds.reconstruction import Reconstruction
from deepen.models.vae import VAE, Mixture, Standard, log_normal
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.signature import Signature


def vae(components: int = 1, likelihood: str = "gaussian", **settings) -> VAE:
    torch.manual_seed(0)
    picture = likelihood == "bernoulli"
    shape = (6, 6, 1) if picture else (5,)
    places = 1 if picture else 5
    kind = Reconstruction(
        shape=shape, picture=picture, mean=(60.0,) * places, scale=(0.02,) * places, likelihood=likelihood, unit="nats"
    )  # type: ignore[arg-type]
    encoder = Image(6, 6, 1) if picture else Array((5,))
    return VAE(Signature({"x": encoder}, {"item": kind}), code=3, hidden=(8,), components=components, **settings)


def inked(net: VAE, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    levels = torch.rand(n, 1, 6, 6) * 255
    return (levels - 60) * 0.02, levels / 255


def test_densities_and_divergence_are_those_of_torch():
    torch.manual_seed(1)
    mean, spread, code = torch.randn(4, 3), torch.randn(4, 3) * 0.3, torch.randn(4, 3)
    normal = d.Independent(d.Normal(mean, spread.exp()), 1)
    torch.testing.assert_close(log_normal(code, mean, spread), normal.log_prob(code))
    standard = d.Independent(d.Normal(torch.zeros(3), torch.ones(3)), 1)
    torch.testing.assert_close(Standard()(code), standard.log_prob(code))
    torch.testing.assert_close(vae().divergence(mean, spread, code), d.kl_divergence(normal, standard))
    net = vae(components=4)
    net.prior.weight.data.normal_()
    net.prior.spread.data.normal_(std=0.3)
    mixture = d.MixtureSameFamily(
        d.Categorical(logits=net.prior.weight), d.Independent(d.Normal(net.prior.mean, net.prior.spread.exp()), 1)
    )
    torch.testing.assert_close(net.prior(code), mixture.log_prob(code))
    torch.testing.assert_close(net.divergence(mean, spread, code), normal.log_prob(code) - mixture.log_prob(code))


def test_likelihoods_are_those_of_torch():
    net = vae()
    net.sigma.data.fill_(-0.7)
    x, told = torch.randn(4, 5), torch.randn(4, 5)
    torch.testing.assert_close(net.log_likelihood(x, told), d.Normal(told, math.exp(-0.7)).log_prob(x).sum(1))
    net = vae(likelihood="bernoulli")
    x, told = torch.rand(4, 1, 6, 6).round(), torch.randn(4, 1, 6, 6)
    torch.testing.assert_close(net.log_likelihood(x, told), d.Bernoulli(logits=told).log_prob(x).flatten(1).sum(1))


def test_one_draw_is_the_elbo_and_more_are_a_tighter_bound():
    net, x = vae().eval(), torch.randn(3, 5) * 2
    with torch.no_grad():
        torch.manual_seed(0)
        single = net.bound(x.repeat(4000, 1), 1).view(4000, 3)
        mean, spread = net.posterior(x)
        codes = mean + spread.exp() * torch.randn(4000, 3, 3)
        every = net.log_likelihood(x.repeat(4000, 1), net.back(codes.flatten(0, 1)))
        told = every.view(4000, 3).mean(0)
        elbo = told - net.divergence(mean, spread, mean)
        torch.testing.assert_close(single.mean(0), elbo, atol=6 * float(single.std(0).max()) / 4000**0.5, rtol=0)
        bounds = [float(net.bound(x.repeat(400, 1), k).mean()) for k in (1, 8, 64)]
    assert bounds == sorted(bounds)
    assert bounds[2] > bounds[0] + 0.01
    net.weights = lambda item, truth, count: torch.full((3, count), -2.0)  # type: ignore[method-assign]
    torch.testing.assert_close(net.bound(x, 5), torch.full((3,), -2.0))  # the mean of what is the same, however many


def test_answers_are_without_chance_and_by_hand():
    net = vae(components=2).eval()
    x = torch.randn(4, 5)
    again, code, loss = net(x)
    assert torch.equal(net(x)[2], loss)
    mean, spread = net.posterior(x)
    torch.testing.assert_close(code, mean)
    torch.testing.assert_close(again, net.back(mean))
    codes = mean + spread.exp() * net.draws[:, None]
    expected = torch.stack([net.divergence(mean, spread, z) - net.log_likelihood(x, net.back(z)) for z in codes])
    torch.testing.assert_close(loss, expected.mean(0))


def test_levels_are_chances_of_ink():
    """Ink is 0 or 1, new each time, as often 1 as the level says; what goes in is that ink, not the level."""
    net = vae(likelihood="bernoulli")
    item, chance = inked(net)
    drawn = [net.inked(item, True) for _ in range(600)]
    assert set(drawn[0][1].unique().tolist()) <= {0.0, 1.0}
    assert not torch.equal(drawn[0][1], drawn[1][1])
    torch.testing.assert_close(torch.stack([ink for _, ink in drawn]).mean(0), chance, atol=0.1, rtol=0)
    seen, ink = drawn[0]
    torch.testing.assert_close(seen, (ink * 255 - 60) * 0.02)
    torch.testing.assert_close(net.inked(item, False)[1], chance)


@pytest.mark.parametrize("prior", [Standard(), Mixture(3, 2)])
def test_what_is_drawn_has_the_priors_density(prior):
    torch.manual_seed(0)
    if isinstance(prior, Mixture):
        prior.weight.data, prior.mean.data = torch.tensor([2.0, 0, 0]), torch.tensor([[0.0, 0], [9, 0], [0, 9]])
    with torch.no_grad():
        drawn = prior.sample(4000, torch.zeros(1, 2))
        near = (drawn.norm(dim=1) < 3).float().mean()
        grid = torch.cartesian_prod(*[torch.linspace(-3, 3, 121)] * 2)
        mass = (prior(grid).exp() * (grid.norm(dim=1) < 3)).sum() * 0.05**2
    assert float(near) == pytest.approx(float(mass), abs=0.03)


def test_it_begins_with_the_mean_item():
    """What goes in is seen from there, and before anything is learnt it is what is told."""
    net = vae(likelihood="bernoulli").eval()
    item, chance = inked(net, 50)
    chance[:, :, 0], item[:, :, 0] = 0.0, -60 * 0.02
    net.measure(item)
    torch.testing.assert_close(net.usual, item.mean(0))
    torch.testing.assert_close(net.seen(item), net.body(item - item.mean(0)))
    for weight in net.back.parameters():
        torch.nn.init.zeros_(weight)
    told = net.told(torch.randn(2, 3)).sigmoid()
    expected = chance.mean(0).clamp(1e-3)
    for found in (told[0], net.again(item)[0].sigmoid(), net.sample(1)[0].sigmoid()):
        torch.testing.assert_close(found, expected)
    kind, cost = d.Bernoulli(probs=expected), net.divergence(*net.posterior(item), torch.zeros(50, 3))
    torch.testing.assert_close(net(item)[2], cost - _mean_log(kind, chance))
    rows = vae()
    rows.measure(torch.arange(20.0).view(4, 5))
    assert rows.usual.tolist() == rows.begun.tolist() == [7.5, 8.5, 9.5, 10.5, 11.5]


def _mean_log(kind: d.Bernoulli, chance: torch.Tensor) -> torch.Tensor:
    """Of the log chance of a picture of ink, (B,)."""
    ones, zeros = (kind.log_prob(torch.full_like(chance, value)) for value in (1.0, 0.0))
    return (chance * ones + (1 - chance) * zeros).flatten(1).sum(1)


def test_a_network_for_labels_begins_with_the_mean_item_too():
    from deepen.kinds.classes import Classes

    net = VAE(Signature({"x": Array((5,))}, {"y": Classes(("a", "b"))}), code=3, hidden=(8,)).eval()
    item = torch.randn(9, 5) + 4
    net.measure(item)
    torch.testing.assert_close(net(item), net.last(net.mean(net.body(item - item.mean(0)))))


def test_weights_without_a_mean_item_were_learnt_from_nothing_on():
    net, item = vae().eval(), torch.randn(4, 5)
    expected = net(item)
    state = {name: value.clone() for name, value in net.state_dict().items() if name not in {"usual", "begun"}}
    net.measure(item + 3)
    net.load_state_dict(state)
    for found, before in zip(net(item), expected):
        torch.testing.assert_close(found, before)
