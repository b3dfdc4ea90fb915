"""Xception: a residual network of separable convolutions.

    S(C)      depthwise 3x3 - 1x1 to C channels - norm               nothing between the two convolutions
    block     x' + S(act(S(act(x)))) [- max pool/2]                  x' : x, or its 1x1 convolution with norm
    photos    conv 32@3x3/2 - 64@3x3 - blocks of 128, 256, 728, each halving - 8 blocks of three S(728) -
              block 728, 1024, halving - S(1536) - act - S(2048) - act - mean over places - K

Paper    Chollet 2017, arXiv:1610.02357, figure 5.
Differs  pooling is padded on both sides, not as TensorFlow's below and to the right; small pictures: the first two
         convolutions keep the size and the first block does not halve.
Counts   22,855,952 at K = 1000, 3 channels.
Letters  C channels, K classes
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from deepen.nn.inputs import picture_of
from deepen.nn.layers import activation as activation_of
from deepen.nn.pictures import Staged, for_photos, mean_of_places, scaled, unit
from deepen.schema import Activation, Natural, Positive, Share
from deepen.signature import Signature

EPS = 1e-3  # of every norm


class Xception(Staged):
    """Xception: depthwise separable convolutions with residual connections; pictures from 7 pixels a side.

    middle      blocks in the middle
    stem        imagenet: 32 times fewer places a side at the end; small: 8 times; auto: small up to 64 pixels a side
    multiplier  of the paper's widths
    """

    takes = ("image",)
    tiny = {"multiplier": 0.01, "middle": 1}
    least = 7  # pixels a side that the first two convolutions take

    def __init__(
        self,
        signature: Signature,
        middle: Natural = 8,
        stem: Literal["imagenet", "small", "auto"] = "auto",
        multiplier: Positive = 1.0,
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        image = picture_of(signature, "xception", self.least)
        photos = for_photos(stem, image)
        a, b, c, d, e, f, g, h = (scaled(n, multiplier) for n in (32, 64, 128, 256, 728, 1024, 1536, 2048))
        stride, padding = (2, 0) if photos else (1, 1)
        first = nn.Sequential(
            unit(image.channels, a, 3, stride, padding=padding, activate=activation, eps=EPS),
            unit(a, b, 3, padding=padding, activate=activation, eps=EPS),
        )
        stages = [
            Block(b, (c, c), 2 if photos else 1, activation, eager=False),
            Block(c, (d, d), 2, activation),
            nn.Sequential(
                Block(d, (e, e), 2, activation), *(Block(e, (e, e, e), 1, activation) for _ in range(middle))
            ),
            nn.Sequential(
                Block(e, (e, f), 2, activation),
                *separable(f, g),
                activation_of(activation),
                *separable(g, h),
                activation_of(activation),
            ),
        ]
        top = nn.Sequential(mean_of_places(), nn.Dropout(dropout))
        super().__init__(first, stages, top, nn.Linear(h, signature.answer.width))


class Block(nn.Module):
    """Separable convolutions, each after an activation (`eager` False: not the first), and a way around them."""

    def __init__(self, inside: int, widths: tuple[int, ...], stride: int, activate: str, eager: bool = True) -> None:
        super().__init__()
        self.body, width = nn.Sequential(), inside
        for place, outside in enumerate(widths):
            if place or eager:
                self.body.append(activation_of(activate))
            self.body.extend(separable(width, outside))
            width = outside
        if stride > 1:
            self.body.append(nn.MaxPool2d(3, stride, 1))
        same = (stride, inside) == (1, width)
        self.shortcut = nn.Identity() if same else unit(inside, width, 1, stride, activate=None, eps=EPS)

    def forward(self, maps: Tensor) -> Tensor:
        return self.body(maps) + self.shortcut(maps)


def separable(inside: int, outside: int) -> list[nn.Module]:
    """Depthwise 3x3, then across channels, then the norm."""
    depthwise = nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False)
    nn.init.xavier_uniform_(depthwise.weight)
    return [depthwise, unit(inside, outside, activate=None, eps=EPS)]
