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

    Random resized crop (Szegedy et al. 2015), bilinear.
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
        b, h, w, _ = images.shape
        width, height, x, y = (part[:, None] for part in drawn["frame"])
        across, down = ((torch.arange(n, device=images.device) * 2 + 1) / n - 1 for n in (w, h))  # pixels' centres
        columns, rows = across * width + x, down * height + y  # (B, W) and (B, H), in [-1, 1]
        grid = torch.stack([columns[:, None].expand(b, h, w), rows[:, :, None].expand(b, h, w)], 3)
        # sampling is faster on planes, where each channel lies in one piece
        planes = images.permute(0, 3, 1, 2).contiguous().float()
        moved = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
        return moved.round_().to(torch.uint8).permute(0, 2, 3, 1)


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
