"""AlexNet.

    conv 64@11x11/4 - pool - 192@5x5 - pool - 384@3x3 - 256@3x3 - 256@3x3 - pool - 6 x 6 places - 4096 - 4096 - K

Paper    Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997: the network
         of Krizhevsky, Sutskever, Hinton 2012 without groups and without local response normalisation.
Differs  the last maps are averaged to 6 x 6 whatever the picture's size; He's start instead of a deviation of 0.01.
Counts   61,100,840 at K = 1000, 3 channels.
Letters  K classes
"""

from __future__ import annotations

from torch import nn

from deepen.nn.inputs import picture_of
from deepen.nn.layers import activation as activation_of
from deepen.nn.pictures import Staged, scaled, start_he
from deepen.schema import Activation, Positive, Share
from deepen.signature import Signature


class AlexNet(Staged):
    """AlexNet: five convolutions, three dense layers; pictures from 63 pixels a side.

    multiplier  of the paper's widths
    """

    takes = ("image",)
    tiny = {"multiplier": 0.05}
    least = 63  # pixels a side: of less, nothing is left after the third pooling

    def __init__(
        self,
        signature: Signature,
        multiplier: Positive = 1.0,
        activation: Activation = "relu",
        dropout: Share = 0.5,
    ) -> None:
        image = picture_of(signature, "alexnet", self.least)
        a, b, c, d, e, hidden = (scaled(width, multiplier) for width in (64, 192, 384, 256, 256, 4096))

        def convolve(inside: int, outside: int, kernel: int, stride: int = 1, padding: int = 1) -> nn.Module:
            return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride, padding), activation_of(activation))

        stages = [
            nn.Sequential(convolve(image.channels, a, 11, 4, 2), nn.MaxPool2d(3, 2)),
            nn.Sequential(convolve(a, b, 5, padding=2), nn.MaxPool2d(3, 2)),
            nn.Sequential(convolve(b, c, 3), convolve(c, d, 3), convolve(d, e, 3), nn.MaxPool2d(3, 2)),
        ]
        top = nn.Sequential(
            nn.AdaptiveAvgPool2d(6),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(e * 36, hidden),
            activation_of(activation),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            activation_of(activation),
        )
        start_he([*stages, top])
        super().__init__(nn.Identity(), stages, top, nn.Linear(hidden, signature.answer.width))
