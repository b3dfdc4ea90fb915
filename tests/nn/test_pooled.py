"""Convolution and maximum in one product: torch's own layers are the oracle."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn import pooled
from deepen.nn.pooled import FEW, Pooled

SHAPES = [
    (1, 6, 5, 2, 12, 12),
    (3, 4, 3, 1, 9, 14),
    (2, 3, 2, 0, 7, 8),
]  # C, O, k, padding, H, W: also what is left over


def stack(channels: int, out: int, kernel: int, padding: int) -> Pooled:
    return Pooled(
        nn.Conv2d(channels, out, kernel, padding=padding), nn.MaxPool2d(2), nn.Tanh(),
        nn.Conv2d(out, 5, 2), nn.MaxPool2d(2), nn.ReLU(),
    )  # fmt: skip


def plainly(layers: Pooled, images: Tensor) -> Tensor:
    return nn.Sequential.forward(layers, images)


@pytest.fixture(autouse=True)
def _together_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled, "FEW", 3)


def gradients(answer: Tensor, of: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    return list(torch.autograd.grad((answer * torch.randn(answer.shape)).sum(), of))


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_and_gradients_are_those_of_the_layers(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layers = stack(*shape[:4])
    images = torch.randn(4, shape[0], *shape[4:])
    images[:, :, :5] = 0.25  # a background: all four places are the largest
    images.requires_grad_()
    together, plain = layers(images), plainly(layers, images)
    torch.testing.assert_close(together, plain)
    of = [images, *layers.parameters()]
    for ours, theirs in zip(gradients(together, of), gradients(plain, of), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_gradient_of_the_gradient() -> None:
    layers = stack(1, 2, 3, 1)
    images = torch.randn(3, 1, 12, 12, requires_grad=True)

    def penalty(answer: Tensor) -> list[Tensor]:
        (slope,) = torch.autograd.grad(answer.square().sum(), images, create_graph=True)
        return list(torch.autograd.grad(slope.square().sum(), [layers[0].weight, layers[3].weight, images]))

    for ours, theirs in zip(penalty(layers(images)), penalty(plainly(layers, images)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("why", ["few", "evaluated", "no gradient", "half", "heard", "another layer", "nothing"])
def test_the_layers_themselves_wherever_something_depends_on_them(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers, images, called = stack(1, 2, 3, 1), torch.randn(FEW, 1, 12, 12), []
    run = pooled._Window.apply
    monkeypatch.setattr(pooled._Window, "apply", lambda *given: called.append(1) or run(*given))
    if why == "few":
        images = images[:2]
    elif why == "evaluated":
        layers.eval()
    elif why == "heard":
        layers[3].register_forward_hook(lambda *_: None)
    elif why == "another layer":
        layers[0] = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    with torch.set_grad_enabled(why != "no gradient"), torch.autocast("cpu", torch.bfloat16, enabled=why == "half"):
        layers(images)
    assert len(called) == (2 if why == "nothing" else 0)


def test_where_several_are_largest_the_first_has_the_gradient() -> None:
    layers = Pooled(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.Identity())
    with torch.no_grad():
        layers[0].weight.fill_(1.0), layers[0].bias.zero_()
    images = torch.tensor([[1.0, 2, 3, 3], [2, 2, 3, 3]]).expand(3, 1, 2, 4).clone().requires_grad_()
    layers(images).sum().backward()
    assert images.grad[0, 0].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert F.max_pool2d(images, 2).flatten().tolist() == [2, 3] * 3
