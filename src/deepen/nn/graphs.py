"""Layers that pass messages along the edges of a graph of any size, and what reads answers from its nodes.

    GraphConvolution   h_i = b + sum over j in N(i) and i itself of W x_j / sqrt(d_i d_j)        d: edges that arrive, and 1
    GraphAttention     h_i = b + sum over j in N(i) and i itself of a_ij W x_j,
                       a_ij = softmax over j of leaky_relu(s . W x_j + t . W x_i)                for each head
    Aggregate          h_i = W x_i + b + V mean (or max, or sum) over j in N(i) of x_j

Papers   Kipf and Welling 2017, arXiv:1609.02907, eq. 2; Velickovic et al. 2018, arXiv:1710.10903, eq. 1 to 6;
         Hamilton et al. 2017, arXiv:1706.02216, algorithm 1.
Letters  N nodes, E edges, d features of a node, H heads, B items; N(i): nodes from which an edge leads to i

nodes (N, d); edges int64 (2, E), from row 0 to row 1, without any from a node to itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.preprocess.graph import Graph
from deepen.signature import Signature

SLOPE = 0.2  # of attention's leaky ReLU


class GraphConvolution(nn.Module):
    """(N, inside) to (N, outside)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside, bias=False)
        self.bias = nn.Parameter(torch.zeros(outside))
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        source, target = edges[0], edges[1]
        arriving = torch.ones_like(nodes[:, 0]).index_add(0, target, torch.ones_like(target, dtype=nodes.dtype))
        root = arriving.rsqrt().unsqueeze(1)
        sent = self.linear(nodes) * root
        return sent.index_add(0, target, sent.index_select(0, source)) * root + self.bias


class GraphAttention(nn.Module):
    """(N, inside) to (N, heads * outside), or with `mean` to (N, outside); `dropout` of the attention."""

    def __init__(self, inside: int, outside: int, heads: int, dropout: float = 0.0, mean: bool = False) -> None:
        super().__init__()
        self.heads, self.mean = heads, mean
        self.linear = nn.Linear(inside, heads * outside, bias=False)
        self.speaks, self.hears = (nn.Parameter(torch.empty(heads, outside)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(outside if mean else heads * outside))
        self.dropout = nn.Dropout(dropout)
        for weight in (self.linear.weight, self.speaks, self.hears):
            nn.init.xavier_uniform_(weight)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        own = torch.arange(nodes.shape[0], device=nodes.device)
        source, target = torch.cat([edges[0], own]), torch.cat([edges[1], own])
        values = self.linear(nodes).view(nodes.shape[0], self.heads, -1)  # (N, H, outside)
        speaks, hears = (values * self.speaks).sum(2), (values * self.hears).sum(2)  # (N, H)
        score = F.leaky_relu(speaks.index_select(0, source) + hears.index_select(0, target), SLOPE)  # (E + N, H)
        share = self.dropout(softmax(score, target, nodes.shape[0]))
        heard = values.index_select(0, source) * share.unsqueeze(2)
        found = torch.zeros_like(values).index_add(0, target, heard)
        return (found.mean(1) if self.mean else found.flatten(1)) + self.bias


class Aggregate(nn.Module):
    """(N, inside) to (N, outside); `how`: mean, max or sum of the neighbours, 0 where there are none."""

    def __init__(self, inside: int, outside: int, how: str = "mean") -> None:
        super().__init__()
        self.how = how
        self.own, self.others = nn.Linear(inside, outside), nn.Linear(inside, outside, bias=False)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        heard = gather(nodes.index_select(0, edges[0]), edges[1], nodes.shape[0], self.how)
        return self.own(nodes) + self.others(heard)


def softmax(score: Tensor, place: Tensor, places: Any) -> Tensor:
    """Scores (E, H) to shares that add up to 1 over the rows of each place int64 (E,)."""
    highest = gather(score.detach(), place, places, "max")
    grown = (score - highest.index_select(0, place)).exp()
    return grown / gather(grown, place, places, "sum").index_select(0, place)


def gather(rows: Tensor, place: Tensor, places: Any, how: str) -> Tensor:
    """Rows (E, d) to (places, d): the sum, mean or max of those of each place int64 (E,); 0 where there are none."""
    empty = rows.new_zeros((places, rows.shape[1]))
    if how == "max":
        spread = place.unsqueeze(1).expand(-1, rows.shape[1])
        return empty.scatter_reduce(0, spread, rows, "amax", include_self=False)
    total = empty.index_add(0, place, rows)
    if how == "sum":
        return total
    count = rows.new_zeros((places, 1)).index_add(0, place, torch.ones_like(rows[:, :1]))
    return total / count.clamp(min=1)


class MessageNet(nn.Module):
    """Layers of messages, each with an activation and dropout behind it, then the answers.

    last   of graphs a layer behind the pooling; of nodes one more layer of messages
    norms  one for each layer of the body, in front of its activation
    """

    def __init__(
        self, signature: Signature, body: list[nn.Module], norms: list[nn.Module], last: nn.Module, activate: nn.Module,
        dropout: float, pool: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.body, self.norms, self.last, self.activate = nn.ModuleList(body), nn.ModuleList(norms), last, activate
        self.dropout = nn.Dropout(dropout)
        self.readout = Readout(signature, pool)

    def states(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Of all nodes, (N, d)."""
        nodes = self.dropout(nodes)
        for layer, norm in zip(self.body, self.norms):
            nodes = self.dropout(self.activate(norm(layer(nodes, edges))))
        return nodes

    def features(self, nodes: Tensor, edges: Tensor, item: Tensor) -> Tensor:
        """To (B, d)."""
        return self.readout(self.states(nodes, edges), item)

    def forward(self, nodes: Tensor, edges: Tensor, item: Tensor) -> Tensor:
        """To (B, K)."""
        states = self.states(nodes, edges)
        if self.readout.pool:
            return self.last(self.readout(states, item))
        return self.readout(self.last(states, edges), item)


class Readout(nn.Module):
    """States of nodes (N, d) to states of items (B, d): items that are graphs are pooled, items that are nodes read."""

    def __init__(self, signature: Signature, pool: str) -> None:
        super().__init__()
        self.pool = pool if of_graphs(signature) else ""

    def forward(self, states: Tensor, item: Tensor) -> Tensor:
        """`item`: of each node its graph int64 (N,), or of each item its node int64 (B,)."""
        if not self.pool:
            return states.index_select(0, item)
        graphs: Any = item[-1] + 1  # items come in order, each with a node
        return gather(states, item, graphs, self.pool)


def norm_of(name: str, width: int) -> nn.Module:
    """`layer`, over the features of each node on its own, or `none`."""
    return nn.LayerNorm(width) if name == "layer" else nn.Identity()


def of_graphs(signature: Signature) -> bool:
    """Whether the items are whole graphs."""
    return isinstance(next(iter(signature.inputs.values())), Graph)


def width_of(signature: Signature) -> int:
    """How many numbers each node carries."""
    (graph,) = signature.inputs.values()
    return graph.width
