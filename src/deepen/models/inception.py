"""Inception v3: several convolutions side by side, large ones taken apart, and a second classifier while it learns.

    conv 32@3x3/2 - 32@3x3 - 64@3x3 - pool - 80@1x1 - 192@3x3 - pool - 3 x A - B - 4 x C - D - 2 x E - mean - K
    A       1x1 | 1x1 5x5 | 1x1 3x3 3x3 | pool 1x1
    B, D    halve: convolutions with stride 2 | pool/2
    C       1x1 | 1x1 1x7 7x1 | 1x1 7x1 1x7 7x1 1x7 | pool 1x1
    E       1x1 | 1x1 (1x3 | 3x1) | 1x1 3x3 (1x3 | 3x1) | pool 1x1
    second  maps after the last C - average pool 5x5/3 - 128@1x1 - 768@5x5 - mean - K

Paper    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2016, arXiv:1512.00567, table 1, figures 5 to 8 and 10; widths and the
         second classifier as in the authors' code.
Differs  maps smaller than 17 x 17 are averaged to 5 x 5 before the second classifier, so that it stands for pictures
         below 299 pixels too; average pooling counts the padding; He's start.
Counts   at K = 1000, 3 channels: 27,161,264 with the second classifier, 23,834,568 without.
Letters  B items, K classes
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from deepen.nn.inputs import picture_of
from deepen.nn.pictures import Staged, mean_of_places, scaled, unit
from deepen.schema import Activation, Positive, Share
from deepen.signature import Signature

EPS = 1e-3  # of every norm


class Window(NamedTuple):
    """What a convolution sees and how it moves."""

    kernel: tuple[int, int]
    stride: int = 1
    padding: int | None = None  # none: half the kernel


# A branch is steps one after another: (channels, window), (channels, window, window) side by side, or a pooling.
# A block is branches side by side, a stage is blocks one after another.
Branch = tuple[Any, ...]
Block = tuple[Branch, ...]
ONE, THREE, FIVE = Window((1, 1)), Window((3, 3)), Window((5, 5))
LOW, HIGH, FLAT, TALL = Window((1, 7)), Window((7, 1)), Window((1, 3)), Window((3, 1))
BARE, BARE_FIVE, HALVE = Window((3, 3), padding=0), Window((5, 5), padding=0), Window((3, 3), 2, 0)


def _a(pool: int) -> Block:
    return ((64, ONE),), ((48, ONE), (64, FIVE)), ((64, ONE), (96, THREE), (96, THREE)), ("average", (pool, ONE))


def _c(n: int) -> Block:
    long = ((n, ONE), (n, HIGH), (n, LOW), (n, HIGH), (192, LOW))
    return ((192, ONE),), ((n, ONE), (n, LOW), (192, HIGH)), long, ("average", (192, ONE))


B: Block = ((384, HALVE),), ((64, ONE), (96, THREE), (96, HALVE)), ("max",)
D: Block = ((192, ONE), (320, HALVE)), ((192, ONE), (192, LOW), (192, HIGH), (192, HALVE)), ("max",)
E: Block = (
    ((320, ONE),),
    ((384, ONE), (384, FLAT, TALL)),
    ((448, ONE), (384, THREE), (384, FLAT, TALL)),
    ("average", (192, ONE)),
)
STEM: Branch = ((32, HALVE), (32, BARE), (64, THREE))
STAGES: tuple[tuple[Block, ...], ...] = (
    ((("max", (80, ONE), (192, BARE)),),),
    ((("max",),), _a(32), _a(64), _a(64)),
    (B, _c(128), _c(160), _c(160), _c(192)),
    (D, E, E),
)


class Inception(Staged):
    """Inception v3; pictures from 75 pixels a side (the paper: 299).

    auxiliary   a second classifier on the way, there only while the network learns
    multiplier  of the paper's widths
    """

    takes = ("image",)
    aliases: dict[str, dict[str, int]] = {"inception_v3": {}}
    tiny = {"multiplier": 0.05}
    least = 75  # pixels a side: of less, nothing is left after the last reduction

    def __init__(
        self,
        signature: Signature,
        auxiliary: bool = True,
        multiplier: Positive = 1.0,
        activation: Activation = "relu",
        dropout: Share = 0.5,
    ) -> None:
        image, classes = picture_of(signature, "inception", self.least), signature.answer.width
        stem = Chain(image.channels, STEM, multiplier, activation)
        inside, stages, ends = stem.outside, [], []
        for blocks in STAGES:
            stage = nn.Sequential()
            for block in blocks:
                mixed = Mixed([Chain(inside, branch, multiplier, activation) for branch in block])
                stage.append(mixed)
                inside = mixed.outside
            stages.append(stage)
            ends.append(inside)
        super().__init__(stem, stages, nn.Sequential(mean_of_places(), nn.Dropout(dropout)), nn.Linear(inside, classes))
        self.auxiliary: nn.Module | None = None
        if auxiliary:
            small = min(map(_before_last, (image.height, image.width))) < 17
            second = Chain(ends[-2], ((128, ONE), (768, BARE_FIVE)), multiplier, activation)
            self.auxiliary = nn.Sequential(
                nn.AdaptiveAvgPool2d(5) if small else nn.AvgPool2d(5, 3),
                second,
                mean_of_places(),
                nn.Linear(second.outside, classes),
            )

    def answers(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) to (B, K), and another from the second classifier where there is one."""
        maps = self.maps(image)
        answer = self.last(self.top(maps[-1]))
        return (answer,) if self.auxiliary is None else (answer, self.auxiliary(maps[-2]))


class Mixed(nn.Module):
    """Parts side by side; their maps are stacked."""

    def __init__(self, parts: list[Chain]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.outside = sum(part.outside for part in parts)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([part(maps) for part in self.parts], 1)


class Chain(nn.Sequential):
    """The steps of a branch; `outside` channels come out."""

    def __init__(self, inside: int, steps: Branch, multiplier: float, activate: str) -> None:
        super().__init__()
        self.outside = inside
        for step in steps:
            if isinstance(step, str):
                self.append(nn.MaxPool2d(3, 2) if step == "max" else nn.AvgPool2d(3, 1, 1))
                continue
            channels, window, *beside = step
            if beside:
                mixed = Mixed([Chain(self.outside, ((channels, w),), multiplier, activate) for w in (window, *beside)])
                self.append(mixed)
                self.outside = mixed.outside
                continue
            width = scaled(channels, multiplier)
            self.append(unit(self.outside, width, *window[:2], padding=window.padding, activate=activate, eps=EPS))
            self.outside = width


def _before_last(side: int) -> int:
    """Places a side before the last reduction, from pixels a side."""
    for window, stride in ((3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 2)):
        side = (side - window) // stride + 1
    return side
