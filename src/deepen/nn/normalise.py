"""The first step of every trained thing: from encoded items to well-scaled float tensors, fitted on training rows.

It is inside the exported graph, so no server can get it wrong. One class per encoder, found by the encoder's name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.preprocess.audio import OUTSIDE
from deepen.signature import Signature
from deepen.tensors import Arrays, Columns, Windows

MOST = 20_000  # rows a statistic is taken from
LARGEST_SQUARED = 1e15  # above it squares and their sums leave float32


def sample(rows: Any) -> Any:
    """At most 20,000 of the rows, evenly taken."""
    return rows[:: max(1, -(-len(rows) // MOST))]


def some(column: Any, rows: np.ndarray) -> Any:
    """Some of the items; windows stay where they lie."""
    return column.only(rows) if isinstance(column, Windows) else column[rows]


class Image(nn.Module):
    """uint8 (B, H, W, C) to float (B, C, H, W) with mean 0 and deviation 1 per channel over the training pixels.

    Where a picture lies in its frame is for the program, not for the network.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, encoder.channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, encoder.channels, 1, 1))

    def fit(self, image: np.ndarray, *_: np.ndarray) -> None:
        levels = np.arange(256)
        for channel in range(image.shape[-1]):
            count = torch.bincount(torch.from_numpy(image)[..., channel].reshape(-1), minlength=256).numpy()
            mean = (count @ levels) / count.sum()
            deviation = np.sqrt((count @ (levels - mean) ** 2) / count.sum())
            self.mean[0, channel] = mean
            self.scale[0, channel] = 1 / max(deviation, 1.0)

    def forward(self, image: Tensor, *_: Tensor) -> Tensor:
        # planes: scaled six times faster than pixels (see layout.py for what convolutions want); moved as bytes, which
        # is a quarter of moving floats
        planes = image.permute(0, 3, 1, 2).contiguous()
        return (planes.to(self.mean.dtype) - self.mean).mul_(self.scale)


class Numbers(nn.Module):
    """float (B, ...) with NaN for missing, to mean 0 and deviation 1 per place; missing becomes the mean."""

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def fit(self, numbers: np.ndarray) -> None:
        some = np.isfinite(numbers).any(0)
        if numbers.dtype == np.float32 and np.nanmax(np.abs(numbers), initial=0.0) > LARGEST_SQUARED:
            numbers = numbers.astype(np.float64)
        mean = np.where(some, np.nanmean(np.where(some, numbers, 0.0), 0, dtype=np.float64), 0.0)
        deviation = np.where(some, np.nanstd(np.where(some, numbers, 0.0), 0, dtype=np.float64), 0.0)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(
            torch.from_numpy(1 / np.where(deviation > 1e-8 * np.abs(mean), np.maximum(deviation, 1e-30), 1.0))
        )

    def forward(self, numbers: Tensor) -> Tensor:
        scaled = (numbers - self.mean) * self.scale
        return torch.where(torch.isnan(scaled), torch.zeros_like(scaled), scaled).clamp(-10, 10)


class Row(nn.Module):
    """numbers scaled; category codes as they are: the network embeds them."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        widths = [t.shape[1] for t in encoder.tensors if t.name == "numbers"]
        self.numbers = Numbers((int(widths[0]),)) if widths else None

    def fit(self, *columns: np.ndarray) -> None:
        if self.numbers is not None:
            self.numbers.fit(columns[0])

    def forward(self, *columns: Tensor) -> tuple[Tensor, ...]:
        if self.numbers is None:
            return columns
        return (self.numbers(columns[0]), *columns[1:])


class Array(Numbers):
    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder.shape)


class Series(nn.Module):
    """float (B, C, L) to mean 0 and deviation 1 of each column's training rows; missing becomes the mean."""

    mean: Tensor
    scale: Tensor

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(encoder.mean, dtype=torch.float32).view(-1, 1))
        self.register_buffer("scale", 1 / torch.tensor(encoder.scale, dtype=torch.float32).view(-1, 1))

    def fit(self, *columns: Any) -> None:
        """The encoder has them: the answers are on the same scale."""

    def forward(self, series: Tensor) -> Tensor:
        scaled = (series - self.mean) * self.scale
        return torch.where(torch.isnan(scaled), torch.zeros_like(scaled), scaled).clamp(-1000, 1000)


class Text(nn.Module):
    """Numbers of words, or of things, go in as they are."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()

    def fit(self, *columns: np.ndarray) -> None:
        pass

    def forward(self, *columns: Tensor) -> tuple[Tensor, ...]:
        return columns


class Draw(nn.Module):
    """Draws are normal numbers already."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()

    def fit(self, *columns: np.ndarray) -> None:
        pass

    def forward(self, draw: Tensor) -> Tensor:
        return draw


