"""All weights 0.

w = 0: units of a layer have equal gradients for ever (Goodfellow et al. 2016, Deep Learning, section 8.4)
"""

from __future__ import annotations

from torch import Tensor, nn

from deepen.initialisers import Initialiser


class Zero(Initialiser):
    """All weights 0: to see what goes wrong then."""

    warning = "all units of a layer begin alike, get the same gradients and stay alike; he or xavier can learn"

    def fill(self, weight: Tensor, inputs: int, outputs: int) -> None:
        nn.init.zeros_(weight)
