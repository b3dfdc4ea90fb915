"""Multilayer perceptron.

    h = dropout(activation(W h + b)) for each hidden layer, then a linear layer

Takes any fixed-size inputs: pictures and arrays are flattened, categories are embedded, everything is concatenated.

Paper    Rumelhart, Hinton and Williams 1986, Nature 323, 533-536.
Letters  B items, d features
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.nn.inputs import Flat
from deepen.nn.layers import activation as activation_of
from deepen.schema import Activation, Count, Share
from deepen.signature import Signature


class MLP(nn.Module):
    """Dense layers over all inputs flattened."""

    takes = ("image", "array", "row", "series")
    joins = True
    tiny = {"hidden": [8]}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (256, 128),
        activation: Activation = "relu",
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        self.flat = Flat(signature)
        layers: list[nn.Module] = []
        width = self.flat.width
        for size in hidden:
            layers += [nn.Linear(width, size), activation_of(activation), nn.Dropout(dropout)]
            width = size
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(width, signature.answer.width)

    def features(self, *inputs: Tensor) -> Tensor:
        """To (B, d)."""
        return self.body(self.flat(*inputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(*inputs))