class Audio(nn.Module):
    """Loudness (B, L, pitches) to mean 0 and deviation 1 per pitch; what fills up stays as it is."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.numbers = Numbers((encoder.pitches,))

    def fit(self, sound: np.ndarray) -> None:
        frames = sound.reshape(-1, sound.shape[-1])
        self.numbers.fit(frames[frames[:, 0] > OUTSIDE / 2])

    def forward(self, sound: Tensor) -> Tensor:
        return torch.where(sound > OUTSIDE / 2, self.numbers(sound), OUTSIDE)


class Shares(nn.Module):
    """Counts (N, d), none of them negative, to shares of their row's sum; missing counts as 0."""

    def fit(self, counts: np.ndarray) -> None:
        pass

    def forward(self, counts: Tensor) -> Tensor:
        counts = torch.where(torch.isnan(counts), torch.zeros_like(counts), counts).clamp(min=0)
        return counts / counts.sum(1, keepdim=True).clamp(min=1)


def of_nodes(encoder: Any) -> Numbers | Shares:
    """What scales the numbers that nodes carry."""
    return Shares() if encoder.scale == "rows" else Numbers((encoder.width,))


class Graph(nn.Module):
    """Node features scaled; edges and graph numbers as they are."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.numbers = of_nodes(encoder)

    def fit(self, nodes: np.ndarray, *_: np.ndarray) -> None:
        self.numbers.fit(nodes)

    def forward(self, nodes: Tensor, edges: Tensor, graph: Tensor) -> tuple[Tensor, ...]:
        return self.numbers(nodes), edges, graph


class OneGraph(nn.Module):
    """What all items share: nodes (N, d) scaled and edges (2, E), held-out links not among them."""

    features: Tensor
    edges: Tensor

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.numbers = of_nodes(encoder)
        self.register_buffer("features", torch.zeros(len(encoder.ids), encoder.width))
        self.register_buffer("edges", torch.zeros(2, encoder.edges, dtype=torch.int64))

    def fit(self, *_: np.ndarray, features: np.ndarray, edges: np.ndarray) -> None:
        """Scaled by all nodes: features, other than labels, are known of those that are held out too."""
        self.numbers.fit(features)
        self.features.copy_(self.numbers(torch.from_numpy(features)))
        self.edges.copy_(torch.from_numpy(edges))


class Nodes(OneGraph):
    """The shared graph with the batch's items behind its N nodes.

    nodes (N + B, d) scaled, edges (2, E + links), rows (B,): where the answers to the items are read
    """

    def forward(self, node: Tensor, features: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        known = self.features.shape[0]
        nodes = torch.cat([self.features, self.numbers(features)])
        edges = torch.cat([self.edges, torch.stack([source, target + known])], 1)
        new = known + torch.arange(node.shape[0], device=node.device)
        return nodes, edges, torch.where(node < 0, new, node)


class Link(OneGraph):
    """The shared graph: nodes (N, d) scaled and edges (2, E), then the pairs as they are."""

    def forward(self, pair: Tensor) -> tuple[Tensor, ...]:
        return self.features, self.edges, pair


class Optional(nn.Module):
    """What there is normalised by its own rule, and whether it is there."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.inner = normaliser(encoder.inner)

    def fit(self, *columns: np.ndarray) -> None:
        *own, there = columns
        known = there[:, 0] > 0  # items of unequal size come as their values, of which blanks have next to none
        self.inner.fit(*(c[known] if len(c) == len(known) else c for c in own))  # type: ignore[operator]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = self.inner(*tensors[:-1])
        return (*(found if isinstance(found, tuple) else (found,)), tensors[-1])


NORMALISERS: dict[str, type[nn.Module]] = {
    "image": Image,
    "row": Row,
    "array": Array,
    "series": Series,
    "text": Text,
    "pair": Text,
    "history": Text,
    "audio": Audio,
    "optional": Optional,
    "graph": Graph,
    "nodes": Nodes,
    "link": Link,
    "draw": Draw,
}


def normaliser(encoder: Any) -> nn.Module:
    """The first step for an encoder."""
    return NORMALISERS[type(encoder).__module__.rsplit(".", 1)[1]](encoder)


class Normalise(nn.Module):
    """One normaliser per feature of a signature; takes the signature's tensors, gives the network's inputs."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.counts = [len(encoder.tensors) for encoder in signature.inputs.values()]
        self.parts = nn.ModuleList(normaliser(encoder) for encoder in signature.inputs.values())

    @torch.no_grad()
    def fit(
        self, signature: Signature, columns: Columns, rows: np.ndarray, shared: dict[str, Arrays] | None = None
    ) -> None:
        """Statistics from (at most 20,000 of) the training rows; `shared`: what all items of a feature share."""
        rows = sample(rows)
        names = iter(signature.tensors)
        for feature, count, part in zip(signature.inputs, self.counts, self.parts):
            given = [some(columns[next(names).name], rows) for _ in range(count)]
            part.fit(*given, **(shared or {}).get(feature, {}))  # type: ignore[operator]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        result: list[Tensor] = []
        at = 0
        for count, part in zip(self.counts, self.parts):
            given = part(*tensors[at : at + count])
            result += given if isinstance(given, tuple) else (given,)
            at += count
        return tuple(result)
