"""What networks for pictures share: units and inverted residuals by hand, widths that are rounded, He's start."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.nn.pictures import Inverted, divisible, for_photos, scaled, start_he, unit
from deepen.preprocess.image import Image


def norm(x: torch.Tensor, layer: nn.BatchNorm2d) -> torch.Tensor:
    shape = (1, -1, 1, 1)
    mean, var, weight, bias = (
        t.reshape(shape) for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (var + layer.eps).sqrt() * weight + bias


def shake(net: nn.Module) -> nn.Module:
    """Norms away from where they start."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.running_var, layer.weight.data, layer.bias.data):
                tensor.uniform_(0.5, 1.5)
    return net.eval()


def test_unit_is_convolution_norm_activation():
    torch.manual_seed(0)
    net, x = shake(unit(4, 6, (1, 5), 2, groups=2, activate="tanh", eps=1e-2)), torch.randn(2, 4, 9, 9)
    convolved = F.conv2d(x, net[0].weight, stride=2, padding=(0, 2), groups=2)
    torch.testing.assert_close(net(x), norm(convolved, net[1]).tanh())
    assert net[1].eps == 1e-2
    assert unit(4, 6, 3, padding=0)(x).shape == (2, 6, 7, 7)
    assert len(unit(4, 6, activate=None)) == 2


@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (3, 1), (5, 64)])
def test_unit_starts_at_he_for_what_goes_out(kernel, groups):
    torch.manual_seed(0)
    weight = unit(64, 128, kernel, groups=groups)[0].weight
    assert float(weight.detach().std()) == pytest.approx((2 / (kernel**2 * 128)) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("stride", "outside", "around"), [(1, 4, True), (2, 4, False), (1, 6, False)])
def test_inverted_residual_by_hand(stride, outside, around):
    """Widened, every channel by itself, excited, narrowed without an activation, added where the shape stays."""
    torch.manual_seed(0)
    excite = nn.Sequential(nn.Conv2d(12, 12, 1), nn.Sigmoid())
    net = shake(Inverted(4, 12, outside, 3, stride, activate="relu6", excite=excite))
    x = torch.randn(2, 4, 6, 6)
    widen, depthwise, _, narrow = net.body
    y = norm(F.conv2d(x, widen[0].weight), widen[1]).clamp(0, 6)
    y = norm(F.conv2d(y, depthwise[0].weight, stride=stride, padding=1, groups=12), depthwise[1]).clamp(0, 6)
    y = norm(F.conv2d(excite(y), narrow[0].weight), narrow[1])
    torch.testing.assert_close(net(x), x + y if around else y)
    assert depthwise[0].weight.shape == (12, 1, 3, 3)


def test_inverted_residual_that_does_not_widen_has_no_first_convolution():
    assert len(Inverted(4, 4, 4).body) == 2
    assert len(Inverted(4, 8, 4).body) == 3


def test_inverted_residual_is_left_out_for_some_items_while_learning():
    torch.manual_seed(0)
    net, x = Inverted(4, 8, 4, drop=0.5), torch.randn(64, 4, 3, 3)
    same = (net.train()(x) == x).flatten(1).all(1)
    assert 16 < int(same.sum()) < 48
    assert not (net.eval()(x) == x).flatten(1).all(1).any()


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(32, 32), (3, 8), (35.2, 32), (36, 40), (18, 24), (20, 24), (12, 16), (19.2, 24), (11, 16)],
)
def test_scaled_widths_are_multiples_of_eight_and_not_a_tenth_below(channels, expected):
    assert divisible(channels) == expected


def test_scaled_widths_are_never_zero():
    assert [scaled(64, m) for m in (1.0, 0.5, 0.05, 0.001)] == [64, 32, 3, 1]


def test_a_network_takes_its_form_by_the_longer_side():
    assert [for_photos("auto", Image(h, w, 3)) for h, w in ((64, 64), (32, 96), (96, 32))] == [False, True, True]
    assert for_photos("imagenet", Image(8, 8, 3))
    assert not for_photos("small", Image(96, 96, 3))


def test_he_keeps_the_size_of_what_passes_many_layers():
    torch.manual_seed(0)
    net = nn.Sequential(*(part for _ in range(20) for part in (nn.Linear(256, 256), nn.ReLU())))
    start_he([net])
    out = net(torch.randn(64, 256))
    assert 0.3 < float(out.detach().square().mean()) < 3
    assert not any(layer.bias.any() for layer in net if isinstance(layer, nn.Linear))
