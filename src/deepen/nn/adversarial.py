"""What networks that play against each other are made of.

    spectral    W / s(W), s: the largest singular value, by one step of power iteration in each training pass
                v = W^T u / |W^T u|,  u = W v / |W v|,  s = u^T W v
    SelfAttention   y_j = x_j + gamma V sum over i of softmax_i(f(x_i) . g(x_j)) h(x_i)        gamma begins as 0
    Levels      a picture's levels from tanh, on the scale of training

Papers   Miyato et al. 2018, arXiv:1802.05957, algorithm 1; Zhang et al. 2019, arXiv:1805.08318, eq. 1 to 3.
Letters  B items, C channels, N places
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.kinds.sample import Sample
from deepen.nn.coding import shape_of
from deepen.signature import Signature

EPS = 1e-12
WARM = 15  # steps of power iteration before the first pass


class Spectral(nn.Module):
    """A dense or convolution layer whose weights are divided by their largest singular value."""

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        matrix = layer.weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0, eps=EPS))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]), dim=0, eps=EPS))
        for _ in range(WARM):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=EPS))
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0, eps=EPS))

    def weight(self) -> Tensor:
        """The weights as they are used."""
        matrix = self.layer.weight.flatten(1)
        if self.training:
            self._iterate(matrix.detach())
        return self.layer.weight / torch.dot(self.u.clone(), matrix @ self.v.clone())

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.Linear):
            return F.linear(x, self.weight(), self.layer.bias)
        return F.conv2d(x, self.weight(), self.layer.bias, self.layer.stride, self.layer.padding)


def held(layer: Any, spectral: bool) -> nn.Module:
    """The layer, its weights normalised where asked for."""
    return Spectral(layer) if spectral else layer


class SelfAttention(nn.Module):
    """(B, C, H, W) to the same: each place looks at all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.keys, self.queries, self.values = (
            Spectral(nn.Conv2d(channels, width, 1, bias=False)) for width in (narrow, narrow, half)
        )
        self.out = Spectral(nn.Conv2d(half, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        keys, queries, values = (part(maps).flatten(2) for part in (self.keys, self.queries, self.values))
        share = (keys.transpose(1, 2) @ queries).softmax(1)  # (B, N, N): over the keys
        heard = (values @ share).unflatten(2, maps.shape[2:])
        return maps + self.gamma * self.out(heard)


class Levels(nn.Module):
    """Pictures (B, C, H, W) of any numbers to levels from 0 to 255 by tanh, on the scale of training."""

    low: Tensor
    span: Tensor

    def __init__(self, kind: Any) -> None:
        super().__init__()
        mean, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (kind.mean, kind.scale))
        self.register_buffer("low", (127.5 - mean) * scale)
        self.register_buffer("span", 127.5 * scale)

    def forward(self, maps: Tensor) -> Tensor:
        return maps.tanh() * self.span + self.low


class ResidualUp(nn.Module):
    """Norm, ReLU, twice the size, convolution, norm, ReLU, convolution; with a way around. (B, C, H, W)."""

    def __init__(self, inside: int, outside: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (inside, outside))
        self.first = Spectral(nn.Conv2d(inside, outside, 3, padding=1))
        self.second = Spectral(nn.Conv2d(outside, outside, 3, padding=1))
        self.around = Spectral(nn.Conv2d(inside, outside, 1))
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        h = self.first(F.interpolate(self.norms[0](maps).relu(), self.size))
        h = self.second(self.norms[1](h).relu())
        return h + self.around(F.interpolate(maps, self.size))


class ResidualDown(nn.Module):
    """ReLU, convolution, ReLU, convolution, half the size; with a way around. `first`: without the leading ReLU."""

    def __init__(self, inside: int, outside: int, first: bool = False) -> None:
        super().__init__()
        self.first = Spectral(nn.Conv2d(inside, outside, 3, padding=1))
        self.second = Spectral(nn.Conv2d(outside, outside, 3, padding=1))
        self.around = Spectral(nn.Conv2d(inside, outside, 1))
        self.leading = not first

    def forward(self, maps: Tensor) -> Tensor:
        h = self.second(self.first(maps.relu() if self.leading else maps).relu())
        return halved(h) + self.around(halved(maps))


def halved(maps: Tensor) -> Tensor:
    """Means of 2 x 2 places; an odd row or column stands for itself."""
    return F.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)


class Judge(nn.Module):
    """A view of items (B, d) and, of a critic, one number of it (B,): the higher, the likelier true."""

    def __init__(self, body: nn.Module, last: nn.Module | None) -> None:
        super().__init__()
        self.body, self.last = body, last

    def forward(self, item: Tensor) -> Tensor:
        assert self.last is not None
        return self.last(self.body(item)).squeeze(1)


class Adversaries(nn.Module):
    """A generator with its critic, as one network: it makes items from draws. With labels it is the critic's view of an
    item and a layer on it, so that a run without labels can be the parent of one with few.

    generator  draws (B, d) to items on the scale of training
    critic     items to (B,)
    """

    generator: nn.Module | None
    critic: Judge
    last: nn.Module | None

    def __init__(self, signature: Signature, model: str) -> None:
        super().__init__()
        kind = signature.answer
        self.makes = isinstance(kind, Sample)
        if self.makes:
            height, width, channels = kind.shape if kind.picture else (0, 0, 0)
            self.shape: tuple[int, ...] = (channels, height, width) if kind.picture else kind.shape
        else:
            self.shape = shape_of(signature, model)

    def finish(self, body: nn.Module, width: int, generator: nn.Module, answers: int, spectral: bool = False) -> None:
        """Put the parts in their places; `width` features come out of the critic's body, so many answers are asked."""
        self.critic = Judge(body, held(nn.Linear(width, 1), spectral) if self.makes else None)
        self.generator = generator if self.makes else None
        self.last = None if self.makes else nn.Linear(width, answers)

    def features(self, item: Tensor) -> Tensor:
        """What the critic sees, (B, d); of a generator the draws, which are the code of what it makes."""
        return item if self.makes else self.critic.body(item)

    def forward(self, item: Tensor) -> Tensor:
        if self.generator is not None:
            return self.generator(item)
        assert self.last is not None
        return self.last(self.critic.body(item))
