"""Multilayer perceptron.

    h = dropout(activation(W h + b)) for each hidden layer, then a linear layer

Takes any fixed-size inputs: pictures and arrays are flattened, categories are embedded, everything is concatenated.
Hidden layers may hold only some of their connections, drawn once: nn/sparse.py.

Paper    Rumelhart, Hinton and Williams 1986, Nature 323, 533-536.
Letters  B items, d features
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.nn.inputs import Flat
from deepen.nn.layers import activation as activation_of
from deepen.nn.sparse import dense
from deepen.schema import Activation, Count, Share
from deepen.signature import Signature


class MLP(nn.Module):
    """Dense layers over all inputs flattened.

    hidden         widths of the layers
    dropout        share of the hidden units left out, while training
    input_dropout  share of the inputs left out, while training (Srivastava et al. 2014: a fifth beside half of the units)
    sparsity       share of the connections into each hidden unit that there are none of, drawn once; 0: dense
    """

    takes = ("image", "array", "row", "series")
    joins = True
    tiny = {"hidden": [8], "sparsity": 0.3}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (256, 128),
        activation: Activation = "relu",
        dropout: Share = 0.0,
        input_dropout: Share = 0.0,
        sparsity: Share = 0.0,
    ) -> None:
        super().__init__()
        self.flat = Flat(signature)
        layers: list[nn.Module] = []
        width = self.flat.width
        for size in hidden:
            layers += [dense(width, size, sparsity), activation_of(activation), nn.Dropout(dropout)]
            width = size
        self.before = nn.Dropout(input_dropout)
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(width, signature.answer.width)

    def features(self, *inputs: Tensor) -> Tensor:
        """To (B, d)."""
        return self.body(self.before(self.flat(*inputs)))

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(*inputs))
