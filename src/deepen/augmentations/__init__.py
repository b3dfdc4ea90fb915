"""Augmentations: random changes of training items, a whole batch at once, on its device. One file each.

draw     everything random for the n items of the whole global batch: tensors (k, n)
apply    what becomes of items (B, ...), given their columns of what was drawn: parts of a batch make up the batch
affine   where places of a picture come from, if they move; all that a Geometry does
takes    names of the encoders whose tensors it changes
colours  True: pictures need three channels
scaled   True: it changes what the network gets (mean 0, deviation 1), not what is stored

Pictures come as (B, H, W, C), bytes or numbers from 0 to 255, and leave as either.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepen import pixels

Drawn = dict[str, Tensor]
Inputs = tuple[Tensor, ...]


class Augmentation:
    """Most write `draw` and `apply`."""

    takes: tuple[str, ...] = ("image",)
    colours = False
    scaled = False

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        raise NotImplementedError

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        raise NotImplementedError

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor | None:
        """float (B, 2, 3): from a place (x, y) in the result, -1 to 1 over the frame, to its place in the picture."""
        return None


class Geometry(Augmentation):
    """Places move, and nothing else happens: it writes `affine`, and `apply` only where there is a faster way.

    whole  pixels go to pixels, nothing is sampled between them
    """

    whole = False

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        matrix = self.affine(drawn, *items.shape[1:3])
        assert matrix is not None
        return pixels.sampled(items, matrix)


class Mix:
    """Two items made into one: `draw` as above with each item's `partner` in the batch, then

    apply  the network's inputs of items and partners to mixed ones, and the share (B,) of each item in its mixture
    """

    takes: tuple[str, ...] = ("image",)

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        raise NotImplementedError

    def apply(self, inputs: Inputs, others: Inputs, drawn: Drawn) -> tuple[Inputs, Tensor]:
        raise NotImplementedError


# ---------------------------------------------------------------- what files here share


def between(low: float, high: float, n: int, generator: torch.Generator) -> Tensor:
    """float32 (1, n), uniform."""
    return torch.rand((1, n), generator=generator) * (high - low) + low


def around(amount: float, n: int, generator: torch.Generator) -> Tensor:
    """float32 (1, n): factors from 1 - amount, at least 0, to 1 + amount."""
    return between(max(0.0, 1 - amount), 1 + amount, n, generator)


def matrices(across: Tensor, down: Tensor, x: Tensor | None = None, y: Tensor | None = None) -> Tensor:
    """float (B, 2, 3): x' = across x + x0, y' = down y + y0."""
    zero = torch.zeros_like(across)
    rows = [across, zero, zero if x is None else x, zero, down, zero if y is None else y]
    return torch.stack(rows, 1).view(-1, 2, 3)


def turned(angle: Tensor, height: int, width: int) -> Tensor:
    """float (B, 2, 3): by an angle in pixels, written in halves of the sides."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack([cos, -sin * (height / width), zero, sin * (width / height), cos, zero], 1).view(-1, 2, 3)


def chain(first: Tensor, then: Tensor) -> Tensor:
    """The matrix of a change followed by another: the result's places are looked up backwards."""
    turn = first[:, :, :2]
    return torch.cat([turn @ then[:, :, :2], turn @ then[:, :, 2:] + first[:, :, 2:]], 2)


def share_of(amount: float, n: int, generator: torch.Generator) -> Tensor:
    """float32 (n,) from Beta(amount, amount)."""
    return torch._sample_dirichlet(torch.full((n, 2), amount, dtype=torch.float64), generator)[:, 0].float()


def keys(n: int, generator: torch.Generator) -> Tensor:
    """int64 (1, n): what `numbers` makes an item's own noise from, however many numbers it needs."""
    return torch.randint(-(2**63), 2**63 - 1, (1, n), generator=generator)


def numbers(key: Tensor, count: int) -> Tensor:
    """float32 (B, count), uniform in [0, 1): a function of each item's key (B,) and the place alone.

    So noise as large as the items is drawn on their device, and a part of a batch gets what it would in the whole.
    SplitMix64 (Steele, Lea and Flood 2014, OOPSLA, fig. 17); shifts are made logical by a mask.
    """
    place = torch.arange(1, count + 1, device=key.device)
    z = key[:, None] + place * -0x61C8864680B583EB
    z = (z ^ (z >> 30 & (1 << 34) - 1)) * -0x40A7B892E31B1A47
    z = (z ^ (z >> 27 & (1 << 37) - 1)) * -0x6B2FB644ECCEEE15
    z = z ^ (z >> 31 & (1 << 33) - 1)
    return (z >> 40 & (1 << 24) - 1).float() * 2.0**-24


def normals(key: Tensor, count: int) -> Tensor:
    """float32 (B, count), standard normal by Box and Muller (1958), likewise."""
    u, v = numbers(key, count + count % 2).unflatten(1, (-1, 2)).unbind(2)  # pairs, however many places there are
    length, angle = (-2 * (1 - u).log()).sqrt(), 2 * math.pi * v
    return torch.stack([length * angle.cos(), length * angle.sin()], 2).flatten(1)[:, :count]
