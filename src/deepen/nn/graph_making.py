"""From codes of its nodes, and one of its own, to a graph.

    h_i    = act(W [z_i, g, cos(k pi t_i) for k = 0...7, m / n])                 t_i = (i + 1/2) / m, the node's place
    link   = Bernoulli(sigmoid(w . act(U (h_i + h_j) + V (h_i * h_j) + b)))      for i < j
    numbers of a node = one tag of softmax(T h_i), or N(T h_i, sigma^2) on the scale of training
    m      = drawn from the sizes of the training graphs

The nodes stand in an order of their own (content/shapes.py), so that what is alike in place is alike in part. What is drawn is
made from the numbers of a draw: Phi of a normal number is a chance, so a graph is a function of its draw.

Letters  B graphs, n most nodes, m nodes there are, d code, g code of the graph, w numbers of a node
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLACES = 8
WIDTH = 64
LEAST = -4.0  # of log sigma


class Truth:
    """Graphs (B, n, 1 + w + n) as they are learnt from."""

    def __init__(self, graphs: Tensor, width: int) -> None:
        self.there, self.nodes, self.links = graphs.split([1, width, graphs.shape[1]], 2)
        self.there = self.there[..., 0]  # (B, n)

    def edges(self) -> Tensor:
        """Of all graphs side by side, (2, E)."""
        graph, source, target = self.links.nonzero().T
        return torch.stack([source, target]) + graph * self.links.shape[1]


class GraphMaker(nn.Module):
    """Codes of nodes and of the graph (B, n + 1, d), the graph's last, and how many nodes there are, to a graph."""

    pairs: Tensor
    sizes: Tensor
    average: Tensor
    deviation: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.most, self.code, self.tags, self.numbers = kind.most, kind.code, kind.tags, len(kind.mean)
        self.body = nn.Sequential(
            nn.Linear(2 * kind.code + PLACES + 1, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU()
        )
        self.sums, self.products = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.link = nn.Sequential(nn.SiLU(), nn.Linear(WIDTH, 1))
        self.tell = nn.Linear(WIDTH, self.numbers)
        self.sigma = None if self.tags else nn.Parameter(torch.zeros(self.numbers))  # its logarithm
        count = torch.tensor(kind.sizes, dtype=torch.float64)
        self.register_buffer("sizes", (count.cumsum(0) / count.sum()).float())
        self.register_buffer("average", torch.tensor(kind.mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(kind.scale, dtype=torch.float32))
        low, high = torch.triu_indices(self.most, self.most, 1)
        pairs = torch.zeros(self.most, self.most, dtype=torch.int64)
        pairs[low, high] = pairs[high, low] = torch.arange(len(low))
        self.register_buffer("pairs", pairs.flatten())  # of each pair its coin

    @property
    def inside(self) -> int:
        """Numbers that `seen` gives of a node."""
        return self.numbers + PLACES + 1

    def scaled(self, nodes: Tensor) -> Tensor:
        """On the scale of training; a number that never differs is 0."""
        return (nodes - self.average) / torch.where(self.deviation > 0, self.deviation, 1.0)

    def placed(self, size: Tensor) -> Tensor:
        """Where each node stands, (B, n, PLACES + 1), by how many there are (B,)."""
        place = (torch.arange(self.most, device=size.device) + 0.5) / size.clamp(min=1).unsqueeze(1)  # (B, n)
        waves = torch.cos(place.unsqueeze(2) * torch.arange(PLACES, device=size.device) * math.pi)
        share = (size / self.most).view(-1, 1, 1).expand(-1, self.most, 1)
        return torch.cat([waves, share], 2)

    def seen(self, truth: Truth) -> Tensor:
        """What is known of each node but its links, (B, n, inside)."""
        return torch.cat([self.scaled(truth.nodes), self.placed(truth.there.sum(1))], 2)

    def forward(self, code: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """What tells the numbers (B, n, w), and the log odds of links (B, n, n)."""
        whole = code[:, -1:].expand(-1, self.most, -1)
        h = self.body(torch.cat([code[:, :-1], whole, self.placed(size)], 2))
        total, product = h.unsqueeze(1) + h.unsqueeze(2), h.unsqueeze(1) * h.unsqueeze(2)
        return self.tell(h), self.link(self.sums(total) + self.products(product)).squeeze(3)

    def log_likelihood(self, code: Tensor, truth: Truth) -> Tensor:
        """log p(graph | codes, size) in nats, (B,)."""
        told, odds = self(code, truth.there.sum(1))
        both = (truth.there.unsqueeze(1) * truth.there.unsqueeze(2)).triu(1)
        links = -(F.binary_cross_entropy_with_logits(odds, truth.links, reduction="none") * both).sum((1, 2))
        if self.sigma is None:
            each = (truth.nodes * told.log_softmax(2)).sum(2)
        else:
            spread = self.sigma.clamp(min=LEAST)
            apart = ((self.scaled(truth.nodes) - told) / spread.exp()).square()
            each = -0.5 * (apart + 2 * spread + math.log(2 * math.pi)).sum(2)
        return links + (each * truth.there).sum(1)

    def parted(self, draw: Tensor) -> list[Tensor]:
        """A draw's numbers for the size (B, 1), the codes, the noise of the nodes' numbers and the coins."""
        noise = 1 if self.tags else self.numbers
        return list(
            draw.split([1, (self.most + 1) * self.code, self.most * noise, self.most * (self.most - 1) // 2], 1)
        )

    def made(self, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The graphs of draws (B, draws): nodes (B, n, w), links (B, n, n), sizes (B,)."""
        first, code, noise, coins = self.parted(draw)
        size = (chance(first) > self.sizes).sum(1)
        there = (torch.arange(self.most, device=draw.device) < size.unsqueeze(1)).float()
        told, odds = self(code.unflatten(1, (self.most + 1, self.code)), size)
        noise = noise.unflatten(1, (self.most, -1))
        if self.sigma is None:
            place = (chance(noise) > told.softmax(2).cumsum(2)).sum(2, keepdim=True).clamp(max=self.numbers - 1)
            nodes = (place == torch.arange(self.numbers, device=draw.device)).float()
        else:
            nodes = (told + noise * self.sigma.clamp(min=LEAST).exp()) * self.deviation + self.average
        coin = chance(coins).index_select(1, self.pairs).unflatten(1, (self.most, self.most))
        apart = 1 - torch.eye(self.most, device=draw.device)
        links = (coin < odds.sigmoid()).float() * there.unsqueeze(1) * there.unsqueeze(2) * apart
        return nodes * there.unsqueeze(2), links, size


def chance(draw: Tensor) -> Tensor:
    """Phi: normal numbers to even ones between 0 and 1."""
    return 0.5 * (1 + torch.erf(draw / math.sqrt(2)))
