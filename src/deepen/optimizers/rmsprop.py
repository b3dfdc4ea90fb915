"""RMSprop.

    s' = a s + (1 - a) g^2,   v' = m v + g / (sqrt(s') + eps),   w' = w - lr v'

Source   Tieleman and Hinton 2012, lecture 6e; g holds L2 decay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.optimizers import Rule
from deepen.schema import Positive, Share


class RMSprop(Rule):
    """Steps divided by the root of the mean square of the gradients.

    momentum  share of the last step that is made again; 0: none
    memory    how long the mean square remembers
    eps       keeps the divisor from 0
    """

    def __init__(self, momentum: Share = 0.9, memory: Share = 0.99, eps: Positive = 1e-8) -> None:
        self.momentum, self.memory, self.eps = momentum, memory, eps
        self.names = ("square", "momentum") if momentum else ("square",)

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        if decay:
            grads = list(torch._foreach_add(grads, params, alpha=decay))
        torch._foreach_mul_(state["square"], self.memory)
        torch._foreach_addcmul_(state["square"], grads, grads, 1 - self.memory)
        bottom = torch._foreach_sqrt(state["square"])
        torch._foreach_add_(bottom, self.eps)
        if self.momentum:
            torch._foreach_mul_(state["momentum"], self.momentum)
            torch._foreach_addcdiv_(state["momentum"], grads, bottom)
            torch._foreach_add_(params, state["momentum"], alpha=-lr)
        else:
            torch._foreach_addcdiv_(params, grads, bottom, -lr)
