"""Some of fourteen changes, drawn anew for every picture.

    x' = c_N(... c_1(x)),  each c one of nothing, rotate, shear, move (two ways each), automatic contrast, equalise,
                           posterise, solarise, colour, contrast, brightness, sharpness; all with one magnitude M

Paper    Cubuk et al. 2020, arXiv:1909.13719, figure 2; the ranges are those of Cubuk et al. 2019, arXiv:1805.09501, table 6,
         as torchvision has them: M of 30 is the full range. What has a sign gets it by chance.
Differs  what moves is sampled bilinearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from deepen.augmentations import Augmentation, Drawn, chain, turned
from deepen.errors import DeepenError
from deepen.pixels import blended, grey, sampled
from deepen.schema import Count, Natural

MOST = 30
MOVES = ("rotate", "shear_x", "shear_y", "move_x", "move_y")


class RandAugment(Augmentation):
    """Several changes of place, light and colour, drawn for every picture.

    changes    how many, one after the other
    magnitude  how strong, from 0 to 30
    """

    def __init__(self, changes: Count = 2, magnitude: Natural = 9) -> None:
        if magnitude > MOST:
            raise DeepenError("augment.range", "rand_augment", f"magnitude {magnitude}", f"at most {MOST}")
        self.changes, self.strength = changes, magnitude / MOST

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        which = torch.randint(len(MOVES) + len(CHANGES) + 1, (self.changes, n), generator=generator)
        sign = torch.randint(2, (self.changes, n), generator=generator) * 2 - 1
        return {"which": which, "value": sign * self.strength}

    def apply(self, items: Tensor, drawn: Drawn) -> Tensor:
        images = as_bytes(items.float())
        for which, value in zip(drawn["which"], drawn["value"]):
            rows = (which < len(MOVES)).nonzero()[:, 0]
            if len(rows):
                places = self._places(which[rows], value[rows], *items.shape[1:3])
                images[rows] = as_bytes(sampled(images[rows], places))
            for number, change in enumerate(CHANGES, len(MOVES)):
                rows = (which == number).nonzero()[:, 0]
                if len(rows):
                    images[rows] = as_bytes(change(images[rows], value[rows]))
        return images

    def affine(self, drawn: Drawn, height: int, width: int) -> Tensor:
        steps = [self._places(which, value, height, width) for which, value in zip(drawn["which"], drawn["value"])]
        whole = steps[0]
        for step in steps[1:]:
            whole = chain(whole, step)
        return whole

    def _places(self, which: Tensor, value: Tensor, height: int, width: int) -> Tensor:
        """float (B, 2, 3); for what moves nothing the identity."""
        rotate, shear_x, shear_y, move_x, move_y = (value * (which == i) for i in range(len(MOVES)))
        matrix = turned(rotate * (30 * math.pi / 180), height, width)
        matrix[:, 0, 1] += 0.3 * shear_x * (height / width)
        matrix[:, 1, 0] += 0.3 * shear_y * (width / height)
        matrix[:, :, 2] += 2 * 150 / 331 * torch.stack([move_x, move_y], 1)
        return matrix


def as_bytes(images: Tensor) -> Tensor:
    """uint8, rounded; a copy."""
    return images.round().clamp(0, 255).byte()


def auto_contrast(images: Tensor, value: Tensor) -> Tensor:
    """Each channel from its own darkest to its lightest, to 0 ... 255."""
    x = images.float()
    low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    return torch.where(high > low, ((x - low) * 255 / (high - low).clamp(min=1)).floor(), x)


def equalise(images: Tensor, value: Tensor) -> Tensor:
    """Every level as frequent as any other, channel by channel, as Pillow does it."""
    b, h, w, c = images.shape
    levels = images.permute(0, 3, 1, 2).reshape(b * c, h * w).long()
    counts = torch.zeros(b * c, 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    step = (h * w - counts.gather(1, levels.amax(1, keepdim=True))) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    found = torch.where(step > 0, table.gather(1, levels), levels)
    return found.view(b, c, h, w).permute(0, 2, 3, 1).float()


def posterise(images: Tensor, value: Tensor) -> Tensor:
    """Only the first 8 to 4 bits of every level."""
    dropped = (value.abs() * 4).round()[:, None, None, None]
    return (images.float() / 2**dropped).floor() * 2**dropped


def solarise(images: Tensor, value: Tensor) -> Tensor:
    """Levels from a threshold on are turned round."""
    threshold = (255 * (1 - value.abs()))[:, None, None, None]
    return torch.where(images < threshold, images, 255 - images).float()


def colour(images: Tensor, value: Tensor) -> Tensor:
    return blended(images, grey(images), 1 + 0.9 * value)


def contrast(images: Tensor, value: Tensor) -> Tensor:
    return blended(images, grey(images).mean((1, 2, 3), keepdim=True).round(), 1 + 0.9 * value)


def brightness(images: Tensor, value: Tensor) -> Tensor:
    return blended(images, 0.0, 1 + 0.9 * value)


def sharpness(images: Tensor, value: Tensor) -> Tensor:
    """Away from, or towards, the mean of 3 x 3 pixels with 5 of 13 for the middle one; the border stays."""
    x = images.float()
    h, w = x.shape[1:3]
    smooth = x.clone()
    if min(h, w) > 2:
        nine = F.avg_pool2d(x.permute(0, 3, 1, 2), 3, 1).permute(0, 2, 3, 1) * 9
        smooth[:, 1:-1, 1:-1] = (nine + 4 * x[:, 1:-1, 1:-1]) / 13
    return blended(images, smooth, 1 + 0.9 * value)


CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    auto_contrast, equalise, posterise, solarise, colour, contrast, brightness, sharpness,
)  # fmt: skip
