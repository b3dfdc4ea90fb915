"""EfficientNet b0 to b7: one small network, made deeper and wider together.

    conv 32@3x3/2 - 7 stages of inverted residuals, all excited - 1x1 1280 - mean over places - K
    widths x w to multiples of 8, repeats x d rounded up:      b0 w 1.0, d 1.0, 224 pixels; b1 1.0, 1.1, 240;
    b2 1.1, 1.2, 260; b3 1.2, 1.4, 300; b4 1.4, 1.8, 380; b5 1.6, 2.2, 456; b6 1.8, 2.6, 528; b7 2.0, 3.1, 600

Paper    Tan and Le 2019, arXiv:1905.11946, table 1 and section 3.3; stochastic depth: Huang et al. 2016.
Differs  padding on both sides, not as TensorFlow's below and to the right; running statistics move by 0.1 a step
         (the authors: 0.01), so that short trainings end in sound ones. The picture's size is the data's own.
Counts   at K = 1000, 3 channels: b0 5,288,548; b1 7,794,184; b2 9,109,994; b3 12,233,232; b4 19,341,616; b5 30,389,784;
         b6 43,040,704; b7 66,347,960.
Letters  K classes
"""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from deepen.nn.inputs import picture_of
from deepen.nn.layers import Excite
from deepen.nn.pictures import Inverted, Staged, divisible, for_photos, mean_of_places, unit
from deepen.schema import Activation, Positive, Share
from deepen.signature import Signature

SCALES = {  # width, depth, dropout
    "b0": (1.0, 1.0, 0.2), "b1": (1.0, 1.1, 0.2), "b2": (1.1, 1.2, 0.3), "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4), "b5": (1.6, 2.2, 0.4), "b6": (1.8, 2.6, 0.5), "b7": (2.0, 3.1, 0.5),
}  # fmt: skip
STAGES = (  # channels expanded so many times, channels out, repeats, stride, kernel
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
EPS = 1e-3  # of every norm


class EfficientNet(Staged):
    """EfficientNet b0 to b7; the larger ones want larger pictures.

    version           widths, depths and dropout together
    width, depth      none: the version's multipliers
    stem              imagenet: 32 times fewer places a side at the end; small: 8 times, the first two reductions are
                      left out; auto: small up to 64 pixels a side
    dropout           none: the version's
    stochastic_depth  probability that the last block is left out for an item; it rises evenly from 0 at the first
    """

    takes = ("image",)
    aliases = {
        "efficientnet_b0": {"version": "b0"}, "efficientnet_b1": {"version": "b1"}, "efficientnet_b2": {"version": "b2"},
        "efficientnet_b3": {"version": "b3"}, "efficientnet_b4": {"version": "b4"}, "efficientnet_b5": {"version": "b5"},
        "efficientnet_b6": {"version": "b6"}, "efficientnet_b7": {"version": "b7"},
    }  # fmt: skip
    tiny = {"width": 0.1, "depth": 0.1}

    def __init__(
        self,
        signature: Signature,
        version: Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"] = "b0",
        width: Positive | None = None,
        depth: Positive | None = None,
        stem: Literal["imagenet", "small", "auto"] = "auto",
        activation: Activation = "silu",
        dropout: Share | None = None,
        stochastic_depth: Share = 0.2,
    ) -> None:
        image = picture_of(signature, "efficientnet")
        wide, deep, drop = SCALES[version]
        wide, deep, drop = width or wide, depth or deep, drop if dropout is None else dropout
        skip = 0 if for_photos(stem, image) else 2  # reductions still to leave out
        repeats = [math.ceil(repeat * deep) for _, _, repeat, _, _ in STAGES]
        inside = divisible(32 * wide)
        first = unit(image.channels, inside, 3, 1 if skip else 2, activate=activation, eps=EPS)
        skip -= skip > 0
        stages, done = [], 0
        for repeat, (factor, channels, _, stride, kernel) in zip(repeats, STAGES):
            outside, stage = divisible(channels * wide), nn.Sequential()
            if skip and stride == 2:
                stride, skip = 1, skip - 1
            for place in range(repeat):
                stage.append(
                    Inverted(
                        inside, inside * factor, outside, kernel, 1 if place else stride, activate=activation, eps=EPS,
                        excite=Excite(inside * factor, max(1, inside // 4), activation),
                        drop=stochastic_depth * done / sum(repeats),
                    )
                )  # fmt: skip
                inside, done = outside, done + 1
            stages.append(stage)
        end = divisible(1280 * wide)
        top = nn.Sequential(unit(inside, end, activate=activation, eps=EPS), mean_of_places(), nn.Dropout(drop))
        super().__init__(first, stages, top, nn.Linear(end, signature.answer.width))
