"""Layers by name: against PyTorch's own and against the papers' formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen import registry
from deepen.errors import DeepenError
from deepen.nn.layers import (
    ACTIVATIONS,
    CBAM,
    Excite,
    LpPool,
    SpatialDropout,
    StochasticDepth,
    activation,
    convolution,
    norm,
)
from deepen.schema import CHOICES, coerce


def test_names_a_user_may_write_are_the_activations_there_are():
    assert set(CHOICES["Activation"]) == set(ACTIVATIONS)
    assert coerce("mish", "Activation | None", "x") == "mish"
    with pytest.raises(DeepenError, match="got 'rleu'. Expected one of relu, leaky_relu"):
        coerce("rleu", "Activation", "x")


def test_every_network_with_an_activation_takes_all_of_them():
    fields = [f for name in registry.names("models") for f in registry.fields("models", name) if f.name == "activation"]
    assert len(fields) >= 10
    assert {f.annotation for f in fields} <= {"Activation", "Activation | None"}


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: x.clamp(min=0)),
        ("leaky_relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("relu6", lambda x: x.clamp(0, 6)),
        ("elu", lambda x: torch.where(x > 0, x, x.exp() - 1)),
        ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5))),
        ("silu", lambda x: x / (1 + (-x).exp())),
        ("hard_swish", lambda x: x * (x + 3).clamp(0, 6) / 6),
        ("mish", lambda x: x * torch.tanh((1 + x.exp()).log())),
        ("tanh", lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())),
        ("sigmoid", lambda x: 1 / (1 + (-x).exp())),
        ("hard_sigmoid", lambda x: (x + 3).clamp(0, 6) / 6),
        ("softmax", lambda x: x.exp() / x.exp().sum(1, keepdim=True)),
    ],
)
def test_activations_follow_their_formulas(name, formula):
    x = torch.linspace(-7, 7, 24).reshape(2, 4, 3)
    torch.testing.assert_close(activation(name)(x), formula(x), rtol=1e-5, atol=1e-6)


def test_softmax_goes_over_the_axis_of_the_features():
    torch.testing.assert_close(activation("softmax", axis=-1)(torch.randn(2, 4, 3)).sum(2), torch.ones(2, 4))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_lp_pooling_is_pytorchs_on_what_is_not_negative(dimensions, power):
    x = torch.rand(2, 3, *(7,) * dimensions)
    theirs = {1: nn.LPPool1d, 2: nn.LPPool2d, 3: nn.LPPool3d}[dimensions](power, 3, 2)
    torch.testing.assert_close(LpPool(dimensions, 3, 2, power)(x), theirs(x))


def test_lp_pooling_takes_sizes_without_signs_and_has_gradients_at_zero():
    x = torch.tensor([[[-3.0, 4.0, 0.0, 0.0]]], requires_grad=True)
    out = LpPool(1, 2, 2, 2)(x)
    torch.testing.assert_close(out, torch.tensor([[[5.0, 0.0]]]))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[[-0.6, 0.8, 0.0, 0.0]]]))
    torch.testing.assert_close(LpPool(1, 2, 2, 1)(x.detach()), torch.tensor([[[7.0, 0.0]]]))


def test_stochastic_depth_drops_whole_items_and_keeps_the_mean():
    torch.manual_seed(0)
    layer, x = StochasticDepth(0.25), torch.rand(4000, 2, 3) + 1
    out = layer.train()(x)
    left_out = out[:, 0, 0] == 0
    torch.testing.assert_close(out, x * (4 / 3) * ~left_out[:, None, None])  # each as a whole, the others scaled up
    assert abs(float(left_out.float().mean()) - 0.25) < 0.03
    assert layer.eval()(x) is x


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_cbam_weighs_channels_then_places_by_the_formula(dimensions):
    torch.manual_seed(0)
    net, x = CBAM(32, dimensions), torch.randn(2, 32, *(5,) * dimensions)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[dimensions]
    axes, ones = tuple(range(2, 2 + dimensions)), (1,) * dimensions

    def shared(v: torch.Tensor) -> torch.Tensor:
        first, _, second = net.shared
        return (v @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias

    y = x * (shared(x.mean(axes)) + shared(x.amax(axes))).sigmoid().reshape(2, 32, *ones)
    places = convolve(torch.stack([y.mean(1), y.amax(1)], 1), net.places.weight, padding=3)
    torch.testing.assert_close(net(x), y * places.sigmoid())
    assert net.shared[0].out_features == 4


def test_excite_takes_its_width_activation_and_gate():
    torch.manual_seed(0)
    net, x = Excite(8, 3, "silu", "hard_sigmoid"), torch.randn(2, 8, 4, 4)
    inner = F.silu(x.mean((2, 3)) @ net.squeeze.weight.T + net.squeeze.bias)
    weights = F.hardsigmoid(inner @ net.expand.weight.T + net.expand.bias)
    torch.testing.assert_close(net(x), x * weights[:, :, None, None])
    assert net.squeeze.out_features == 3


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_spatial_dropout_leaves_out_whole_maps_and_scales_the_others(dimensions):
    torch.manual_seed(0)
    maps = torch.randn(40, 50, *[3] * dimensions)
    layer = SpatialDropout(0.3)
    found = layer(maps)
    assert found.shape == maps.shape
    kept = (found != 0).flatten(2)
    assert torch.equal(kept.any(2), kept.all(2)), "a map is there or not"
    assert 0.25 < 1 - float(kept.any(2).float().mean()) < 0.35
    assert len(kept.any(2).float().mean(1).unique()) > 5, "not the same of every item"
    torch.testing.assert_close(found, maps / 0.7 * (found != 0))
    assert torch.equal(layer.eval()(maps), maps)
    assert torch.equal(SpatialDropout(0.0)(maps), maps)


@pytest.mark.parametrize(("name", "apart"), [("layer", 1), ("instance", 12), ("group", 6)])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_norms_that_look_at_one_item_by_their_formula(name, apart, dimensions):
    """12 channels: all together, each by itself, in six parts (the most up to 8 that divide them)."""
    x = torch.randn(2, 12, *range(3, 3 + dimensions))
    parts = x.reshape(2, apart, -1)
    scaled = (parts - parts.mean(2, keepdim=True)) / (parts.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(norm(name, 12, dimensions)(x), scaled.reshape(x.shape))


def test_a_convolution_begins_as_he_has_it():
    """Variance 2 over the weights that lead out of a place."""
    torch.manual_seed(0)
    assert float(convolution(16, 64, 3).weight.detach().std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
