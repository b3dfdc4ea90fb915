"""Adam.

    m' = b1 m + (1 - b1) g,   s' = b2 s + (1 - b2) g^2
    w' = w - lr (m' / (1 - b1^t)) / (sqrt(s' / (1 - b2^t)) + eps)

Paper    Kingma and Ba 2015, arXiv:1412.6980, algorithm 1; g holds L2 decay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.optimizers import Rule, adaptive
from deepen.schema import Positive, Share


class Adam(Rule):
    """Steps scaled by the mean square of the gradients; weight decay as L2.

    beta1  how long the mean of gradients remembers
    beta2  how long the mean of their squares remembers
    eps    keeps the divisor from 0
    """

    names = ("mean", "square")

    def __init__(self, beta1: Share = 0.9, beta2: Share = 0.999, eps: Positive = 1e-8) -> None:
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        adaptive(torch._fused_adam_, params, grads, state, lr, decay, steps, self.beta1, self.beta2, self.eps)
