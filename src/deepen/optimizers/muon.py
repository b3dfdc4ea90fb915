"""Muon: momentum made orthogonal, for matrices; AdamW for biases and scales.

    m' = u m + (1 - u) g,   O = NewtonSchulz((1 - u) g + u m'),   w' = (1 - lr decay) w - 0.2 sqrt(max(a, b)) lr O
    NewtonSchulz: X = M / |M|, five times X = 3.4445 X - 4.775 (X X^T) X + 2.0315 (X X^T)^2 X

Source   Jordan et al. 2024, kellerjordan.github.io/posts/muon; the factor: Liu et al. 2025, arXiv:2502.16982, eq. 4: steps
         as large as AdamW's, so that its rates suit.
Differs  kernels of convolutions are matrices of output channels by everything else, of several experts, or a
         column's codes, a matrix each; embeddings and the last layer, which the authors leave to AdamW, are matrices too.
Letters  u momentum, a x b the size of w
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.optimizers import Rule, adaptive
from deepen.schema import Share


class Muon(Rule):
    """The whole update of a matrix has singular values near 1: rare directions are learnt as fast as frequent ones.

    momentum  how long the mean of gradients remembers
    """

    by_units = True

    def __init__(self, momentum: Share = 0.95) -> None:
        self.momentum = momentum

    def wants(self, matrices: bool) -> tuple[str, ...]:
        return ("momentum",) if matrices else ("mean", "square")

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        if "momentum" not in state:
            adaptive(torch._fused_adamw_, params, grads, state, lr, decay, steps, 0.9, 0.999, 1e-8)
            return
        torch._foreach_lerp_(state["momentum"], grads, 1 - self.momentum)
        ahead = torch._foreach_lerp(grads, state["momentum"], self.momentum)
        torch._foreach_mul_(params, 1 - lr * decay)
        for param, step in zip(params, ahead):
            whole = orthogonal(step.flatten(1))
            param.add_(whole.view_as(param), alpha=-lr * 0.2 * max(whole.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of M = U S V^T, in bfloat16: the singular values come to lie between 0.5 and 1.5."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.775, alpha=2.0315), x, beta=3.4445)
    return (x.T if tall else x).to(matrix.dtype)
