"""Which of many things comes next, against some that are drawn: softmax whose sum is an estimate.

    Z = e^{s_t} + sum over the S drawn j, but t, of e^{s_j} / (S q_j)        mean over draws: the sum over all things

Paper    Bengio and Senecal 2008, "Adaptive importance sampling", eq. 5; the correction by log q: Yi et al. 2019, eq. 3.
Differs  things are drawn from all that are known, not from the batch: items of a batch stay apart.
Letters  B items, N things, S drawn, d width, t the truth, q_j how often j is drawn
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BELOW = -1e4  # a score that wins against nothing


class Drawn(NamedTuple):
    """Somebody's vectors (B, d), those of all things (N, d) and their own scores (N,); drawn (S,), log q (N,), out (B, S)."""

    somebody: Tensor
    things: Tensor
    own: Tensor
    drawn: Tensor
    log_q: Tensor
    out: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(B, N), as of scores of all things."""
        return len(self.somebody), len(self.things)

    def loss(self, target: Tensor) -> Tensor:
        """Cross-entropy of things (B,)."""
        truth = (self.somebody * self.things[target]).sum(1) + self.own[target]
        others = self.somebody @ self.things[self.drawn].T + self.own[self.drawn]
        others = others - self.log_q[self.drawn] - torch.log(torch.tensor(float(len(self.drawn)), device=others.device))
        others = others.masked_fill(self.out | (self.drawn == target[:, None]), BELOW)
        scores = torch.cat([truth[:, None], others], 1).float()
        return F.cross_entropy(scores, torch.zeros_like(target))
