"""VGG: blocks of 3 x 3 convolutions, each ended by maximum pooling.

    5 stages of 64, 128, 256, 512, 512 channels, [conv 3x3 - (norm) - act] x n and pooling by 2 each
             depth 11: n = 1 1 2 2 2; 13: 2 2 2 2 2; 16: 2 2 3 3 3; 19: 2 2 4 4 4
    photos   7 x 7 places - 4096 - 4096 - K
    small    mean over places - K

Paper    Simonyan and Zisserman 2015, arXiv:1409.1556, table 1 (A, B, D, E); with batch norm: Ioffe and Szegedy 2015.
Differs  the last maps are averaged to 7 x 7 whatever the picture's size; small pictures go without the hidden layers,
         which hold nine tenths of the weights. He's start instead of Xavier's on pretrained layers.
Counts   at K = 1000, 3 channels: 11 132,863,336; 13 133,047,848; 16 138,357,544; 19 143,667,240; 16 with norm
         138,365,992. Small, K = 10: 16 with norm 14,728,266.
Letters  K classes
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from deepen.nn.inputs import picture_of
from deepen.nn.layers import activation as activation_of
from deepen.nn.layers import norm as norm_of
from deepen.nn.pictures import Staged, for_photos, mean_of_places, scaled, start_he
from deepen.schema import Activation, Positive, Share
from deepen.signature import Signature

REPEATS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class VGG(Staged):
    """VGG 11, 13, 16 or 19, plain or with batch norm; pictures from 32 pixels a side.

    depth       layers with weights, counting three dense ones
    top         imagenet: 7 x 7 places and two hidden layers; small: the mean over places; auto: small up to 64 pixels
    multiplier  of the paper's widths
    dropout     between the hidden layers
    """

    takes = ("image",)
    aliases = {
        "vgg11": {"depth": 11, "norm": "none"}, "vgg11_bn": {"depth": 11, "norm": "batch"},
        "vgg13": {"depth": 13, "norm": "none"}, "vgg13_bn": {"depth": 13, "norm": "batch"},
        "vgg16": {"depth": 16, "norm": "none"}, "vgg16_bn": {"depth": 16, "norm": "batch"},
        "vgg19": {"depth": 19, "norm": "none"}, "vgg19_bn": {"depth": 19, "norm": "batch"},
    }  # fmt: skip
    tiny = {"depth": 11, "multiplier": 0.1}
    least = 32  # pixels a side: five times halved

    def __init__(
        self,
        signature: Signature,
        depth: Literal[11, 13, 16, 19] = 16,
        norm: Literal["batch", "group", "instance", "layer", "none"] = "batch",
        top: Literal["imagenet", "small", "auto"] = "auto",
        multiplier: Positive = 1.0,
        activation: Activation = "relu",
        dropout: Share = 0.5,
    ) -> None:
        image = picture_of(signature, "vgg", self.least)
        stages, inside = [], image.channels
        for repeat, channels in zip(REPEATS[depth], CHANNELS):
            stage, width = nn.Sequential(), scaled(channels, multiplier)
            for _ in range(repeat):
                stage.extend([nn.Conv2d(inside, width, 3, padding=1), norm_of(norm, width), activation_of(activation)])
                inside = width
            stages.append(stage.append(nn.MaxPool2d(2)))
        if for_photos(top, image):
            hidden = scaled(4096, multiplier)
            head = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten())
            for width in (inside * 49, hidden):
                head.extend([nn.Linear(width, hidden), activation_of(activation), nn.Dropout(dropout)])
        else:
            head, hidden = mean_of_places(), inside
        start_he([*stages, head])
        super().__init__(nn.Identity(), stages, head, nn.Linear(hidden, signature.answer.width))
