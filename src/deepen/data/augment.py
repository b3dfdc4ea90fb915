"""Random changes of training pictures (B, H, W, C), a whole batch at once, on its device.

`draw` gives everything random for the whole global batch as tensors with one row per item; `apply` uses a slice of it.
So micro-batches and processes change nothing. Bytes go in; bytes come out, after a zoom float32 from 0 to 255.

What lies in a picture goes along where a change says how: `places` gives (scale, shift), each (2, B), of x and y as
shares of the frame, or None where everything stays in its place. A change without it is not made to such pictures.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from deepen.data.mix import MIXES
from deepen.errors import DeepenError, unknown

Drawn = dict[str, Tensor]
Moved = tuple[Tensor, Tensor]

SEEN = 0.3  # share of a thing that must be left in the frame: of less it is not said that it is there

LONGEST_RUN = 48  # pixels of a column that zoom moves together: their lines stay in the first cache


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

    def places(self, drawn: Drawn, height: int, width: int) -> Moved:
        shift = (self.padding - drawn["shift"].flip(0)) / torch.tensor(
            [[width], [height]], device=drawn["shift"].device
        )
        return torch.ones_like(shift), shift


class Flip:
    """Mirror left and right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"flip": torch.rand((1, n), generator=generator) < self.p}

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        return torch.where(drawn["flip"][0][:, None, None, None], images.flip(2), images)

    def places(self, drawn: Drawn, height: int, width: int) -> Moved:
        x = drawn["flip"].float()  # (1, B)
        return torch.cat([1 - 2 * x, torch.ones_like(x)]), torch.cat([x, torch.zeros_like(x)])


class Zoom:
    """A random part of the picture, `least` to all of its area and a third wider or higher, scaled to the whole frame.

    Random resized crop (Szegedy et al. 2015), bilinear; a picture is only ever enlarged, so nothing is to be smoothed.
    The frame is (width, height, x, y) with the picture from -1 to 1; a negative width mirrors.
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
        # Bilinear sampling parts into columns and rows. Either is a weighted sum of two runs of numbers, so for the
        # columns `run` pixels of a column are laid side by side; the rows come last and leave planes behind.
        run = max(d for d in range(1, LONGEST_RUN + 1) if h % d == 0)
        k = h // run
        strips = images.reshape(b * k, run, w * c).transpose(1, 2).contiguous().float()  # (B * k, W * C, run)
        strips = resample(strips.view(b, k, w, c * run), width, x).view(b, k, w, c, run)
        planes = resample(strips.permute(0, 3, 1, 4, 2).reshape(b, c, h, w), height, y)
        return planes.permute(0, 2, 3, 1)

    def places(self, drawn: Drawn, height: int, width: int) -> Moved:
        size, middle = drawn["frame"][:2], (drawn["frame"][2:] + 1) / 2
        return 1 / size, 0.5 - middle / size


def resample(lines: Tensor, step: Tensor, shift: Tensor) -> Tensor:
    """Lines float32 (B, k, n, m) resampled along n: at u * step + shift, u the centres of n in [-1, 1].

    Every line of the result is the weighted sum of two lines; beyond the border stands the border. Pictures, step and
    shift (B,), each have their own places, the k groups of a picture share them.
    """
    b, k, n, m = lines.shape
    centres = torch.arange(1 - n, n, 2, device=lines.device) / n  # symmetric to the last bit: mirrored is mirrored
    place = ((centres * step[:, None] + shift[:, None] + 1) * (n / 2) - 0.5).clamp_(0, n - 1)  # (B, n)
    low = place.floor()
    weight = place - low
    pair = torch.stack([low, (low + 1).clamp_(max=n - 1)], 2).long()  # (B, n, 2)
    first = torch.arange(0, b * k * n, n, device=lines.device).view(b, k, 1, 1)
    weights = torch.stack([1 - weight, weight], 2)[:, None].expand(b, k, n, 2)
    table, rows = lines.contiguous().view(-1, m), (pair[:, None] + first).view(-1, 2)
    return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights.reshape(-1, 2)).view(b, k, n, m)


class Cutout:
    """Cover a square anywhere, also in part outside, of `size` times the shorter side (DeVries and Taylor 2017)."""

    def __init__(self, size: float = 0.5) -> None:
        self.size = size

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"centre": torch.rand((2, n), generator=generator)}

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        _, h, w, _ = images.shape
        y, x = drawn["centre"][0] * h, drawn["centre"][1] * w
        half = self.size * min(h, w) / 2
        return covered(images, y - half, y + half, x - half, x + half)

    def places(self, drawn: Drawn, height: int, width: int) -> None:
        return None


class Erase:
    """Cover a rectangle inside, of `least` to `most` of the area, with probability `p` (Zhong et al. 2020)."""

    def __init__(self, p: float = 0.5, least: float = 0.02, most: float = 0.33) -> None:
        self.p, self.least, self.most = p, least, most

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        chance, area, shape, y, x = torch.rand((5, n), generator=generator)
        area = (self.least + (self.most - self.least) * area) * (chance < self.p)
        ratio = torch.exp((shape - 0.5) * 2 * torch.log(torch.tensor(1 / 0.3)))  # from 0.3 to 1 / 0.3
        height, width = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        top, left = y * (1 - height), x * (1 - width)
        return {"box": torch.stack([top, top + height, left, left + width])}

    def apply(self, images: Tensor, drawn: Drawn) -> Tensor:
        _, h, w, _ = images.shape
        top, bottom, left, right = drawn["box"]
        return covered(images, top * h, bottom * h, left * w, right * w)

    def places(self, drawn: Drawn, height: int, width: int) -> None:
        return None


def within(size: int, low: Tensor, high: Tensor) -> Tensor:
    """bool (B, size): which pixels' centres lie between low and high (B,), in pixels."""
    centres = torch.arange(size, device=low.device) + 0.5
    return (centres >= low[:, None]) & (centres < high[:, None])


