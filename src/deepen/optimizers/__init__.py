"""Optimizers: how a step follows from gradients. One rule per file, on torch's fused and foreach kernels.

names    of its state, each a tensor as large as the parameter; `wants` where matrices and vectors differ
update   one step of parameters that have a gradient: those of two or more dimensions together, then the others
lr       the rate that is tried where none is said; 1e-3 where a rule says none either
whole    True: a step looks at all training items
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Rule:
    """Most rules write `update`, and `names` where they remember something."""

    names: tuple[str, ...] = ()
    by_units: bool = False  # matrices come with the units first, whatever order they are kept in
    tolerance: float = 0.0  # a gradient of at most this length ends the training

    def wants(self, matrices: bool) -> tuple[str, ...]:
        """Names of the state of parameters of two or more dimensions, or of the others."""
        return self.names

    def update(
        self, params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]], lr: float, decay: float, steps: list[int]
    ) -> None:  # fmt: skip
        """Change the parameters and the state in place; `steps` counts from 1, for each parameter its own."""
        raise NotImplementedError


def adaptive(
    kernel: Callable[..., None], params: list[Tensor], grads: list[Tensor], state: dict[str, list[Tensor]],
    lr: float, decay: float, steps: list[int], beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """One step of Adam's kind; the kernel says what becomes of weight decay."""
    # the kernel wants a step count per tensor; those that are as old share one
    counts = {step: torch.tensor(float(step), device=params[0].device) for step in {*steps}}
    kernel(
        params, grads, state["mean"], state["square"], [], [counts[step] for step in steps], lr=lr, beta1=beta1, beta2=beta2,
        weight_decay=decay, eps=eps, amsgrad=False, maximize=False,
    )  # fmt: skip
