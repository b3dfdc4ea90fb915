"""Random changes of training pictures: uint8 (B, H, W, C) in and out, a whole batch at once, on its device.

`draw` gives everything random for the whole global batch as tensors with one row per item; `apply` uses a slice of it.
So micro-batches and processes change nothing.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from deepen.errors import DeepenError, unknown

Drawn = dict[str, Tensor]


class Crop:
    """Move the picture by up to `padding` pixels each way; what comes in from outside is black (He et al. 2016)."""

    def __init__(self, padding: int = 4) -> None:
        self.padding = padding

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"shift": torch.randint(0, 2 * self.padding + 1, (2, n), generator=generator)}

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        b, h, w, _ = images.shape
        p = self.padding
        padded = F.pad(images, (0, 0, p, p, p, p))  # (B, H + 2p, W + 2p, C)
        windows = padded.unfold(1, h, 1).unfold(2, w, 1)  # (B, 2p + 1, 2p + 1, C, H, W), a view
        rows = torch.arange(b, device=images.device)
        return windows[rows, drawn["shift"][0], drawn["shift"][1]].permute(0, 2, 3, 1)


class Flip:
    """Mirror left and right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"flip": torch.rand((1, n), generator=generator) < self.p}

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        return torch.where(drawn["flip"][0][:, None, None, None], images.flip(2), images)


class Zoom:
    """A random part of the picture, `least` to all of its area and a third wider or higher, scaled to the whole frame.

    Random resized crop (Szegedy et al. 2015), bilinear in whole numbers: within 2 of 255 levels of the exact one.
    """

    def __init__(self, least: float = 0.35) -> None:
        self.least = least

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        area, shape, x, y = torch.rand((4, n), generator=generator)
        area = self.least + (1 - self.least) * area
        ratio = torch.exp((shape - 0.5) * 2 * torch.log(torch.tensor(4 / 3)))
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        return {"frame": torch.stack([width, height, (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)])}

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        b, h, w, c = images.shape
        width, height, x, y = drawn["frame"]
        # bilinear sampling parts into columns and rows; each moves whole runs of bytes
        columns = stretch(images.transpose(1, 2).reshape(b * w, h * c), width, x).view(b, w, h, c)
        return stretch(columns.transpose(1, 2).reshape(b * h, w * c), height, y).view(b, h, w, c)


def stretch(lines: Tensor, step: Tensor, shift: Tensor) -> Tensor:
    """Lines uint8 (B * n, m) of B pictures resampled along n: at c * step + shift, c the centres of n in [-1, 1].

    Between two lines the weight is in 128ths, so the sum fits 16 bits; beyond the border stands the border.
    """
    n = len(lines) // len(step)
    centres = (torch.arange(n, device=lines.device) * 2 + 1) / n - 1
    place = ((centres * step[:, None] + shift[:, None] + 1) * (n / 2) - 0.5).clamp_(0, n - 1)  # (B, n)
    low = place.floor()
    weight = ((place - low) * 128).round_().to(torch.int16).view(-1, 1)
    first = torch.arange(0, len(lines), n, device=lines.device)[:, None]
    low = low.long()
    below = lines.index_select(0, (low + first).view(-1)).to(torch.int16)
    above = lines.index_select(0, ((low + 1).clamp_(max=n - 1) + first).view(-1)).to(torch.int16)
    return above.sub_(below).mul_(weight).add_(64).bitwise_right_shift_(7).add_(below).to(torch.uint8)


AUGMENTS = {"crop": Crop, "flip": Flip, "zoom": Zoom}


class Augment:
    """Several changes one after the other."""

    def __init__(self, specs: tuple[dict[str, Any], ...]) -> None:
        self.steps = [_build(spec, f"train.augment[{i}]") for i, spec in enumerate(specs)]

    def draw(self, n: int, generator: torch.Generator) -> list[Drawn]:
        return [step.draw(n, generator) for step in self.steps]

    def apply(self, images: Tensor, drawn: list[Drawn], part: slice = slice(None)) -> Tensor:
        """`part`: which rows of what was drawn belong to these images."""
        for step, values in zip(self.steps, drawn):
            images = step.apply(images, {k: v[:, part].to(images.device) for k, v in values.items()})
        return images


def _build(spec: dict[str, Any], where: str) -> Any:
    options = {k: v for k, v in spec.items() if k != "name"}
    if spec["name"] not in AUGMENTS:
        raise unknown("augment.unknown", where, spec["name"], AUGMENTS)
    cls = AUGMENTS[spec["name"]]
    known = inspect.signature(cls).parameters
    for key, value in options.items():
        if key not in known:
            raise unknown("config.unknown", f"{where}.{key}", key, known)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise DeepenError("config.type", f"{where}.{key}", f"got {value!r}", "a number of at least 0")
    return cls(**options)
