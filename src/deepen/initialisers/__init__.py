"""Initialisers: what the weights of dense and convolution layers begin as, by name. Biases begin at 0.

fill     draw one layer's weight in place; inputs, outputs: how many weights lead into and out of a unit
first    only where a file has it: the weight of the layer that sees the items, from what it sees
warning  what a user should know
"""

from __future__ import annotations

from torch import Tensor, nn


class Initialiser:
    """Most write `fill`."""

    warning = ""

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        raise NotImplementedError

    def first(self, layer: nn.Module, seen: Tensor) -> None:
        """Of the first layer; `seen` (B, ...) is what it gets from some training items."""
