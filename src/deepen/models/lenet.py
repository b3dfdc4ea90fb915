"""LeNet-5 for small pictures.

    conv 6@5x5 - pool - act - conv 16@5x5 - pool - act - 120 - 84 - K          61,706 parameters at 28 x 28 grey, K = 10

Paper    LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", fig. 2.
Differs  the second convolution sees all six maps (the paper wires 60 % of them); a linear last layer under softmax
         in place of radial basis functions; ReLU and maximum pooling by default, tanh and average as options. As in
         the paper what is pooled is then squashed; for the maximum the order makes no difference, and costs less.
Letters  B items, K classes
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from deepen.nn.inputs import picture_of
from deepen.nn.layers import activation as activation_of
from deepen.nn.pooled import Pooled
from deepen.schema import Activation, Share
from deepen.signature import Signature


class LeNet(nn.Module):
    """LeNet-5: two convolutions, three dense layers; pictures from 12 pixels a side.

    pool     of 2 x 2 places: their maximum, or their mean
    dropout  share of the dense layers' units that is left out, while training
    """

    aliases: dict[str, dict[str, int]] = {"lenet5": {}}
    takes = ("image",)
    tiny: dict[str, int] = {}

    def __init__(
        self,
        signature: Signature,
        pool: Literal["max", "average"] = "max",
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        image = picture_of(signature, "lenet", least=12)
        height, width = image.height, image.width
        padding = 2 if min(height, width) <= 28 else 0  # 28 x 28 pictures are padded to the paper's 32 x 32
        shrunk = [((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, width)]
        pooling, together = (nn.MaxPool2d, Pooled) if pool == "max" else (nn.AvgPool2d, nn.Sequential)
        self.convolutions = together(
            nn.Conv2d(image.channels, 6, 5, padding=padding),
            pooling(2),
            activation_of(activation),
            nn.Conv2d(6, 16, 5),
            pooling(2),
            activation_of(activation),
        )
        self.dense = nn.Sequential(
            nn.Linear(16 * shrunk[0] * shrunk[1], 120),
            activation_of(activation),
            nn.Dropout(dropout),
            nn.Linear(120, 84),
            activation_of(activation),
            nn.Dropout(dropout),
        )
        self.last = nn.Linear(84, signature.answer.width)

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 84)."""
        return self.dense(torch.flatten(self.convolutions(image), 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K)."""
        return self.last(self.features(image))
