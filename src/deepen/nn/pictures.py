"""What networks for pictures share: the order of their parts, two forms by the size of the picture, units and blocks.

    Staged     last(top(stage_n(... stage_1(stem(x)))))
    unit       act(N(C(x)))
    Inverted   x + N(C1(excite(depthwise(expand(x)))))      Sandler et al. 2018, arXiv:1801.04381, fig. 3d: the middle is
                                                            wide, what is added up is narrow and has no activation
Letters  B items, C channels, K classes, d features, N batch norm, Ck a convolution with kernel k
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from deepen.nn.layers import StochasticDepth, activation, norm

SMALL = 64  # up to this side, `auto` leaves the first reductions of a network for photos out
Kernel = int | tuple[int, int]


class Staged(nn.Module):
    """A network with feature maps on its way: stem, stages, top (maps to features), last layer."""

    def __init__(self, stem: nn.Module, stages: Iterable[nn.Module], top: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.stem, self.stages, self.top, self.last = stem, nn.ModuleList(stages), top, last

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to the feature maps after each stage, large to small."""
        found, x = [], self.stem(image)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, d)."""
        return self.top(self.maps(image)[-1])

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, K)."""
        return self.last(self.features(image))


def for_photos(form: str, image: Any) -> bool:
    """Whether the network takes its form for photos: by name, or `auto` by the picture's size."""
    return form == "imagenet" or (form == "auto" and max(image.height, image.width) > SMALL)


def mean_of_places() -> nn.Sequential:
    """(B, C, H, W) to (B, C)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def scaled(channels: int, multiplier: float) -> int:
    """A width as configured: the paper's times the multiplier, at least 1."""
    return max(1, round(channels * multiplier))


def start_he(parts: Iterable[nn.Module]) -> None:
    """He's start for layers that no norm follows: forward variance is kept under ReLU, biases are 0."""
    for part in parts:
        for layer in part.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple, at least one, and not more than a tenth below (MobileNet's rule for scaled widths)."""
    found = max(by, int(channels + by / 2) // by * by)
    return found if found >= 0.9 * channels else found + by


def unit(
    inside: int,
    outside: int,
    kernel: Kernel = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    activate: str | None = "relu",
    eps: float = 1e-5,
    padding: int | None = None,
) -> nn.Sequential:
    """Convolution, batch norm, activation; keeps the size at stride 1 unless `padding` is given; He's start (fan out)."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    pad = (height // 2, width // 2) if padding is None else padding
    layer = nn.Conv2d(inside, outside, kernel, stride, pad, groups=groups, bias=False)
    # the fan counts all channels also where groups do not see them: depthwise weights start small and so learn faster
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    parts = [layer, norm("batch", outside, eps=eps)]
    return nn.Sequential(*parts, *([activation(activate)] if activate else []))


class Inverted(nn.Module):
    """Widen, convolve every channel by itself, excite, narrow; with a way around where the shape stays."""

    def __init__(
        self,
        inside: int,
        expanded: int,
        outside: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        activate: str = "relu6",
        eps: float = 1e-3,
        excite: nn.Module | None = None,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential()
        if expanded != inside:
            self.body.append(unit(inside, expanded, activate=activate, eps=eps))
        self.body.append(unit(expanded, expanded, kernel, stride, groups=expanded, activate=activate, eps=eps))
        if excite is not None:
            self.body.append(excite)
        self.body.append(unit(expanded, outside, activate=None, eps=eps))
        self.around = stride == 1 and inside == outside
        self.drop = StochasticDepth(drop)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.drop(self.body(maps)) if self.around else self.body(maps)
