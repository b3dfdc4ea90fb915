"""From codes to graphs: likelihoods against torch.distributions, draws against the chances they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import distributions as d

from deepen.data.batch import Labeled
from deepen.kinds.graphs import Graphs
from deepen.methods.elbo import Elbo
from deepen.models.graph_autoencoder import GraphAutoencoder
from deepen.nn.graph_making import GraphMaker, Truth, chance
from deepen.preprocess.draw import Draw
from deepen.signature import Signature


def kind(tags: bool) -> Graphs:
    return Graphs(
        reads={}, sizes=(0, 0, 1, 1, 2), links=0.4, mean=(0.5, 0.5), scale=(0.5, 0.0 if not tags else 0.5), tags=tags, code=3
    )  # fmt: skip


def graphs(tags: bool) -> torch.Tensor:
    """Two graphs of 4 and 2 nodes."""
    truth = torch.zeros(2, 4, 1 + 2 + 4)
    truth[0, :, 0] = truth[1, :2, 0] = 1
    truth[0, :, 1], truth[1, 1, 1] = torch.tensor([1.0, 0, 0, 1]), 1
    truth[..., 2] = (1 - truth[..., 1]) * truth[..., 0] if tags else 0.5
    for graph, a, b in ((0, 0, 1), (0, 1, 2), (0, 0, 3), (1, 0, 1)):
        truth[graph, a, 3 + b] = truth[graph, b, 3 + a] = 1
    return truth


def maker(tags: bool) -> GraphMaker:
    torch.manual_seed(0)
    net = GraphMaker(kind(tags))
    net.link[1].weight.data *= 30  # so that some links are likelier than others
    return net


@pytest.mark.parametrize("tags", [True, False])
def test_likelihood_is_that_of_torch(tags):
    net, truth = maker(tags), Truth(graphs(tags), 2)
    if not tags:
        net.sigma.data.fill_(-0.4)
    code = torch.randn(2, 5, 3)
    told, odds = net(code, truth.there.sum(1))
    assert torch.equal(odds, odds.transpose(1, 2)), "links have no direction"
    for graph, size in ((0, 4), (1, 2)):
        low, high = torch.triu_indices(size, size, 1)
        expected = d.Bernoulli(logits=odds[graph, low, high]).log_prob(truth.links[graph, low, high]).sum()
        nodes = truth.nodes[graph, :size]
        if tags:
            expected = expected + d.OneHotCategorical(logits=told[graph, :size]).log_prob(nodes).sum()
        else:
            scaled = torch.stack([(nodes[:, 0] - 0.5) / 0.5, torch.zeros(size)], 1)
            expected = expected + d.Normal(told[graph, :size], net.sigma.exp()).log_prob(scaled).sum()
        torch.testing.assert_close(net.log_likelihood(code, truth)[graph], expected)


@pytest.mark.parametrize("tags", [True, False])
def test_a_graph_is_made_with_the_chances_that_are_told(tags):
    """Codes held, sizes and coins drawn: shares of sizes, links and tags."""
    net, count = maker(tags), 4000
    draw = torch.randn(count, kind(tags).draws, generator=torch.Generator().manual_seed(0))
    code = torch.randn(15)
    draw[:, 1:16] = code
    with torch.no_grad():
        nodes, links, size = net.made(draw)
        told, odds = net(code.view(1, 5, 3), torch.tensor([4]))
    shares = torch.bincount(size, minlength=5) / count
    torch.testing.assert_close(shares, torch.tensor([0, 0, 0.25, 0.25, 0.5]), atol=0.03, rtol=0)
    assert torch.equal(links, links.transpose(1, 2))
    assert (links.diagonal(dim1=1, dim2=2) == 0).all()
    assert (links[size == 2][:, 2:] == 0).all()
    assert (nodes[size == 2][:, 2:] == 0).all()
    whole = size == 4
    assert odds[0].std() > 0.3
    expected = odds[0].sigmoid() * (1 - torch.eye(4))
    torch.testing.assert_close(links[whole].mean(0), expected, atol=0.05, rtol=0)
    if tags:
        assert (nodes[whole].sum(2) == 1).all()
        torch.testing.assert_close(nodes[whole].mean(0), told[0].softmax(1), atol=0.05, rtol=0)
    else:
        assert (nodes[whole][:, :, 1] == 0.5).all(), "what never differs is as it always was"
        torch.testing.assert_close(nodes[whole][:, :, 0].mean(0), told[0, :, 0] * 0.5 + 0.5, atol=0.05, rtol=0)


def test_coins_are_even():
    rng = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(np.quantile(chance(rng), [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.02)


@pytest.mark.parametrize("tags", [True, False])
def test_the_bound_by_hand(tags):
    torch.manual_seed(0)
    net = GraphAutoencoder(Signature({"draw": Draw(kind(tags).draws)}, {"item": kind(tags)}), code=3, hidden=(8,))
    truth = Truth(graphs(tags), 2)
    torch.manual_seed(1)
    loss = Elbo(net, kind(tags)).loss(Labeled((torch.zeros(2, 1),), graphs(tags)), "model")
    torch.manual_seed(1)
    noise = torch.randn(2, 5, 3)
    total = torch.zeros(())
    for graph, size in ((0, 4), (1, 2)):
        seen = net.back.seen(truth)[graph, :size]
        edges = truth.links[graph].nonzero().T
        mean, spread = net.posterior(seen, edges)
        whole = net.whole(net.states(seen, edges).mean(0))
        mean, spread = torch.cat([mean, whole[None, :3]]), torch.cat([spread, whole[None, 3:]])
        keep = [*range(size), 4]
        code = torch.zeros(5, 3).index_put((torch.tensor(keep),), mean + spread.exp() * noise[graph, keep])
        told = net.back.log_likelihood(code[None].expand(2, -1, -1), truth)[graph]
        normal = d.Normal(mean, spread.exp())
        total = total + told - d.kl_divergence(normal, d.Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(loss, -total / 2, rtol=1e-4, atol=1e-4)
    assert math.isfinite(float(loss.detach()))


def test_edges_of_all_graphs_side_by_side():
    edges = Truth(graphs(True), 2).edges()
    assert edges.shape == (2, 8)
    assert sorted(edges[:, -2:].T.tolist()) == [[4, 5], [5, 4]]
