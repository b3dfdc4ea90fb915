"""What stands on either side of a code: from an item to features, and from a code back to an item.

    dense          h = act(W h + b) for each width              back: the widths in reverse, then linear
    convolutional  h = act(conv(h)), stride 2, for each stage   back: dense, then act(conv(up(h))), then conv

Letters  B items, C channels, d code
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.errors import DeepenError
from deepen.nn.layers import activation
from deepen.preprocess.image import Image
from deepen.signature import Signature

WIDEST = 6.0  # of a log deviation
LOG_2PI = math.log(2 * math.pi)
LEAST = 8  # pixels a side from which convolutions pay


@runtime_checkable
class Retelling(Protocol):
    """A network that tells items again."""

    def again(self, item: Tensor) -> Tensor:
        """The item, on the scale of training, as it is told from its code."""


@runtime_checkable
class Bounded(Protocol):
    """A network whose codes are drawn from a density, so that an item's own density has a bound; models/vae.py."""

    def drawn(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A code drawn for each item (n, d); log p(x | z) and KL(q || p) of the items, whose means are what counts."""

    def bound(self, *inputs: Tensor, count: int) -> Tensor:
        """Of each item's log density in nats, (B,), from so many draws."""


@runtime_checkable
class Known(Protocol):
    """A network that knows the density of items."""

    def log_density(self, item: Tensor) -> Tensor:
        """log p on the scale of training, in nats, (B,)."""


class Dense(nn.Module):
    """An item of any shape, flattened, through widths; `width` features come out."""

    def __init__(self, shape: tuple[int, ...], hidden: tuple[int, ...], activate: str) -> None:
        super().__init__()
        widths = (math.prod(shape), *hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activate = activation(activate)
        self.width = widths[-1]

    def dense(self) -> Iterator[nn.Linear]:
        """The layers in their order."""
        return (layer for layer in self.layers if isinstance(layer, nn.Linear))

    def forward(self, item: Tensor) -> Tensor:
        h = item.flatten(1)
        for layer in self.layers:
            h = self.activate(layer(h))
        return h


class DenseBack(nn.Module):
    """(B, d) through widths to an item."""

    def __init__(self, width: int, hidden: tuple[int, ...], shape: tuple[int, ...], activate: str) -> None:
        super().__init__()
        self.shape = shape
        widths = (width, *reversed(hidden), math.prod(shape))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activate = activation(activate)

    def forward(self, code: Tensor) -> Tensor:
        *inner, last = self.layers
        for layer in inner:
            code = self.activate(layer(code))
        return last(code).unflatten(1, self.shape)


class TiedBack(nn.Module):
    """The layers of a way there backwards, with their weights turned round and biases of their own."""

    def __init__(self, layers: list[nn.Linear], shape: tuple[int, ...], activate: str) -> None:
        super().__init__()
        self.shape = shape
        self.there = (*reversed(layers),)  # in a tuple: they are registered where they belong
        self.biases = nn.ParameterList(nn.Parameter(layer.weight.new_zeros(layer.in_features)) for layer in self.there)
        self.activate = activation(activate)

    def forward(self, code: Tensor) -> Tensor:
        for i, (layer, bias) in enumerate(zip(self.there, self.biases)):
            code = F.linear(self.activate(code) if i else code, layer.weight.T, bias)
        return code.unflatten(1, self.shape)


class Convolutional(nn.Module):
    """A picture (B, C, H, W) through stages of half the size each; `width` features come out."""

    def __init__(self, shape: tuple[int, ...], channels: tuple[int, ...], activate: str) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise((shape[0], *channels)))
        self.activate = activation(activate)
        self.sizes = sizes(shape, len(channels))
        self.width = channels[-1] * math.prod(self.sizes[-1])
        start(self.stages)

    def forward(self, item: Tensor) -> Tensor:
        for stage in self.stages:
            item = self.activate(stage(item))
        return item.flatten(1)


class ConvolutionalBack(nn.Module):
    """(B, d) to a picture (B, C, H, W): enlarged by nearest neighbours, which leaves no chequers, then convolved."""

    def __init__(self, width: int, channels: tuple[int, ...], shape: tuple[int, ...], activate: str) -> None:
        super().__init__()
        self.sizes = sizes(shape, len(channels))
        self.inner = (channels[-1], *self.sizes[-1])
        self.dense = nn.Linear(width, math.prod(self.inner))
        widths = (*reversed(channels), channels[0])
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 3, 1, 1) for a, b in pairwise(widths))
        self.last = nn.Conv2d(channels[0], shape[0], 3, 1, 1)
        self.activate = activation(activate)
        start(self.stages)

    def forward(self, code: Tensor) -> Tensor:
        maps = self.activate(self.dense(code).unflatten(1, self.inner))
        for stage, size in zip(self.stages, reversed(self.sizes[:-1])):
            maps = self.activate(stage(F.interpolate(maps, size)))
        return self.last(maps)


class Standard(nn.Module):
    """log N(z; 0, I), (B,)."""

    def forward(self, code: Tensor) -> Tensor:
        return -0.5 * (code.square() + LOG_2PI).sum(1)

    def sample(self, count: int, like: Tensor) -> Tensor:
        return torch.randn(count, like.shape[1], device=like.device)


def from_standard(mean: Tensor, spread: Tensor) -> Tensor:
    """KL(N(m, diag s^2) || N(0, I)) in nats over the last axis; `spread`: log s."""
    return 0.5 * (mean.square() + (2 * spread).exp() - 1 - 2 * spread).sum(-1)


def check_stages(channels: tuple[int, ...]) -> None:
    """Convolutions need a stage to stand in."""
    if not channels:
        raise DeepenError(
            "model.channels", "model.channels", "[]", "the channels of at least one stage", "model.channels=[32, 64]"
        )


def sizes(shape: tuple[int, ...], stages: int) -> list[tuple[int, int]]:
    """Height and width before the first stage and after each."""
    found = [(shape[1], shape[2])]
    for _ in range(stages):
        found.append(tuple(-(-size // 2) for size in found[-1]))  # type: ignore[arg-type]
    return found


def start(layers: Any) -> None:
    """He's start: an activation follows each."""
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def shape_of(signature: Signature, model: str) -> tuple[int, ...]:
    """The one item's shape as the network gets it: (C, H, W) of a picture, else the array's own."""
    (encoder,) = signature.inputs.values()
    if isinstance(encoder, Image):
        return encoder.channels, encoder.height, encoder.width
    first = encoder.tensors[0]
    if len(encoder.tensors) > 1 or first.dtype != "float32":
        raise DeepenError(
            "model.input", f"model {model}", encoder.describe(), "pictures, arrays, or rows of numbers alone",
            "leave columns of categories out: data.drop=[...]",
        )  # fmt: skip
    return tuple(int(size) for size in first.shape[1:])


def form_of(form: str, shape: tuple[int, ...]) -> str:
    """`auto` by the item: convolutions where it is a picture that is large enough."""
    picture = len(shape) == 3
    if form == "convolutional" and not picture:
        raise DeepenError("model.form", "model.form", f"got {form} for items of shape {shape}", "dense", "form=auto")
    return form if form != "auto" else "convolutional" if picture and min(shape[1:]) >= LEAST else "dense"
