"""A generator and its critic of residual blocks with self-attention; all weights spectrally normalised.

    generator   draws -> dense -> [up block] ... with attention at half the picture's size -> norm, relu, convolution, levels
    critic      picture -> [down block] ... with attention at half the picture's size -> relu, sum over places -> one number

Paper    Zhang, Goodfellow, Metaxas, Odena 2019, "Self-attention generative adversarial networks", arXiv:1805.08318.
Differs  no classes are given to either; gamma begins as 0, so that at the start it is the same network without attention.
Letters  B items, C channels
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.nn.adversarial import Adversaries, Levels, ResidualDown, ResidualUp, SelfAttention, Spectral
from deepen.nn.coding import check_stages, sizes
from deepen.schema import Count
from deepen.signature import Signature


class SAGAN(Adversaries):
    """Pictures made from draws, with attention between distant places; with labels the critic's view is classified.

    channels   of the stages, that next to the picture first
    attention  false: the same network without attention, a residual spectrally normalised GAN
    """

    takes = ("image", "draw")
    kinds = ("sample",)
    alone = "gan"
    tiny = {"channels": [16, 32]}

    def __init__(self, signature: Signature, channels: tuple[Count, ...] = (64, 128), attention: bool = True) -> None:
        super().__init__(signature, "sagan")
        kind = signature.answer
        if len(self.shape) != 3:
            raise DeepenError("model.input", "model sagan", kind.describe(), "pictures", "model=dcgan")
        check_stages(channels)
        body = Looks(self.shape[0], channels, attention)
        generator = Paints(kind.draws if self.makes else 1, self.shape, channels, attention)
        if self.makes:
            generator.append(Levels(kind))
        self.finish(body, channels[-1], generator, kind.width, spectral=True)


class Looks(nn.Module):
    """(B, C, H, W) to (B, channels[-1])."""

    def __init__(self, inside: int, channels: tuple[int, ...], attention: bool) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        for i, (before, after) in enumerate(pairwise((inside, *channels))):
            self.stages.append(ResidualDown(before, after, first=i == 0))
            if attention and i == 0:
                self.stages.append(SelfAttention(after))

    def forward(self, item: Tensor) -> Tensor:
        return self.stages(item).relu().flatten(2).sum(2)


class Paints(nn.Sequential):
    """Draws (B, d) to maps (B, C, H, W)."""

    def __init__(self, draws: int, shape: tuple[int, ...], channels: tuple[int, ...], attention: bool) -> None:
        super().__init__()
        found = sizes(shape, len(channels))
        inner = (channels[-1], *found[-1])
        self.extend([Spectral(nn.Linear(draws, math.prod(inner))), nn.Unflatten(1, inner)])
        widths = (*reversed(channels), channels[0])
        for i, ((before, after), size) in enumerate(zip(pairwise(widths), reversed(found[:-1]))):
            if attention and i == len(channels) - 1:
                self.append(SelfAttention(before))
            self.append(ResidualUp(before, after, size))
        last = Spectral(nn.Conv2d(channels[0], shape[0], 3, padding=1))
        self.extend([nn.BatchNorm2d(channels[0]), nn.ReLU(), last])
