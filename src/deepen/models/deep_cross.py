"""Deep and cross network: products of columns learnt beside, or below, dense layers.

    version 1    x' = x0 (w . x) + b + x              one product with a number, d weights a layer
    version 2    x' = x0 * (W x + b) + x              products column by column, d^2 weights a layer, or 2 d r with a rank
    experts      x' = sum over i of g_i(x) x0 * (U_i tanh(C_i tanh(V_i x)) + b) + x        g: softmax of G x, each of a rank
    parallel     answer = linear([cross(x0), deep(x0)])         stacked     answer = linear(deep(cross(x0)))
    deep         h = dropout(relu(W h + b)) for each hidden layer

After L cross layers there are products of up to L + 1 columns. x0: numbers as they are, embedded categories.

Papers   Wang et al. 2017, "Deep & cross network for ad click predictions", arXiv:1708.05123, eq. 3;
         Wang et al. 2021, "DCN V2", arXiv:2008.13535, eq. 1 (full), eq. 2 (rank), eq. 3 and 4 (experts).
Letters  B items, d features of x0, r rank, K answers; V_i, C_i, U_i of expert i: d to r, r to r, r to d
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.nn.inputs import Flat
from deepen.schema import Count, Natural, Share
from deepen.signature import Signature


class DeepCross(nn.Module):
    """Products of columns beside dense layers; for tables, and for feature vectors beside them.

    version  1: one weight vector a cross layer, 2: a matrix
    cross    how many cross layers: products of up to one column more
    rank     of version 2's matrices, a product of two thin ones; none: whole
    experts  several products of thin matrices in each cross layer, weighed by what goes in; with a rank
    shape    parallel: cross and dense layers both see the columns; stacked: dense layers see what the cross layers give
    """

    aliases = {"dcn": {}, "dcn_v1": {"version": 1}, "dcn_v2": {"version": 2}}
    takes = ("row", "array")
    joins = True
    tiny = {"hidden": [16], "cross": 2}

    def __init__(
        self,
        signature: Signature,
        version: Literal[1, 2] = 2,
        shape: Literal["parallel", "stacked"] = "parallel",
        cross: Natural = 3,
        rank: Count | None = None,
        experts: Count = 1,
        hidden: tuple[Count, ...] = (256, 256),
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        self.flat = Flat(signature)
        width = self.flat.width
        if experts > 1 and (version == 1 or rank is None):
            found = "version 1" if version == 1 else "no rank"
            raise DeepenError(
                "model.experts", "model.experts", f"{experts} with {found}", "version 2 with a rank", "model.rank=32"
            )
        self.cross = nn.ModuleList(
            Product(width)
            if version == 1
            else Experts(width, rank, experts)
            if experts > 1 and rank
            else Matrix(width, rank)
            for _ in range(cross)
        )
        self.parallel = shape == "parallel"
        layers: list[nn.Module] = []
        sizes = [width, *hidden]
        for inside, outside in zip(sizes, hidden):
            layers += [nn.Linear(inside, outside), nn.ReLU(), nn.Dropout(dropout)]
        self.deep = nn.Sequential(*layers)
        self.last = nn.Linear(sizes[-1] + width * self.parallel, signature.answer.width)

    def features(self, *inputs: Tensor) -> Tensor:
        """To (B, last hidden width), in parallel form with d more."""
        start = crossed = self.flat(*inputs)  # (B, d)
        for layer in self.cross:
            crossed = layer(start, crossed)
        return torch.cat([crossed, self.deep(start)], 1) if self.parallel else self.deep(crossed)

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(*inputs))


class Product(nn.Module):
    """x0 (w . x) + b + x, of (B, d) and (B, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # a row: decayed, as matrices are
        self.weight = nn.Parameter(torch.empty(1, width).uniform_(-1, 1) / math.sqrt(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        return start * (x @ self.weight.T) + self.bias + x

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights that were kept as a vector; of a parent of other columns there are none."""
        if (kept := state.get(prefix + "weight")) is not None:
            state[prefix + "weight"] = kept.view(1, -1)
        super()._load_from_state_dict(state, prefix, *rest)


class Matrix(nn.Module):
    """x0 * (W x + b) + x, of (B, d) and (B, d); with a rank W = U V."""

    def __init__(self, width: int, rank: int | None = None) -> None:
        super().__init__()
        self.inner = nn.Linear(width, rank, bias=False) if rank else nn.Identity()
        self.outer = nn.Linear(rank or width, width)
        nn.init.zeros_(self.outer.bias)

    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        return start * self.outer(self.inner(x)) + x


class Experts(nn.Module):
    """sum over i of g_i(x) x0 * (U_i tanh(C_i tanh(V_i x)) + b) + x, of (B, d) and (B, d)."""

    inputs_first = ("down", "middle", "up")

    def __init__(self, width: int, rank: int, experts: int) -> None:
        super().__init__()
        self.down, self.middle, self.up = (
            nn.Parameter(torch.randn(experts, inside, outside) / math.sqrt(inside))
            for inside, outside in ((width, rank), (rank, rank), (rank, width))
        )
        self.bias = nn.Parameter(torch.zeros(width))
        self.gate = nn.Linear(width, experts, bias=False)

    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        inner = torch.tanh(torch.tanh(x @ self.down) @ self.middle)  # (experts, B, r)
        found = start * (inner @ self.up + self.bias)  # (experts, B, d)
        return (found * self.gate(x).softmax(1).T.unsqueeze(2)).sum(0) + x
