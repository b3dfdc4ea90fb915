"""Batch norm over all processes: what each sees of a batch is normalised by mean and variance of the whole.

    mean = sum over processes of sum x / n,   variance = sum over processes of sum (x - mean)^2 / n

The sums are exchanged, forward and backward, by our own all-reduce: torch's SyncBatchNorm refuses a CPU. Processes may
hold unequal numbers of items.

Differs  two exchanges in place of one: sums of squares would lose digits where the mean is large.
Letters  x a channel's numbers, n of them in all
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from deepen.training.processes import Processes


class JointNorms:
    """Within it the batch norms of a method look at what all processes have; every process must be within it alike.

    A hack: their `forward` is replaced on the instance, so that names and parameters stay what they are.
    """

    def __init__(self, method: nn.Module, processes: Processes, wanted: bool) -> None:
        self.processes, self.within = processes, False
        several = wanted and processes.world > 1
        self.norms = [m for m in method.modules() if several and isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in self.norms:
            norm.forward = functools.partial(self._forward, norm)  # type: ignore[method-assign]

    def __enter__(self) -> None:
        self.within = True

    def __exit__(self, *_: object) -> None:
        self.within = False

    def _forward(self, norm: Any, x: Tensor) -> Tensor:
        if not (self.within and norm.training):
            return type(norm).forward(norm, x)
        axes = [0, *range(2, x.ndim)]
        places = (1, -1, *(1 for _ in axes[1:]))
        wide = x.float()
        count = wide.new_tensor([x.numel() / x.shape[1]])
        sums = Summed.apply(torch.cat([wide.sum(axes), count]), self.processes)
        n = sums[-1].detach()
        mean = sums[:-1] / n
        away = wide - mean.view(places)
        variance = Summed.apply(away.square().sum(axes), self.processes) / n
        self._remember(norm, mean.detach(), (variance * n / (n - 1).clamp(min=1)).detach())
        scaled = away * (variance + norm.eps).rsqrt().view(places)
        if norm.affine:
            scaled = scaled * norm.weight.view(places) + norm.bias.view(places)
        return scaled.to(x.dtype)

    def _remember(self, norm: Any, mean: Tensor, variance: Tensor) -> None:
        """The running statistics, as torch keeps them."""
        if not norm.track_running_stats:
            return
        norm.num_batches_tracked.add_(1)
        weight = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean.to(norm.running_mean), weight)
        norm.running_var.lerp_(variance.to(norm.running_var), weight)


class Summed(torch.autograd.Function):
    """A tensor's sum over all processes; each one's share of the gradient is the sum of what all of them want of it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        total = tensor.clone()
        processes.sum([total])
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone()
        ctx.processes.sum([total])
        return total, None
