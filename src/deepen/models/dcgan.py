"""A generator and its critic: convolutions without pooling for pictures, dense layers for arrays.

    generator   draws -> dense -> [norm, relu, transposed convolution of stride 2] ... -> levels by tanh
    critic      item -> [convolution of stride 2, norm, leaky relu 0.2] ... -> one number
    of arrays   dense layers, with relu in the generator and leaky relu in the critic

Paper    Radford, Metz, Chintala 2016, arXiv:1511.06434, section 3.
Differs  sizes that are no power of two: what a transposed convolution makes too large is cut off. With `spectral` the
         critic has normalised weights in place of norms (Miyato et al. 2018, arXiv:1802.05957).
Letters  B items, C channels
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from deepen.nn.adversarial import Adversaries, Levels, held
from deepen.nn.coding import check_stages, sizes
from deepen.schema import Count
from deepen.signature import Signature

SLOPE = 0.2


class DCGAN(Adversaries):
    """Items made from draws, with a critic that tells them from true ones; with labels the critic's view is classified.

    channels  of the convolutional stages, that next to the picture first
    hidden    widths of the dense layers, for arrays
    spectral  the critic's weights are divided by their largest singular value, and it has no norms
    """

    takes = ("image", "array", "row", "draw")
    kinds = ("sample",)
    alone = "gan"
    tiny = {"channels": [4, 8], "hidden": [16]}

    def __init__(
        self,
        signature: Signature,
        channels: tuple[Count, ...] = (64, 128),
        hidden: tuple[Count, ...] = (128, 128, 128),
        spectral: bool = False,
    ) -> None:
        super().__init__(signature, "dcgan")
        kind = signature.answer
        draws = kind.draws if self.makes else 1
        body: Any
        generator: nn.Sequential
        if len(self.shape) == 3:
            check_stages(channels)
            body, generator = Looks(self.shape, channels, spectral), Paints(draws, self.shape, channels)
            if self.makes:
                generator.append(Levels(kind))
        else:
            body, generator = DenseLooks(self.shape, hidden, spectral), DenseMakes(draws, self.shape, hidden)
        self.finish(body, body.width, generator, kind.width, spectral)


class Looks(nn.Sequential):
    """(B, C, H, W) to (B, width)."""

    def __init__(self, shape: tuple[int, ...], channels: tuple[int, ...], spectral: bool) -> None:
        super().__init__()
        for i, (inside, outside) in enumerate(pairwise((shape[0], *channels))):
            normed = i > 0 and not spectral
            layer = nn.Conv2d(inside, outside, 4, 2, 1, bias=not normed)
            nn.init.normal_(layer.weight, std=0.02)
            self.append(held(layer, spectral))
            if normed:
                self.append(nn.BatchNorm2d(outside))
            self.append(nn.LeakyReLU(SLOPE))
        self.append(nn.Flatten())
        height, width = shape[1:]
        for _ in channels:
            height, width = height // 2, width // 2
        self.width = channels[-1] * height * width


class Paints(nn.Sequential):
    """Draws (B, d) to maps (B, C, H, W)."""

    def __init__(self, draws: int, shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        found = sizes(shape, len(channels))
        inner = (channels[-1], *found[-1])
        self.extend([nn.Linear(draws, math.prod(inner), bias=False), nn.Unflatten(1, inner)])
        widths = (*reversed(channels), shape[0])
        for (inside, outside), size in zip(pairwise(widths), reversed(found[:-1])):
            self.extend([nn.BatchNorm2d(inside), nn.ReLU(), Up(inside, outside, size)])


class Up(nn.Module):
    """Twice the size by a transposed convolution, cut to the size that is wanted."""

    def __init__(self, inside: int, outside: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.layer = nn.ConvTranspose2d(inside, outside, 4, 2, 1)
        nn.init.normal_(self.layer.weight, std=0.02)
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        height, width = self.size
        return self.layer(maps)[:, :, :height, :width]


class DenseLooks(nn.Sequential):
    """Items of any shape to (B, width)."""

    def __init__(self, shape: tuple[int, ...], hidden: tuple[int, ...], spectral: bool) -> None:
        super().__init__(nn.Flatten())
        for inside, outside in pairwise((math.prod(shape), *hidden)):
            self.extend([held(nn.Linear(inside, outside), spectral), nn.LeakyReLU(SLOPE)])
        self.width = hidden[-1] if hidden else math.prod(shape)


class DenseMakes(nn.Sequential):
    """Draws (B, d) to items."""

    def __init__(self, draws: int, shape: tuple[int, ...], hidden: tuple[int, ...]) -> None:
        super().__init__()
        widths = (draws, *hidden)
        for inside, outside in pairwise(widths):
            self.extend([nn.Linear(inside, outside), nn.ReLU()])
        self.extend([nn.Linear(widths[-1], math.prod(shape)), nn.Unflatten(1, shape)])
