"""Stochastic gradient descent.

    v' = m v + g,   w' = w - lr v'        with Nesterov: w' = w - lr (g + m v')

Papers   Robbins and Monro 1951, Annals of Mathematical Statistics 22, 400-407; momentum: Polyak 1964, USSR Computational
         Mathematics and Mathematical Physics 4(5), 1-17; Nesterov's: Sutskever et al. 2013, PMLR 28(3), 1139-1147.
Letters  w weights, g gradient with L2 decay added, v velocity, m momentum
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.optimizers import Rule
from deepen.schema import Share


class SGD(Rule):
    """Gradient descent on batches, with momentum.

    momentum  share of the last step that is made again; 0: none
    nesterov  look ahead along the momentum
    """

    aliases = {"momentum": {"momentum": 0.9, "nesterov": False}, "nesterov": {"momentum": 0.9, "nesterov": True}}
    lr = 0.02

    def __init__(self, momentum: Share = 0.9, nesterov: bool = True) -> None:
        self.momentum, self.nesterov = momentum, nesterov and momentum > 0
        self.names = ("momentum",) if momentum else ()

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        torch._fused_sgd_(
            params, grads, state.get("momentum", []), weight_decay=decay, momentum=self.momentum, lr=lr,
            dampening=0.0, nesterov=self.nesterov, maximize=False, is_first_step=False,
        )  # fmt: skip
