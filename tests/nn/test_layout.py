"""Channels last: the same results, everywhere but where torch would write beyond its memory."""

import pytest
import torch
from torch import nn

from deepen.nn import layout
from deepen.nn.layers import Residual, Thinned, convolution


def is_last(net: nn.Module) -> bool:
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    return all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in layers)


def test_same_answers_and_gradients() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Residual(3, 8, 2), Residual(8, 24, 2), nn.Flatten(), nn.Linear(24 * 4 * 4, 2))
    images = torch.randn(4, 3, 16, 16)
    planes = torch.autograd.grad(net(images).square().sum(), list(net.parameters()))
    assert is_last(layout.fast(net))
    for a, b in zip(planes, torch.autograd.grad(net(images).square().sum(), list(net.parameters()))):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("inside", "kernel", "stride", "left"), [(3, 1, 2, True), (16, 1, 2, False), (3, 3, 2, False), (3, 1, 1, False)]
)
def test_a_network_that_would_crash_is_left_as_it_is(inside: int, kernel: int, stride: int, left: bool) -> None:
    net = nn.Sequential(nn.Conv2d(inside, 8, 3), nn.Conv2d(inside, 4, kernel, stride))
    before = [p.stride() for p in net.parameters()]
    assert ([p.stride() for p in layout.fast(net).parameters()] == before) is left


def test_planes_do_not_follow_one_channel() -> None:
    layer = layout.fast(nn.Conv2d(1, 8, 3))
    assert layer(torch.randn(2, 1, 9, 9)).stride(1) == 1


@pytest.mark.parametrize(("size", "stride"), [(8, 2), (9, 2), (10, 3)])
def test_own_narrow_shortcuts_choose_places_first(size: int, stride: int) -> None:
    layer = convolution(3, 5, 1, stride)
    assert isinstance(layer, Thinned)
    images = torch.randn(2, 3, size, size)
    torch.testing.assert_close(layer(images), nn.functional.conv2d(images, layer.weight, stride=stride))
    assert layout.fast(layer) is layer
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
