"""Graph autoencoder: a code for each node, from which links are told, or whole graphs made.

    q(z_i | X, A) = N(m_i, diag s_i^2)      m, log s: graph convolutions over relu(convolution(h)) of the hidden layers
    p(z_i) = N(0, I)

    links of one graph   p(A_ij = 1 | z) = sigmoid(z_i . z_j)
        bound = mean over links of log p(1) + mean over drawn pairs without a link of log p(0) - KL(q || p) / N^2
    graphs               p(X, A | z, g), where g is a code of the whole graph: nn/graph_making.py
        q(g | X, A)  = as of a node, linear in the mean of h over the nodes
        bound = log p(X, A | z, g) - KL(q || p)

Paper    Kipf and Welling 2016, "Variational graph auto-encoders", arXiv:1611.07308; without the divergence
         (method.beta=0) and the noise it is that paper's plain autoencoder.
Differs  as many pairs without a link as there are links, drawn in each step, in place of all of them with links
         weighted; the nodes' numbers are LENGTH long on average: near 0 products of codes have next to no slope.
Letters  N nodes, E edges, B items, n nodes of the largest graph, d code, K answers
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.errors import DeepenError
from deepen.kinds.graphs import Graphs
from deepen.kinds.link import Link
from deepen.nn.coding import WIDEST, Standard, from_standard
from deepen.nn.graph_making import GraphMaker, Truth
from deepen.nn.graphs import GraphConvolution, Readout, width_of
from deepen.schema import Count, Share
from deepen.signature import Signature

LENGTH = 4.0


class GraphAutoencoder(nn.Module):
    """Links told, or graphs made, from codes of their nodes; with labels the code's mean is classified.

    code     numbers that are known of a node
    hidden   widths of the graph convolutions on the way to the code
    dropout  of the input and of each hidden layer
    """

    aliases: dict[str, dict[str, int]] = {"vgae": {}}
    takes = ("link", "graph", "nodes", "draw")
    kinds = ("link", "graphs", "classes", "labels", "number")
    tiny = {"code": 4, "hidden": [8]}
    gain: Tensor

    def __init__(
        self, signature: Signature, code: Count = 16, hidden: tuple[Count, ...] = (32,), dropout: Share = 0.0
    ) -> None:
        super().__init__()
        answer = signature.answer
        self.links, self.back = isinstance(answer, Link), GraphMaker(answer) if isinstance(answer, Graphs) else None
        widths = [self.back.inside if self.back else width_of(signature), *hidden]
        self.body = nn.ModuleList(GraphConvolution(a, b) for a, b in pairwise(widths))
        self.mean = GraphConvolution(widths[-1], code)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("gain", torch.ones(()))
        if self.links or self.back:
            self.spread = GraphConvolution(widths[-1], code)
            self.prior = Standard()
        if self.back:
            self.whole = nn.Linear(widths[-1], 2 * code)
        elif not self.links:
            self.readout = Readout(signature, "mean")
            self.last = nn.Sequential(nn.ReLU(), nn.Linear(code, answer.width))

    def measure(self, nodes: Tensor, *_: Tensor) -> None:
        """How long the nodes' numbers are."""
        if not self.back:
            self.gain.copy_(LENGTH / nodes.square().sum(1).mean().sqrt().clamp(min=1e-6))

    def states(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """What the codes are computed from, (N, hidden)."""
        nodes = self.dropout(nodes * self.gain)
        for layer in self.body:
            nodes = self.dropout(F.relu(layer(nodes, edges)))
        return nodes

    def posterior(self, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """m and log s, each (N, d)."""
        h = self.states(nodes, edges)
        return self.mean(h, edges), self.spread(h, edges).clamp(-WIDEST, WIDEST)

    def drawn(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes (N, d), how well the items are told (B,), and the divergence: of a graph's links ()."""
        return self._graphs(*inputs) if self.back else self._links(*inputs)

    def _links(self, nodes: Tensor, edges: Tensor, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, spread = self.posterior(nodes, edges)
        code = mean + spread.exp() * torch.randn_like(mean)
        other, free = others(edges, len(nodes), len(pair))
        missed = F.logsigmoid(-odds(code, other)) * free / free.mean().clamp(min=1 / len(pair))
        return code, F.logsigmoid(odds(code, pair)) + missed, from_standard(mean, spread).mean() / len(nodes)

    def _graphs(self, graphs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of graphs (B, n, 1 + w + n), nodes in their order; the divergence in nats, (B,)."""
        assert self.back
        truth = Truth(graphs, self.back.numbers)
        edges, there = truth.edges(), truth.there.unsqueeze(2)
        h = self.states(self.back.seen(truth).flatten(0, 1), edges)
        nodes = torch.cat([self.mean(h, edges), self.spread(h, edges)], 1).unflatten(0, truth.there.shape)
        whole = (h.unflatten(0, truth.there.shape) * there).sum(1, True) / there.sum(1, True)
        mean, spread = torch.cat([nodes, self.whole(whole)], 1).chunk(2, 2)  # the graph's own stands behind its nodes'
        spread, there = spread.clamp(-WIDEST, WIDEST), F.pad(truth.there, (0, 1), value=1.0)
        code = mean + spread.exp() * torch.randn_like(mean)
        divergence = (from_standard(mean, spread) * there).sum(1)
        return code[there > 0], self.back.log_likelihood(code, truth), divergence

    def bound(self, *inputs: Tensor, count: int) -> Tensor:
        """One draw for all nodes of a graph: none of them has a density of its own."""
        raise DeepenError("method.samples", "method.samples", f"got {count} for graphs", "1", "leave it out")

    def features(self, *inputs: Tensor) -> Tensor:
        """The code's mean (B, d); of a pair those of both nodes, side by side (B, 2d); of a draw the codes in it."""
        if self.back:
            return self.back.parted(inputs[0])[1]
        nodes, edges, item = inputs
        mean = self.mean(self.states(nodes, edges), edges)
        return ends(mean, item).flatten(1) if self.links else self.readout(mean, item)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Log odds of links (B,), graphs that are made, or with labels (B, K)."""
        if self.back:
            return self.back.made(*inputs)
        nodes, edges, item = inputs
        mean = self.mean(self.states(nodes, edges), edges)
        return odds(mean, item) if self.links else self.last(self.readout(mean, item))


def ends(code: Tensor, pair: Tensor) -> Tensor:
    """The codes of both nodes of each pair, (B, 2, d)."""
    return code.index_select(0, pair.flatten()).view(-1, 2, code.shape[1])


def odds(code: Tensor, pair: Tensor) -> Tensor:
    """z_i . z_j of each pair, (B,)."""
    return ends(code, pair).prod(1).sum(1)


def others(edges: Tensor, nodes: int, count: int) -> tuple[Tensor, Tensor]:
    """Pairs of different nodes drawn alike (count, 2), and which of them have no edge, float (count,)."""
    first = torch.randint(nodes, (count,), device=edges.device)
    second = (first + torch.randint(1, max(nodes, 2), (count,), device=edges.device)) % nodes
    linked = torch.isin(first * nodes + second, edges[0] * nodes + edges[1])
    return torch.stack([first, second], 1), (~linked & (first != second)).float()