def covered(images: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Pictures with each a rectangle in its own mean colour; edges (B,) in pixels."""
    _, h, w, _ = images.shape
    mask = within(h, top, bottom)[:, :, None] & within(w, left, right)[:, None]  # (B, H, W)
    mean = images.float().mean((1, 2), keepdim=True).to(images.dtype)
    return torch.where(mask[..., None], mean, images)


AUGMENTS = {"crop": Crop, "flip": Flip, "zoom": Zoom, "cutout": Cutout, "erase": Erase}


class Augment:
    """Several changes one after the other, and what is then mixed with another item: `mix`, or None."""

    def __init__(self, specs: tuple[dict[str, Any], ...]) -> None:
        built = [_build(spec, f"train.augment[{i}]") for i, spec in enumerate(specs)]
        mixes = [one for one in built if type(one) in MIXES.values()]
        if len(mixes) > 1:
            raise DeepenError(
                "augment.mix", "train.augment", "more than one way of mixing", f"one of {', '.join(MIXES)}"
            )
        self.steps = [one for one in built if one not in mixes]
        self.mix: Any = mixes[0] if mixes else None

    def draw(self, n: int, generator: torch.Generator) -> list[Drawn]:
        return [step.draw(n, generator) for step in self.steps]

    def apply(self, images: Tensor, drawn: list[Drawn], part: slice | Tensor = slice(None)) -> Tensor:
        """`part`: which rows of what was drawn belong to these images."""
        mine = [{k: v[:, part].to(images.device) for k, v in values.items()} for values in drawn]
        for i, (step, values) in enumerate(zip(self.steps, mine)):
            if i and self._joined(i - 1):
                continue
            if self._joined(i):
                values = mirrored(values, mine[i + 1])
            images = step.apply(images, values)
        return images

    def still(self) -> list[str]:
        """Those that do not say where what lies in a picture goes."""
        return [type(step).__name__.lower() for step in (*self.steps, self.mix) if step and not hasattr(step, "places")]

    def moved(self, things: Tensor, drawn: list[Drawn], part: slice | Tensor, height: int, width: int) -> Tensor:
        """Things (B, M, 4 and more): x1, y1, x2, y2 as shares of the frame, class, ...; what is left of them in it.

        The class of what has left the frame is -1, as of what fills up.
        """
        corners = things[..., :4]
        for step, values in zip(self.steps, drawn):
            found = step.places({k: v[:, part].to(things.device) for k, v in values.items()}, height, width)
            if found is not None:
                scale, shift = (part.T.repeat(1, 2)[:, None] for part in found)  # (B, 1, 4)
                corners = corners * scale + shift
                x1, y1, x2, y2 = corners.unbind(-1)  # mirrored, left is right
                corners = torch.stack([x1.minimum(x2), y1.minimum(y2), x1.maximum(x2), y1.maximum(y2)], -1)
        kept = corners.clamp(0, 1)
        whole, left = ((c[..., 2:] - c[..., :2]).prod(-1, keepdim=True) for c in (corners, kept))
        there = (things[..., 4:5] >= 0) & (left >= SEEN * whole) & (left > 0)
        blank = torch.full_like(things, -1.0)
        return torch.where(there, torch.cat([kept, things[..., 4:]], -1), blank)

    def _joined(self, i: int) -> bool:
        """Whether step i + 1 is done within step i: a flip costs a zoom nothing."""
        return isinstance(self.steps[i], Zoom) and i + 1 < len(self.steps) and isinstance(self.steps[i + 1], Flip)


def mirrored(zoom: Drawn, flip: Drawn) -> Drawn:
    """The frame that zooms and then mirrors."""
    width, *others = zoom["frame"]
    return {"frame": torch.stack([torch.where(flip["flip"][0], -width, width), *others])}


def _build(spec: dict[str, Any], where: str) -> Any:
    options = {k: v for k, v in spec.items() if k != "name"}
    every: dict[str, Any] = {**AUGMENTS, **MIXES}
    if spec["name"] not in every:
        raise unknown("augment.unknown", where, spec["name"], every)
    cls = every[spec["name"]]
    known = inspect.signature(cls).parameters
    for key, value in options.items():
        if key not in known:
            raise unknown("config.unknown", f"{where}.{key}", key, known)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise DeepenError("config.type", f"{where}.{key}", f"got {value!r}", "a number of at least 0")
    return cls(**options)
