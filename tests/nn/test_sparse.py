"""A sparse layer holds its connections and no others, whatever happens to its weights."""

from __future__ import annotations

import pytest
import torch
from tests.training.engines import engine
from torch import nn

from deepen.models.mlp import MLP
from deepen.nn.initialise import initialise
from deepen.nn.sparse import Sparse, dense
from deepen.registry import build


def layer(inside: int = 12, outside: int = 7, sparsity: float = 0.75, seed: int = 0) -> Sparse:
    torch.manual_seed(seed)
    return Sparse(inside, outside, sparsity)


def reaches(found: Sparse) -> torch.Tensor:
    """(h, d): which inputs move which units, by trying each."""
    x = torch.zeros(1 + found.inside, found.inside)
    x[1:] = torch.eye(found.inside)
    y = found(x)
    return (y[1:] != y[:1]).T


def allowed(found: Sparse) -> torch.Tensor:
    return torch.zeros(len(found.weight), found.inside, dtype=torch.bool).scatter(1, found.places, True)


def test_a_unit_sees_as_many_places_as_are_left_and_no_others():
    found = layer()
    assert found.weight.shape == (7, 3)
    assert torch.equal(reaches(found), allowed(found))
    assert (reaches(found).sum(1) == 3).all()
    assert len({tuple(row) for row in found.places.tolist()}) > 1, "units look at different places"
    x = torch.randn(5, 12)
    by_hand = torch.stack([x[:, p] @ w + b for p, w, b in zip(found.places, found.weight, found.bias)], 1)
    torch.testing.assert_close(found(x), by_hand)
    assert layer(sparsity=0.99).weight.shape == (7, 1), "one at least"
    assert isinstance(dense(3, 2), nn.Linear)


def test_gradients_are_those_of_its_connections():
    found = layer().double()
    assert torch.autograd.gradcheck(found, torch.randn(3, 12, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(found, {"weight": w}, torch.ones(2, 12, dtype=torch.float64)),
        found.weight.detach().clone().requires_grad_(),
    )


def test_places_are_the_seeds_and_come_back_with_the_weights():
    assert torch.equal(layer().places, layer().places)
    other = layer(seed=1)
    assert not torch.equal(layer().places, other.places)
    other.load_state_dict(layer().state_dict())
    assert torch.equal(reaches(other), allowed(layer()))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_no_other_connection_ever_appears(name):
    """Steps with decay and noise on the weights, averaged, begun by name."""
    model = {"name": "mlp", "hidden": [10, 9], "sparsity": 0.7}
    train = {"weight_decay": 0.1, "weight_noise": 0.1, "average": "ema", "init": {"name": "he"}, "epochs": 2}
    found = engine(model=model, optimizer={"name": name}, **train)
    layers = [part for part in found.method.modules() if isinstance(part, Sparse)]
    assert len(layers) == 2
    before = [(allowed(part), part.weight.detach().clone()) for part in layers]
    found.fit()
    for part, (places, weight) in zip(layers, before):
        assert not torch.equal(part.weight, weight)
        assert torch.equal(part.dense() != 0, places)


def test_initialisers_see_how_many_connections_lead_into_a_unit():
    torch.manual_seed(0)
    net = nn.Sequential(Sparse(400, 500, 0.75), Sparse(500, 3, 0.5))
    initialise(net, build("initialisers", {"name": "he"}), (torch.zeros(2, 400),))
    assert float(net[0].weight.detach().std()) == pytest.approx((2 / 100) ** 0.5, rel=0.02)
    initialise(net, build("initialisers", {"name": "pca"}), (torch.randn(20, 400),))
    assert net[0].weight.shape == (500, 100)


def test_a_network_of_them_is_smaller():
    from tests.contract.test_models import SIGNATURES

    whole, some = (MLP(SIGNATURES["numbers"], (20, 10), sparsity=s) for s in (0.0, 0.9))
    counts = [sum(p.numel() for p in net.parameters()) for net in (whole, some)]
    assert counts == [3 * 20 + 20 + 20 * 10 + 10 + 11, 20 + 20 + 2 * 10 + 10 + 11]
