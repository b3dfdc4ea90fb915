"""Gradient descent on all items at once.

    w' = w - lr g,   until |g| <= tolerance

Paper    Cauchy 1847, Comptes Rendus 25, 536-538.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.optimizers import Rule
from deepen.schema import NonNegative


class GradientDescent(Rule):
    """Every step looks at all training items; the end is where the slope is.

    tolerance  length of the gradient, without decay, at which training is done; 0: only after all steps
    """

    lr = 0.1
    whole = True

    def __init__(self, tolerance: NonNegative = 1e-4) -> None:
        self.tolerance = tolerance

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        torch._foreach_mul_(params, 1 - lr * decay)
        torch._foreach_add_(params, grads, alpha=-lr)
