"""A dense layer that holds only some of its connections.

    y_i = b_i + sum over j in P_i of w_ij x_j        P_i: the places unit i looks at, as many for each, drawn once

Paper    fixed random connections: Mocanu et al. 2018, arXiv:1707.04780, before its rewiring.
Differs  every unit has as many connections as another, so none is left without. Only the weights of connections are
         held: what is not there can neither learn, decay, be averaged nor be exported as anything but 0.
Letters  B items, d inputs, h units, k connections of a unit
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Sparse(nn.Module):
    """(B, d) to (B, h) through a share `1 - sparsity` of the connections, at least one for each unit."""

    places: Tensor

    def __init__(self, inside: int, outside: int, sparsity: float) -> None:
        super().__init__()
        self.inside = inside
        kept = max(1, round((1 - sparsity) * inside))
        self.register_buffer("places", torch.rand(outside, inside).topk(kept).indices.sort().values)  # (h, k)
        reach = kept**-0.5  # as torch's own dense layer begins
        self.weight = nn.Parameter(torch.empty(outside, kept).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.empty(outside).uniform_(-reach, reach))

    def dense(self) -> Tensor:
        """All weights (h, d), 0 where there is no connection."""
        return self.weight.new_zeros(len(self.weight), self.inside).scatter(1, self.places, self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.dense(), self.bias)


def dense(inside: int, outside: int, sparsity: float = 0.0) -> nn.Module:
    """A dense layer, or one with only some of its connections."""
    return Sparse(inside, outside, sparsity) if sparsity else nn.Linear(inside, outside)
