"""Multilayer perceptron for tables: every number is embedded piece by piece, every category looked up.

    e_t(x) = clamp((x - b_t) / (b_{t+1} - b_t), 0, 1)        b: quantiles of the column over training rows, t = 1..T
    h = [relu(W_j e(x_j) + c_j) for each number j, table_k[code_k] for each category k]
    h = dropout(act(norm(W h + b))) for each hidden layer, then a linear layer

A tree splits a column anywhere; a plain perceptron sees it as one straight line. The pieces give it the same freedom.

Paper    Gorishniy, Rubachev, Babenko 2022, "On embeddings for numerical features in tabular deep learning",
         arXiv:2203.05556, eq. 1 and 2 (quantile bins, PLE-LR); categories: Guo and Berkhahn 2016, arXiv:1604.06737.
Differs  half of the borders are quantiles of the different values: a column may be zero nine times out of ten;
         the first piece goes on to -1 and the last to 2 beyond the training range, not without end.
Letters  B items, d numbers, T pieces, e embedding width, K classes
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.inputs import Flat
from deepen.nn.layers import activation as activation_of
from deepen.schema import Activation, Count, Share
from deepen.signature import Signature


class TabMLP(nn.Module):
    """Dense layers over piecewise-linear embeddings of numbers and embedded categories; for tables.

    pieces     bins per number, between quantiles of the training rows
    embedding  width each number is brought to
    """

    takes = ("row", "array")
    joins = True
    tiny = {"hidden": [16], "pieces": 4, "embedding": 4}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (256, 256),
        pieces: Count = 32,
        embedding: Count = 16,
        activation: Activation = "relu",
        dropout: Share = 0.2,
    ) -> None:
        super().__init__()
        self.flat = Flat(signature)
        self.places = [i for i in range(len(signature.tensors)) if str(i) not in self.flat.embeddings]
        count = sum(math.prod(int(n) for n in signature.tensors[i].shape[1:]) for i in self.places)
        self.pieces = Pieces(count, pieces, embedding) if count else None
        width = self.flat.width - count + count * embedding
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), activation_of(activation), nn.Dropout(dropout)]
            width = size
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(width, signature.answer.width)

    def measure(self, *inputs: Tensor) -> None:
        """Take the pieces' borders from the training rows."""
        if self.pieces is not None:
            self.pieces.fit(self._numbers(inputs))

    def _numbers(self, inputs: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([torch.flatten(inputs[i], 1) for i in self.places], 1)  # (B, d)

    def features(self, *inputs: Tensor) -> Tensor:
        """To (B, width of the last hidden layer)."""
        parts = [table(inputs[int(i)]) for i, table in self.flat.embeddings.items()]
        if self.pieces is not None:
            parts.insert(0, self.pieces(self._numbers(inputs)))
        return self.body(torch.cat(parts, 1))

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(*inputs))


class Pieces(nn.Module):
    """Numbers (B, d) to (B, d * width): piecewise-linear codes, a linear layer and ReLU per number."""

    inputs_first = ("weight",)
    low: Tensor
    slope: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, count: int, pieces: int, width: int) -> None:
        super().__init__()
        # until it is fitted: one piece, the number itself
        self.register_buffer("low", torch.zeros(count, pieces))
        self.register_buffer("slope", F.one_hot(torch.zeros(count, dtype=torch.int64), pieces).float())
        self.register_buffer("least", torch.full((count, pieces), -10.0))
        self.register_buffer("most", torch.full((count, pieces), 10.0))
        bound = 1 / math.sqrt(pieces)
        self.weight = nn.Parameter(torch.empty(count, pieces, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, width).uniform_(-bound, bound))

    @torch.no_grad()
    def fit(self, numbers: Tensor) -> None:
        """A column with fewer different values than pieces gets fewer pieces, the others stay 0."""
        count, pieces = self.low.shape
        for column in range(count):
            borders = borders_of(numbers[:, column].double().cpu(), pieces)
            used = len(borders) - 1
            self.low[column], self.slope[column], self.least[column], self.most[column] = 0.0, 0.0, 0.0, 1.0
            if used:
                self.low[column, :used] = borders[:-1].to(self.low)
                self.slope[column, :used] = (1 / borders.diff()).to(self.low)
                self.least[column, 0] = -1.0
                self.most[column, used - 1] = 2.0

    def forward(self, numbers: Tensor) -> Tensor:
        share = (numbers.unsqueeze(2) - self.low) * self.slope  # (B, d, T)
        codes = torch.minimum(torch.maximum(share, self.least), self.most)
        embedded = torch.bmm(codes.transpose(0, 1), self.weight).transpose(0, 1) + self.bias  # (B, d, e)
        return F.relu(embedded).flatten(1)


def borders_of(values: Tensor, pieces: int) -> Tensor:
    """At most `pieces` + 1 rising borders: quantiles of the rows, and as many of the different values among them.

    By rows alone a column that is zero nine times out of ten would be one piece, by values alone one outlier many.
    """

    def quantiles(some: Tensor, parts: int) -> Tensor:
        return torch.quantile(some, torch.linspace(0, 1, parts + 1, dtype=some.dtype), interpolation="nearest")

    by_value = quantiles(values.unique(), pieces // 2)[1:-1] if pieces > 1 else values[:0]
    return torch.cat([quantiles(values, pieces - pieces // 2), by_value]).unique()
