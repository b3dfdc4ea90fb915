"""Residual networks, in the form for photos (ImageNet) and for small pictures (CIFAR).

    photos   conv 64@7x7/2 - max pool/2 - 4 stages of 64, 128, 256, 512 - mean over places - K
             depth 18, 34: residual blocks; 50, 101, 152: bottlenecks
    small    conv 16@3x3 - 3 stages of 16, 32, 64, (depth - 2) / 6 blocks each - mean over places - K
             depth 20, 32, 44, 56, 110; shortcuts without parameters (option A)

Paper    He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", arXiv:1512.03385, table 1, sec. 4.2.
Differs  bottlenecks stride in the 3x3 convolution, as in the authors' later code and everywhere since.
Counts   at K = 1000, 3 channels: 18 11,689,512; 34 21,797,672; 50 25,557,032. At K = 10: depth 20 269,722.
Letters  B items, K classes, d features
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from deepen.errors import DeepenError
from deepen.nn.inputs import picture_of
from deepen.nn.layers import Bottleneck, Residual, convolution, norm, start_as_identity
from deepen.nn.layers import activation as activation_of
from deepen.nn.pictures import Staged, for_photos, mean_of_places
from deepen.schema import Activation, Count
from deepen.signature import Signature

PHOTOS: dict[int, tuple[type[Residual], tuple[int, ...]]] = {
    18: (Residual, (2, 2, 2, 2)),
    34: (Residual, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(Staged):
    """Residual network: 18, 34, 50, 101, 152 for photos; 20, 32, 44, 56, 110 for small pictures.

    depth       layers with weights
    stem        imagenet: 7x7 with stride 2 and max pooling; small: 3x3; auto: small up to 64 pixels a side.
                The depths for small pictures always have the small one
    width       channels of the first stage; none: the paper's, 64 or 16
    attention   at the end of every block. se: channels are weighed; cbam: channels, then places
    zero_start  every block starts as the identity
    """

    aliases = {
        "resnet18": {"depth": 18}, "resnet34": {"depth": 34}, "resnet50": {"depth": 50}, "resnet101": {"depth": 101},
        "resnet152": {"depth": 152}, "resnet20": {"depth": 20}, "resnet32": {"depth": 32}, "resnet44": {"depth": 44},
        "resnet56": {"depth": 56}, "resnet110": {"depth": 110},
    }  # fmt: skip
    takes = ("image",)
    tiny = {"depth": 8, "width": 4}

    def __init__(
        self,
        signature: Signature,
        depth: Count = 18,
        stem: Literal["imagenet", "small", "auto"] = "auto",
        width: Count | None = None,
        activation: Activation = "relu",
        attention: Literal["none", "se", "cbam"] = "none",
        zero_start: bool = False,
    ) -> None:
        image = picture_of(signature, "resnet")
        photos = depth in PHOTOS
        if not photos and (depth < 8 or (depth - 2) % 6):
            raise DeepenError(
                "model.depth", "model.depth", f"got {depth}", "18, 34, 50, 101, 152, or 6 n + 2: 20, 32, 44, 56, 110"
            )
        block, blocks = PHOTOS[depth] if photos else (Residual, ((depth - 2) // 6,) * 3)
        width = width or (64 if photos else 16)
        large = photos and for_photos(stem, image)
        first = nn.Sequential(
            convolution(image.channels, width, 7 if large else 3, 2 if large else 1),
            norm("batch", width),
            activation_of(activation),
        )
        if large:
            first.append(nn.MaxPool2d(3, 2, 1))
        stages, inside = [], width
        for stage, count in enumerate(blocks):
            layers = nn.Sequential()
            for place in range(count):
                stride = 2 if stage and not place else 1
                layers.append(
                    block(inside, width * 2**stage, stride, pad=not photos, activate=activation, attend=attention)
                )
                inside = width * 2**stage * block.widening
            stages.append(layers)
        super().__init__(first, stages, mean_of_places(), nn.Linear(inside, signature.answer.width))
        if zero_start:
            start_as_identity(self)
