"""Autoencoder: an item through a narrow code and back, so that the code must say what matters of it.

    code = W body(x) + b,  again = back(code),  loss = mean over places of (again - x)^2
    for labels: answer = linear(act(code)), so that what was learnt without labels can be tuned with few

Without hidden layers it is linear, and what it learns spans the principal components (Baldi and Hornik 1989).
Paper    Hinton and Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
Letters  B items, d code
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.reconstruction import Reconstruction
from deepen.nn.coding import Convolutional, ConvolutionalBack, Dense, DenseBack, TiedBack, form_of, shape_of
from deepen.nn.layers import activation as activation_of
from deepen.schema import Activation, Count
from deepen.signature import Signature


class Autoencoder(nn.Module):
    """Items told again from a code; with labels the code is what is classified. For pictures, arrays, rows of numbers.

    code      numbers an item is told from
    form      dense, convolutional; auto: convolutional for pictures
    hidden    widths of the dense layers on the way to the code; none: linear
    channels  of the convolutional stages on the way to the code, each of half the size
    tied      the way back has the weights of the way there (dense alone)
    """

    takes = ("image", "array", "row")
    kinds = ("reconstruction",)
    alone = "reconstruct"
    tiny = {"code": 12, "hidden": [24], "channels": [4, 8]}

    def __init__(
        self,
        signature: Signature,
        code: Count = 32,
        form: Literal["auto", "dense", "convolutional"] = "auto",
        hidden: tuple[Count, ...] = (256, 128),
        channels: tuple[Count, ...] = (32, 64),
        activation: Activation = "relu",
        tied: bool = False,
    ) -> None:
        super().__init__()
        shape = shape_of(signature, "autoencoder")
        chosen = form_of(form, shape) if channels else "dense"
        if tied and chosen != "dense":
            raise DeepenError("model.tied", "model.tied", "true with convolutions", "dense layers", "form=dense")
        self.body: Dense | Convolutional = (
            Dense(shape, hidden, activation) if chosen == "dense" else Convolutional(shape, channels, activation)
        )
        self.code = nn.Linear(self.body.width, code)
        self.tells = isinstance(signature.answer, Reconstruction)
        if not self.tells:
            self.last = nn.Sequential(activation_of(activation), nn.Linear(code, signature.answer.width))
            return
        if isinstance(self.body, Dense) and tied:
            self.back: nn.Module = TiedBack([*self.body.dense(), self.code], shape, activation)
        elif chosen == "dense":
            self.back = DenseBack(code, hidden, shape, activation)
        else:
            self.back = ConvolutionalBack(code, channels, shape, activation)

    def features(self, item: Tensor) -> Tensor:
        """The code, (B, d)."""
        return self.code(self.body(item))

    def again(self, item: Tensor) -> Tensor:
        """The item as it is told from its code."""
        return self.back(self.features(item))

    def forward(self, item: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """To again, code (B, d) and loss (B,); for labels to (B, K)."""
        code = self.features(item)
        if not self.tells:
            return self.last(code)
        again = self.back(code)
        return again, code, (again - item).square().flatten(1).mean(1)
