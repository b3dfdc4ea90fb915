"""Adagrad.

    s' = s + g^2,   w' = w - lr g / (sqrt(s') + eps)

Paper    Duchi, Hazan and Singer 2011, JMLR 12, eq. 1 on the diagonal; g holds L2 decay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.optimizers import Rule
from deepen.schema import Positive


class Adagrad(Rule):
    """Steps divided by the root of the sum of all squared gradients so far.

    eps  keeps the divisor from 0
    """

    names = ("square",)
    lr = 1e-2

    def __init__(self, eps: Positive = 1e-10) -> None:
        self.eps = eps

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        if decay:
            grads = list(torch._foreach_add(grads, params, alpha=decay))
        torch._foreach_addcmul_(state["square"], grads, grads)
        bottom = torch._foreach_sqrt(state["square"])
        torch._foreach_add_(bottom, self.eps)
        torch._foreach_addcdiv_(params, grads, bottom, -lr)
