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

from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.nn.inputs import picture_of
from deepen.nn.layers import Bottleneck, Residual, convolution, norm, pooled, start_as_identity
from deepen.schema import Count
from deepen.signature import Signature

PHOTOS: dict[int, tuple[type[Residual], tuple[int, ...]]] = {
    18: (Residual, (2, 2, 2, 2)),
    34: (Residual, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
SMALL = 64  # up to this side, `auto` leaves the stem's two reductions out


class ResNet(nn.Module):
    """Residual network: 18, 34, 50, 101, 152 for photos; 20, 32, 44, 56, 110 for small pictures.

    depth       layers with weights
    stem        imagenet: 7x7 with stride 2 and max pooling; small: 3x3; auto: small up to 64 pixels a side.
                The depths for small pictures always have the small one
    width       channels of the first stage; none: the paper's, 64 or 16
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
        zero_start: bool = False,
    ) -> None:
        super().__init__()
        image = picture_of(signature, "resnet")
        photos = depth in PHOTOS
        if not photos and (depth < 8 or (depth - 2) % 6):
            raise DeepenError(
                "model.depth", "model.depth", f"got {depth}", "18, 34, 50, 101, 152, or 6 n + 2: 20, 32, 44, 56, 110"
            )
        block, blocks = PHOTOS[depth] if photos else (Residual, ((depth - 2) // 6,) * 3)
        width = width or (64 if photos else 16)
        large = photos and (stem == "imagenet" or (stem == "auto" and max(image.height, image.width) > SMALL))
        self.stem = nn.Sequential(
            convolution(image.channels, width, 7 if large else 3, 2 if large else 1), norm("batch", width), nn.ReLU()
        )
        if large:
            self.stem.append(nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList()
        inside = width
        for stage, count in enumerate(blocks):
            layers = nn.Sequential()
            for place in range(count):
                stride = 2 if stage and not place else 1
                layers.append(block(inside, width * 2**stage, stride, pad=not photos))
                inside = width * 2**stage * block.widening
            self.stages.append(layers)
        self.last = nn.Linear(inside, signature.answer.width)
        if zero_start:
            start_as_identity(self)

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to the feature maps after each stage, large to small."""
        found, x = [], self.stem(image)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, d)."""
        return pooled(self.maps(image)[-1])

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K)."""
        return self.last(self.features(image))
