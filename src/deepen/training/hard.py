"""Hard examples: items are drawn the more often, the more they cost in the passes before.

    p_i ~ w_i ((1 - h) + h l_i / mean l)        l_i: running mean of item i's loss; h: share drawn so; w_i: its weight
    l_i <- (l_i + m_i) / 2                      m_i: its mean loss in a pass in which it was drawn

The share 1 - h is a floor: no item starves. What was never drawn counts as the mean, so the first pass is a plain one.

Paper    Loshchilov and Hutter 2015, arXiv:1511.06343 (batches chosen by the latest known loss).
Differs  in proportion to the loss, not to its rank; losses are looked at between passes, so nothing waits for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepen.training.processes import Processes

UNKNOWN = -1.0  # of items that were never drawn; losses are not below 0


class Hard(nn.Module):
    """What N items cost, and the weights by which they are drawn: state that goes into each checkpoint.

    base   float64 (N,): weights of their own
    share  h
    """

    costs: Tensor
    seen: Tensor
    weights: Tensor

    def __init__(self, base: Tensor, share: float, device: str) -> None:
        super().__init__()
        self.base, self.share = base.to(device), share
        self.register_buffer("costs", torch.full_like(self.base, UNKNOWN))
        self.register_buffer("seen", torch.zeros(2, len(base), dtype=torch.float64, device=device))  # sums, times
        self.register_buffer("weights", self.base.clone())

    @torch.no_grad()
    def see(self, rows: Tensor, losses: Tensor) -> None:
        """Losses (B,) of items, by row number; one that is not finite tells nothing."""
        told = losses.isfinite()
        self.seen[0].index_add_(0, rows, torch.where(told, losses, 0.0).double())
        self.seen[1].index_add_(0, rows, told.double())

    @torch.no_grad()
    def after_epoch(self) -> None:
        """What was seen, in all processes, into the weights of the next pass."""
        Processes().sum([self.seen])
        sums, times = self.seen
        mean = sums / times.clamp(min=1)
        running = torch.where(self.costs < 0, mean, (self.costs + mean) / 2)
        self.costs.copy_(torch.where(times > 0, running, self.costs))
        known = self.base * (self.costs >= 0)
        usual = (known * self.costs).sum() / known.sum()
        relative = torch.where(self.costs < 0, 1.0, self.costs / usual.clamp(min=1e-12))
        self.weights.copy_(self.base * (1 - self.share + self.share * relative))
        self.seen.zero_()
