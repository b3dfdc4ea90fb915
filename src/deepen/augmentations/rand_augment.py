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

from deepen.augmentations import Augmentation, Drawn, chain, turned
from deepen.errors import DeepenError
from deepen.pixels import blended, grey, planes, sampled
from deepen.schema import Count, Natural

MOST = 30
Change = Callable[[Tensor, Tensor], Tensor]
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
        found = rounded(planes(items).clone())
        for which, value in zip(drawn["which"], drawn["value"]):
            matrices = self._places(which, value, *items.shape[1:3])
            _change(found, which < len(MOVES), sampled, matrices)
            for number, change in enumerate(CHANGES, len(MOVES)):
                _change(found, which == number, change, value)
        return found.permute(0, 2, 3, 1)

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


def _change(whole: Tensor, which: Tensor, change: Change, values: Tensor) -> None:
    """Some pictures, of planes (B, C, H, W), in place: to whole levels after each change, as bytes would hold them."""
    rows = which.nonzero()[:, 0]
    if len(rows):
        some = change(whole[rows].permute(0, 2, 3, 1), values[rows])
        whole[rows] = rounded(some.permute(0, 3, 1, 2))


def rounded(levels: Tensor) -> Tensor:
    """Whole ones from 0 to 255, in place."""
    return levels.round_().clamp_(0, 255)


def auto_contrast(images: Tensor, value: Tensor) -> Tensor:
    """Each channel from its own darkest to its lightest, to 0 ... 255."""
    low, high = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
    scale = 255 / (high - low).clamp(min=1)
    return torch.where(high > low, ((images - low) * scale).floor_(), images)


def equalise(images: Tensor, value: Tensor) -> Tensor:
    """Every level as frequent as any other, channel by channel, as Pillow does it."""
    b, h, w, c = images.shape
    levels = images.permute(0, 3, 1, 2).reshape(b * c, h * w).long()
    own = levels + 256 * torch.arange(b * c, device=images.device)[:, None]  # counted in one go
    counts = own.view(-1).bincount(minlength=256 * b * c).view(b * c, 256)
    step = (h * w - counts.gather(1, levels.amax(1, keepdim=True))) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    return table.float().take(own).view(b, c, h, w).permute(0, 2, 3, 1)


def posterise(images: Tensor, value: Tensor) -> Tensor:
    """Only the first 8 to 4 bits of every level."""
    dropped = (value.abs() * 4).round()[:, None, None, None]
    return (images / 2**dropped).floor_() * 2**dropped


def solarise(images: Tensor, value: Tensor) -> Tensor:
    """Levels from a threshold on are turned round."""
    threshold = (255 * (1 - value.abs()))[:, None, None, None]
    return torch.where(images < threshold, images, 255 - images)


def colour(images: Tensor, value: Tensor) -> Tensor:
    return blended(images, grey(images), 1 + 0.9 * value)


def contrast(images: Tensor, value: Tensor) -> Tensor:
    return blended(images, grey(images).mean((1, 2, 3), keepdim=True).round(), 1 + 0.9 * value)


def brightness(images: Tensor, value: Tensor) -> Tensor:
    return blended(images, 0.0, 1 + 0.9 * value)


def sharpness(images: Tensor, value: Tensor) -> Tensor:
    """Away from, or towards, the mean of 3 x 3 pixels with 5 of 13 for the middle one; the border stays."""
    smooth = images.clone()
    if min(images.shape[1:3]) > 2:
        rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
        nine = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        smooth[:, 1:-1, 1:-1] = (nine + 4 * images[:, 1:-1, 1:-1]) / 13
    return blended(images, smooth, 1 + 0.9 * value)


CHANGES: tuple[Change, ...] = (
    auto_contrast, equalise, posterise, solarise, colour, contrast, brightness, sharpness,
)  # fmt: skip
