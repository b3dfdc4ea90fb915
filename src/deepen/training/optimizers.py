"""Optimizers over flat lists of tensors, on torch's fused and foreach kernels; state is plain tensors by name.

Same trajectories as torch.optim (tests hold them equal). Our own because torch.optim loads the compiler's front end at
its first step: more than a second before training can begin. Decoupled weight decay for AdamW, L2 for the others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from deepen.config import Train

Update = Callable[[list[Tensor], list[Tensor], dict[str, list[Tensor]], float, float, list[int]], None]


class Optimizer:
    """One player's optimizer. Biases and the scales of norms (one-dimensional parameters) are not decayed."""

    def __init__(self, parameters: list[nn.Parameter], train: Train) -> None:
        groups = [[p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]]
        decays = [train.weight_decay, 0.0]
        self.groups = [(group, decay) for group, decay in zip(groups, decays) if group]
        self.update, names = OPTIMIZERS[train.optimizer](train)
        self.state = [{name: [torch.zeros_like(p) for p in group] for name in names} for group, _ in self.groups]
        self.steps = [0] * len(self.parameters)  # of each parameter: one without a gradient does not age

    @property
    def parameters(self) -> list[Tensor]:
        return [p for group, _ in self.groups for p in group]

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update with this learning rate; parameters without a gradient stay."""
        first = 0
        for (group, decay), state in zip(self.groups, self.state):
            live = [i for i, p in enumerate(group) if p.grad is not None]
            for i in live:
                self.steps[first + i] += 1
            if live:
                params, steps = [group[i] for i in live], [self.steps[first + i] for i in live]
                part = {name: [tensors[i] for i in live] for name, tensors in state.items()}
                self.update(params, [p.grad for p in params], part, lr, decay, steps)  # type: ignore[misc, arg-type]
            first += len(group)

    def zero_grad(self) -> None:
        for group, _ in self.groups:
            for p in group:
                p.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """All state by name, for the checkpoint."""
        return {
            f"{g}.{name}.{i}": tensor
            for g, state in enumerate(self.state)
            for name, tensors in state.items()
            for i, tensor in enumerate(tensors)
        }


def _sgd(train: Train) -> tuple[Update, tuple[str, ...]]:
    momentum, nesterov = train.momentum, train.nesterov and train.momentum > 0

    def update(
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        lr: float,
        decay: float,
        steps: list[int],
    ) -> None:
        torch._fused_sgd_(
            params, grads, state.get("momentum", []), weight_decay=decay, momentum=momentum, lr=lr,
            dampening=0.0, nesterov=nesterov, maximize=False, is_first_step=False,
        )  # fmt: skip

    return update, ("momentum",) if momentum else ()


def _adam(
    train: Train, fused: Callable[..., None], beta1: float = 0.9, beta2: float = 0.999
) -> tuple[Update, tuple[str, ...]]:
    def update(
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        lr: float,
        decay: float,
        steps: list[int],
    ) -> None:
        # the kernel wants a step count per tensor; those that are as old share one
        counts = {step: torch.tensor(float(step), device=params[0].device) for step in {*steps}}
        fused(
            params, grads, state["mean"], state["square"], [], [counts[step] for step in steps], lr=lr, beta1=beta1, beta2=beta2,
            weight_decay=decay, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip

    return update, ("mean", "square")


def _rmsprop(train: Train, alpha: float = 0.99, eps: float = 1e-8) -> tuple[Update, tuple[str, ...]]:
    def update(
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        lr: float,
        decay: float,
        steps: list[int],
    ) -> None:
        if decay:
            grads = list(torch._foreach_add(grads, params, alpha=decay))
        torch._foreach_mul_(state["square"], alpha)
        torch._foreach_addcmul_(state["square"], grads, grads, 1 - alpha)
        bottom = torch._foreach_sqrt(state["square"])
        torch._foreach_add_(bottom, eps)
        if train.momentum:
            torch._foreach_mul_(state["momentum"], train.momentum)
            torch._foreach_addcdiv_(state["momentum"], grads, bottom)
            torch._foreach_add_(params, state["momentum"], alpha=-lr)
        else:
            torch._foreach_addcdiv_(params, grads, bottom, -lr)

    return update, ("square", "momentum") if train.momentum else ("square",)


def _adagrad(train: Train, eps: float = 1e-10) -> tuple[Update, tuple[str, ...]]:
    def update(
        params: list[Tensor],
        grads: list[Tensor],
        state: dict[str, list[Tensor]],
        lr: float,
        decay: float,
        steps: list[int],
    ) -> None:
        if decay:
            grads = list(torch._foreach_add(grads, params, alpha=decay))
        torch._foreach_addcmul_(state["square"], grads, grads)
        bottom = torch._foreach_sqrt(state["square"])
        torch._foreach_add_(bottom, eps)
        torch._foreach_addcdiv_(params, grads, bottom, -lr)

    return update, ("square",)


OPTIMIZERS: dict[str, Callable[[Train], tuple[Update, tuple[str, ...]]]] = {
    "sgd": _sgd,
    "adam": lambda train: _adam(train, torch._fused_adam_),
    "adamw": lambda train: _adam(train, torch._fused_adamw_),
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}
