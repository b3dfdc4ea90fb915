"""Normalising flow of affine couplings: a density that is exact, and items made by running it backwards.

    x_a stays, y_b = x_b exp(s(x_a)) + t(x_a), log |dy / dx| = sum s(x_a)        a, b: the two halves, in turn
    log p(x) = log N(z; 0, I) + sum over couplings of log |dy / dx|              z: what comes out in the end

Paper    Dinh, Sohl-Dickstein, Bengio 2017, "Density estimation using real NVP", arXiv:1605.08803, eq. 4 to 8.
Differs  s is bounded by tanh to REACH; halves are even and odd places. It begins as the identity: one normal distribution.
Letters  B items, d numbers
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.density import Density
from deepen.nn.coding import shape_of
from deepen.nn.layers import activation as activation_of
from deepen.schema import Activation, Count
from deepen.signature import Signature

REACH = 2.0  # of the logarithm of a scale


class Flow(nn.Module):
    """The exact density of arrays and of rows of numbers; with labels what comes out of the flow is classified.

    couplings  in a row; each changes half of the numbers by the other half
    hidden     widths of the dense layers within a coupling
    """

    aliases: dict[str, dict[str, int]] = {"real_nvp": {}}
    takes = ("array", "row")
    kinds = ("density",)
    alone = "max_likelihood"
    tiny = {"couplings": 6, "hidden": [32], "activation": "relu"}

    def __init__(
        self,
        signature: Signature,
        couplings: Count = 16,
        hidden: tuple[Count, ...] = (64, 64),
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.shape = shape_of(signature, "flow")
        width = math.prod(self.shape)
        if width < 2:
            raise DeepenError(
                "model.input", "model flow", "items of one number", "at least two", "model=gaussian_mixture"
            )
        self.couplings = nn.ModuleList(Coupling(width, i % 2, hidden, activation) for i in range(couplings))
        known = isinstance(signature.answer, Density)
        self.last = None if known else nn.Linear(width, signature.answer.width)

    def through(self, item: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, d) and log |dz / dx| (B,)."""
        z, volume = item.flatten(1), item.new_zeros(1)
        for coupling in self.couplings:
            z, more = coupling(z)
            volume = volume + more
        return z, volume

    def log_density(self, item: Tensor) -> Tensor:
        """log p on the scale of training, (B,)."""
        z, volume = self.through(item)
        return volume - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def back(self, z: Tensor) -> Tensor:
        """Items (B, d) from what would come out, such as normal draws."""
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, Coupling)
            z = coupling.back(z)
        return z

    def sample(self, count: int) -> Tensor:
        """Items made from normal draws, (count, ...) on the scale of training."""
        draws = torch.randn(count, math.prod(self.shape), device=next(self.parameters()).device)
        return self.back(draws).unflatten(1, self.shape)

    def features(self, item: Tensor) -> Tensor:
        """z, (B, d)."""
        return self.through(item)[0]

    def forward(self, item: Tensor) -> Tensor:
        """To log p (B,); for labels to (B, K)."""
        return self.log_density(item) if self.last is None else self.last(self.features(item))


class Coupling(nn.Module):
    """Half of the numbers scaled and moved by a function of the other half; `turn`: 0 the odd places, 1 the even ones."""

    kept: Tensor
    moved: Tensor
    order: Tensor

    def __init__(self, width: int, turn: int, hidden: tuple[int, ...], activate: str) -> None:
        super().__init__()
        places = torch.arange(width)
        kept, moved = places[places % 2 == turn], places[places % 2 != turn]
        self.register_buffer("kept", kept)
        self.register_buffer("moved", moved)
        self.register_buffer("order", torch.cat([kept, moved]).argsort())
        widths = (len(kept), *hidden)
        self.body = nn.Sequential()
        for inside, outside in pairwise(widths):
            self.body.extend([nn.Linear(inside, outside), activation_of(activate)])
        self.last = nn.Linear(widths[-1], 2 * len(moved))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def change(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, each (B, d_b)."""
        scale, shift = self.last(self.body(kept)).chunk(2, 1)
        return REACH * (scale / REACH).tanh(), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = x.index_select(1, self.kept), x.index_select(1, self.moved)
        scale, shift = self.change(kept)
        y = torch.cat([kept, moved * scale.exp() + shift], 1)
        return y.index_select(1, self.order), scale.sum(1)

    def back(self, y: Tensor) -> Tensor:
        kept, moved = y.index_select(1, self.kept), y.index_select(1, self.moved)
        scale, shift = self.change(kept)
        return torch.cat([kept, (moved - shift) * (-scale).exp()], 1).index_select(1, self.order)
