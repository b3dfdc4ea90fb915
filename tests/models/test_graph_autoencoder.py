"""The graph autoencoder: its bound by hand and against torch-geometric's formulas."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as d
from torch.nn import functional as F

from deepen.data.batch import Unlabeled
from deepen.errors import DeepenError
from deepen.kinds.link import Link as Linked
from deepen.methods.elbo import Elbo
from deepen.models.graph_autoencoder import GraphAutoencoder, odds, others
from deepen.preprocess.link import Link
from deepen.signature import Signature

NODES = 30


def network(**settings) -> GraphAutoencoder:
    torch.manual_seed(0)
    encoder = Link(tuple(map(str, range(NODES))), 40, 5)
    return GraphAutoencoder(Signature({"link": encoder}, {"linked": Linked()}), code=3, hidden=(8,), **settings)


def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    pairs = torch.randint(NODES, (2, 40), generator=generator)
    pairs = pairs[:, pairs[0] < pairs[1]].unique(dim=1)
    edges = torch.cat([pairs, pairs.flip(0)], 1)
    return torch.randn(NODES, 5, generator=generator), edges, pairs.T


def bound_by_hand(net: GraphAutoencoder, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What links and drawn pairs without one are told by, and the divergence over N^2."""
    nodes, edges, pair = given()
    torch.manual_seed(seed)
    mean, spread = net.posterior(nodes, edges)
    z = mean + spread.exp() * torch.randn_like(mean)
    other, free = others(edges, NODES, len(pair))
    odds_of = lambda pairs: torch.stack([z[a] @ z[b] for a, b in pairs])
    told = F.logsigmoid(odds_of(pair)).mean() + F.logsigmoid(-odds_of(other[free > 0])).mean()
    normal = d.Independent(d.Normal(mean, spread.exp()), 2)
    return told, d.kl_divergence(normal, d.Independent(d.Normal(torch.zeros_like(mean), 1.0), 2)) / NODES**2


def test_the_bound_by_hand():
    net = network()
    told, divergence = bound_by_hand(net, 3)
    for beta in (0.0, 1.0, 2.5):
        torch.manual_seed(3)
        loss = Elbo(net, Linked(), beta=beta).loss(Unlabeled(given(), len(given()[2])), "model")
        torch.testing.assert_close(loss, -told + beta * divergence)


def test_pairs_without_a_link_are_drawn_alike_from_those_that_have_none():
    _, edges, _ = given()
    torch.manual_seed(0)
    pairs, free = others(edges, NODES, 20_000)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    linked = torch.zeros(NODES, NODES)
    linked[edges[0], edges[1]] = 1
    assert torch.equal(free, 1 - linked[pairs[:, 0], pairs[:, 1]])
    assert 0 < (free == 0).sum() < 0.2 * len(pairs)
    counts = torch.zeros(NODES, NODES).index_put_((pairs[:, 0], pairs[:, 1]), torch.ones(len(pairs)), accumulate=True)
    assert counts[~torch.eye(NODES, dtype=torch.bool)].min() > 5


def test_a_graph_of_one_pair_has_none_to_draw():
    _, free = others(torch.tensor([[0, 1], [1, 0]]), 2, 4)
    assert free.sum() == 0
    net = network()
    nodes = torch.randn(2, 5)
    told = net.drawn(nodes, torch.tensor([[0, 1], [1, 0]]), torch.tensor([[0, 1]]))[1]
    assert torch.isfinite(told).all()


def test_answers_come_from_the_mean_whichever_way_round():
    net, (nodes, edges, pair) = network().eval(), given()
    mean, _ = net.posterior(nodes, edges)
    torch.testing.assert_close(net(nodes, edges, pair), (mean[pair[:, 0]] * mean[pair[:, 1]]).sum(1))
    torch.testing.assert_close(net(nodes, edges, pair.flip(1)), net(nodes, edges, pair))
    torch.testing.assert_close(net.features(nodes, edges, pair), torch.cat([mean[pair[:, 0]], mean[pair[:, 1]]], 1))
    assert torch.equal(net(nodes, edges, pair), net(nodes, edges, pair)), "no draw in an answer"


def test_the_numbers_of_the_nodes_get_one_length():
    """Codes do not depend on the unit of what nodes carry."""
    net, (nodes, edges, pair) = network().eval(), given()
    net.measure(nodes, edges, pair)
    assert float((nodes * net.gain).square().sum(1).mean()) == pytest.approx(16)
    once = net(nodes, edges, pair)
    net.measure(nodes / 1000, edges, pair)
    torch.testing.assert_close(net(nodes / 1000, edges, pair), once, rtol=1e-4, atol=1e-5)


def test_links_have_no_bound_of_several_draws():
    with pytest.raises(DeepenError, match=r"method\.samples: got 4 for graphs"):
        Elbo(network(), Linked(), samples=4).loss(Unlabeled(given(), 3), "model")


def test_parity_with_torch_geometric():
    """Its VGAE with our encoder's numbers and the same pairs without a link: both losses and the decoder."""
    pyg = pytest.importorskip("torch_geometric.nn")
    net, (nodes, edges, pair) = network(), given()
    mean, spread = (part.detach() for part in net.posterior(nodes, edges))
    theirs = pyg.VGAE(torch.nn.Identity())
    code = torch.randn_like(mean)
    drawn = torch.tensor([[0, 4], [9, 2], [7, 3]])
    told = theirs.recon_loss(code, pair.T, drawn.T)
    ours = -(F.logsigmoid(odds(code, pair)).mean() + F.logsigmoid(-odds(code, drawn)).mean())
    torch.testing.assert_close(ours, told, atol=1e-5, rtol=0)
    kl = theirs.kl_loss(mean, spread) / NODES
    torch.testing.assert_close(net.drawn(nodes, edges, pair)[2], kl, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(odds(code, pair).sigmoid(), theirs.decoder(code, pair.T))
