"""Averages of the weights over training, kept beside them; the average is what is evaluated and shipped.

ema  w' = d w' + (1 - d) w after every step, d = min(decay, (1 + n) / (10 + n))
swa  the mean of the weights at the ends of the last quarter of the epochs (Izmailov et al. 2018)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

SWA_FROM = 0.75


class Average:
    """A running average of a network's floating-point state."""

    def __init__(self, net: nn.Module, how: str, decay: float) -> None:
        self.net, self.how, self.decay = net, how, decay
        self.live = [v for v in net.state_dict(keep_vars=True).values() if v.is_floating_point()]
        self.shadow = [v.detach().clone() for v in self.live]
        self.count = torch.zeros((), dtype=torch.int64)

    def after_step(self) -> None:
        if self.how == "ema":
            n = int(self.count)
            self._towards(1 - min(self.decay, (1 + n) / (10 + n)))

    def after_epoch(self, progress: float) -> None:
        if self.how == "swa" and progress >= SWA_FROM:
            self._towards(1 / (int(self.count) + 1))

    @torch.no_grad()
    def _towards(self, weight: float) -> None:
        if int(self.count) == 0:
            torch._foreach_copy_(self.shadow, [v.detach() for v in self.live])
        else:
            torch._foreach_lerp_(self.shadow, [v.detach() for v in self.live], weight)
        self.count += 1

    @property
    def ready(self) -> bool:
        return int(self.count) > 0

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network with the averaged weights, as long as there are any."""
        if not self.ready:
            yield
            return
        kept = [v.detach().clone() for v in self.live]
        with torch.no_grad():
            torch._foreach_copy_([v.detach() for v in self.live], self.shadow)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_([v.detach() for v in self.live], kept)

    def tensors(self) -> dict[str, Tensor]:
        return {"count": self.count, **{str(i): tensor for i, tensor in enumerate(self.shadow)}}


@torch.no_grad()
def refresh_norms(net: nn.Module, batches: Iterator[tuple[Tensor, ...]]) -> None:
    """Batch norm's running statistics anew under the averaged weights; the mean of the batches' own.

    Only the norms are in training mode: dropout would add noise that no answer will have, and need a random state.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta, mode = [m.momentum for m in norms], net.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's sign for a cumulative mean
    net.eval()
    for norm in norms:
        norm.train()
    for inputs in batches:
        net(*inputs)
    net.train(mode)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
