"""Rows, or where there are more of them columns, at right angles.

    W W^T = gain^2 I    or    W^T W = gain^2 I

Paper    Saxe, McClelland and Ganguli 2014, arXiv:1312.6120, section 3. Kernels are matrices of outputs by everything else.
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.initialisers import Initialiser
from deepen.schema import Positive


class Orthogonal(Initialiser):
    """An orthogonal matrix times a number.

    gain  the number
    """

    def __init__(self, gain: Positive = 1.0) -> None:
        self.gain = gain

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        nn.init.orthogonal_(weight, self.gain)
