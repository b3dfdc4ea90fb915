"""MobileNet, versions 1 to 3: convolutions of every channel by itself, then across channels at one place.

    v1        conv 32/2 - 13 x [depthwise 3x3 - 1x1]                     - mean over places - K
    v2        conv 32/2 - 17 inverted residuals        - 1x1 1280        - mean over places - K
    v3_large  conv 16/2 - 15 inverted, some excited    - 1x1 960         - mean over places - 1280 - K
    v3_small  conv 16/2 - 11 inverted, some excited    - 1x1 576         - mean over places - 1024 - K

Paper    Howard et al. 2017, arXiv:1704.04861, table 1; Sandler et al. 2018, arXiv:1801.04381, table 2;
         Howard et al. 2019, arXiv:1905.02244, tables 1 and 2.
Differs  ReLU6 in version 1, as in the authors' code; padding on both sides, not as TensorFlow's below and to the right;
         running statistics move by 0.1 a step (the authors: 0.0003 to 0.01), so that short trainings end in sound ones.
Counts   at K = 1000, 3 channels: v1 4,231,976; v2 3,504,872; v3_large 5,483,032; v3_small 2,542,856.
Letters  K classes
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import nn

from deepen.nn.inputs import picture_of
from deepen.nn.layers import Excite
from deepen.nn.layers import activation as activation_of
from deepen.nn.pictures import Inverted, Staged, divisible, for_photos, mean_of_places, unit
from deepen.schema import Activation, Positive, Share
from deepen.signature import Signature

EPS = 1e-3  # of every norm


class Block(NamedTuple):
    """One block; channels as in the paper. Version 1 does not widen."""

    outside: int
    stride: int = 1
    kernel: int = 3
    expanded: int = 0  # channels in the middle, or
    factor: int = 0  # so many times the channels that come in
    excited: bool = False
    activate: str = "relu6"


def _third(*rows: tuple[int, int, int, int, str]) -> list[Block]:
    """From rows of: expanded, outside, kernel, stride, and E for excited, H for hard swish."""
    return [Block(o, s, k, e, 0, "E" in more, "hard_swish" if "H" in more else "relu") for e, o, k, s, more in rows]


def _second(*rows: tuple[int, int, int, int]) -> list[Block]:
    """From rows of: factor, outside, repeats, stride of the first."""
    return [Block(o, 1 if place else s, factor=t) for t, o, n, s in rows for place in range(n)]


BLOCKS = {
    "v1": [Block(o, s) for o, s in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1)
    )],
    "v2": _second((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    "v3_large": _third(
        (16, 16, 3, 1, ""), (64, 24, 3, 2, ""), (72, 24, 3, 1, ""), (72, 40, 5, 2, "E"), (120, 40, 5, 1, "E"),
        (120, 40, 5, 1, "E"), (240, 80, 3, 2, "H"), (200, 80, 3, 1, "H"), (184, 80, 3, 1, "H"), (184, 80, 3, 1, "H"),
        (480, 112, 3, 1, "EH"), (672, 112, 3, 1, "EH"), (672, 160, 5, 2, "EH"), (960, 160, 5, 1, "EH"),
        (960, 160, 5, 1, "EH"),
    ),
    "v3_small": _third(
        (16, 16, 3, 2, "E"), (72, 24, 3, 2, ""), (88, 24, 3, 1, ""), (96, 40, 5, 2, "EH"), (240, 40, 5, 1, "EH"),
        (240, 40, 5, 1, "EH"), (120, 48, 5, 1, "EH"), (144, 48, 5, 1, "EH"), (288, 96, 5, 2, "EH"),
        (576, 96, 5, 1, "EH"), (576, 96, 5, 1, "EH"),
    ),
}  # fmt: skip


class MobileNet(Staged):
    """MobileNet v1, v2, v3_small or v3_large, for phones and small machines.

    version     v1, v2, v3_small or v3_large
    multiplier  of the paper's widths, to multiples of 8
    stem        imagenet: 32 times fewer places a side at the end; small: 8 times, the first two reductions are left out;
                auto: small up to 64 pixels a side
    activation  none: the paper's
    """

    takes = ("image",)
    aliases = {
        "mobilenet_v1": {"version": "v1"}, "mobilenet_v2": {"version": "v2"}, "mobilenet_v3": {"version": "v3_large"},
        "mobilenet_v3_small": {"version": "v3_small"}, "mobilenet_v3_large": {"version": "v3_large"},
    }  # fmt: skip
    tiny = {"multiplier": 0.1}

    def __init__(
        self,
        signature: Signature,
        version: Literal["v1", "v2", "v3_small", "v3_large"] = "v2",
        multiplier: Positive = 1.0,
        stem: Literal["imagenet", "small", "auto"] = "auto",
        activation: Activation | None = None,
        dropout: Share = 0.2,
    ) -> None:
        image = picture_of(signature, "mobilenet")
        skip = 0 if for_photos(stem, image) else 2  # reductions still to leave out
        third = version.startswith("v3")
        outer = activation or ("hard_swish" if third else "relu6")

        def wide(channels: int) -> int:
            return divisible(channels * multiplier)

        inside = wide(16 if third else 32)
        first = unit(image.channels, inside, 3, 1 if skip else 2, activate=outer, eps=EPS)
        skip -= skip > 0
        stages: list[nn.Sequential] = []
        for block in BLOCKS[version]:
            stride = block.stride
            if stride == 2 or not stages:
                stages.append(nn.Sequential())
            if stride == 2 and skip:
                stride, skip = 1, skip - 1
            stages[-1].append(_made(block, inside, wide, stride, activation))
            inside = wide(block.outside)
        top = nn.Sequential()
        if version != "v1":
            width = divisible(1280 * max(1.0, multiplier)) if version == "v2" else 6 * inside
            top.append(unit(inside, width, activate=outer, eps=EPS))
            inside = width
        top.append(mean_of_places())
        if third:
            width = wide(1280 if version == "v3_large" else 1024)
            top.extend([nn.Linear(inside, width), activation_of(outer)])
            inside = width
        top.append(nn.Dropout(dropout))
        super().__init__(first, stages, top, nn.Linear(inside, signature.answer.width))


def _made(block: Block, inside: int, wide: Callable[[int], int], stride: int, activation: str | None) -> nn.Module:
    """The layers of a block at the widths as configured."""
    outside, activate = wide(block.outside), activation or block.activate
    if not (block.factor or block.expanded):
        return nn.Sequential(
            unit(inside, inside, block.kernel, stride, groups=inside, activate=activate, eps=EPS),
            unit(inside, outside, activate=activate, eps=EPS),
        )
    expanded = inside * block.factor if block.factor else wide(block.expanded)
    excite = Excite(expanded, divisible(expanded // 4), "relu", "hard_sigmoid") if block.excited else None
    return Inverted(inside, expanded, outside, block.kernel, stride, activate=activate, eps=EPS, excite=excite)
