"""Two items made into one, and their targets with them, a whole batch at once.

    mixup   x' = s x + (1 - s) o,    y' = s y + (1 - s) y_o,    s from Beta(alpha, alpha)
    cutmix  a rectangle of 1 - s of the picture comes from the other one; y' by the share of pixels that is left

Papers   Zhang et al. 2018, arXiv:1710.09412, eq. 1 and 2; Yun et al. 2019, arXiv:1905.04899, eq. 1 and 2.
Differs  every item has a share of its own, the papers draw one for a batch.
Letters  x an item, o its partner, y and y_o their targets

As in augment.py all that is random is drawn for the whole batch: partners too, so that parts of a batch agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deepen.errors import DeepenError

Drawn = dict[str, Tensor]
Inputs = tuple[Tensor, ...]


class Mixup:
    """Add an item and another one, weighed by chance; `alpha` 0.2: mostly nearly one of them, 1: any share alike."""

    name, pictures = "mixup", False

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = positive(alpha)

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {"partner": torch.randperm(n, generator=generator)[None], "share": beta(self.alpha, n, generator)[None]}

    def apply(self, inputs: Inputs, others: Inputs, drawn: Drawn) -> tuple[Inputs, Tensor]:
        """The mixed inputs, and the share (B,) of each item in its mixture."""
        (share,) = drawn["share"]
        return tuple(
            o.lerp(x, share.to(x.device).view(-1, *(1 for _ in x.shape[1:]))) for x, o in zip(inputs, others)
        ), share


class Cutmix:
    """Put a rectangle of another picture in; `alpha` as for mixup, 1 is usual."""

    name, pictures = "cutmix", True

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = positive(alpha)

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        return {
            "partner": torch.randperm(n, generator=generator)[None],
            "share": beta(self.alpha, n, generator)[None],
            "centre": torch.rand((2, n), generator=generator),
        }

    def apply(self, inputs: Inputs, others: Inputs, drawn: Drawn) -> tuple[Inputs, Tensor]:
        h, w = inputs[0].shape[2:]
        half = (1 - drawn["share"][0]).sqrt() / 2
        y, x = drawn["centre"]
        mask = inside(h, y - half, y + half)[:, :, None] & inside(w, x - half, x + half)[:, None]  # (B, H, W)
        share = 1 - mask.float().mean((1, 2))  # what is beyond the border is not cut
        return tuple(torch.where(mask[:, None].to(i.device), o, i) for i, o in zip(inputs, others)), share


def positive(alpha: float) -> float:
    if alpha > 0:
        return alpha
    raise DeepenError("config.type", "train.augment: alpha", f"got {alpha!r}", "a number above 0", "leave mixing out")


def inside(size: int, low: Tensor, high: Tensor) -> Tensor:
    """bool (B, size): which pixels' centres lie between low and high (B,), shares of the side."""
    centres = (torch.arange(size) + 0.5) / size
    return (centres >= low[:, None]) & (centres < high[:, None])


def beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """float32 (n,) from Beta(alpha, alpha)."""
    return torch._sample_dirichlet(torch.full((n, 2), alpha, dtype=torch.float64), generator)[:, 0].float()


MIXES = {"mixup": Mixup, "cutmix": Cutmix}
