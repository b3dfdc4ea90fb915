"""Layers and small choices by name: activations, norms, convolutions in 1 to 3 dimensions, residual blocks.

    Residual     x + N(C3(act(N(C3(x)))))                    He et al. 2016, arXiv:1512.03385, fig. 5 left
    Bottleneck   x + N(C1(act(N(C3(act(N(C1(x))))))))        fig. 5 right, the stride in the middle (as He's later code)
    Excite       x * sigmoid(W2 act(W1 mean(x)))             squeeze and excitation, Hu et al. 2018, arXiv:1709.01507

Letters  B items, C channels, N a norm, Ck a convolution with kernel k
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.nn.layout import strided_point

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
}
CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS: dict[str, dict[int, type[nn.Module]]] = {
    "max": {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d},
    "average": {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d},
}
GROUPS = 8  # of group norm, or the largest number below it that divides the channels


def activation(name: str) -> nn.Module:
    return ACTIVATIONS[name]()


def norm(name: str, channels: int, dimensions: int = 2) -> nn.Module:
    """`batch`, `group` (does not look at other items) or `none`."""
    if name == "batch":
        return BATCH_NORMS[dimensions](channels)
    if name == "group":
        return nn.GroupNorm(max(g for g in range(1, GROUPS + 1) if channels % g == 0), channels)
    return nn.Identity()


def convolution(
    inside: int, outside: int, kernel: int, stride: int = 1, dimensions: int = 2, bias: bool = False
) -> nn.Module:
    """A convolution that keeps the size at stride 1, He's start (fan out: the paper's)."""
    thin = dimensions == 2 and strided_point(inside, kernel, stride)
    of = Thinned if thin else CONVOLUTIONS[dimensions]
    layer = of(inside, outside, kernel, stride, kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
    return layer


class Thinned(nn.Conv2d):
    """A convolution with a 1 x 1 kernel and a stride, the places chosen first: see layout.strided_point."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, padding: int, bias: bool) -> None:
        super().__init__(inside, outside, kernel, 1, padding, bias=bias)
        self.step = stride

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input[..., :: self.step, :: self.step])


def pooled(maps: Tensor) -> Tensor:
    """(B, C, ...) to (B, C): the mean over all places."""
    return maps.flatten(2).mean(2)


class Excite(nn.Module):
    """Every channel weighed by what all of them hold on average."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(channels // reduction, 4)
        self.squeeze, self.expand = nn.Linear(channels, inner), nn.Linear(inner, channels)

    def forward(self, maps: Tensor) -> Tensor:
        weights = torch.sigmoid(self.expand(F.relu(self.squeeze(pooled(maps)))))  # (B, C)
        return maps * weights.reshape(*weights.shape, *(1 for _ in maps.shape[2:]))


class Pad(nn.Module):
    """The shortcut without parameters (option A): every second place, new channels are zero, half on either side."""

    def __init__(self, inside: int, outside: int, stride: int, dimensions: int = 2) -> None:
        super().__init__()
        before = (outside - inside) // 2
        self.channels = (before, outside - inside - before)
        self.stride, self.dimensions = stride, dimensions

    def forward(self, maps: Tensor) -> Tensor:
        for axis in range(2, 2 + self.dimensions):
            maps = maps[(slice(None),) * axis + (slice(None, None, self.stride),)]
        return F.pad(maps, (0, 0) * self.dimensions + self.channels)


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    widening = 1  # channels out per `width`

    def __init__(
        self,
        inside: int,
        width: int,
        stride: int = 1,
        *,
        kernel: int = 3,
        dimensions: int = 2,
        normalisation: str = "batch",
        activate: str = "relu",
        pad: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        outside = width * self.widening
        self.body = self._body(inside, width, stride, kernel, dimensions, normalisation, activate)
        if attention:
            self.body.append(Excite(outside))
        self.shortcut: nn.Module = nn.Identity()
        if (stride, inside) != (1, outside):
            self.shortcut = Pad(inside, outside, stride, dimensions) if pad else nn.Sequential(
                convolution(inside, outside, 1, stride, dimensions), norm(normalisation, outside, dimensions)
            )  # fmt: skip
        self.activate = activation(activate)

    def _body(
        self, inside: int, width: int, stride: int, kernel: int, dimensions: int, normalisation: str, activate: str
    ) -> nn.Sequential:
        return nn.Sequential(
            convolution(inside, width, kernel, stride, dimensions, bias=normalisation == "none"),
            norm(normalisation, width, dimensions),
            activation(activate),
            convolution(width, width, kernel, 1, dimensions, bias=normalisation == "none"),
            norm(normalisation, width, dimensions),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.activate(self.body(maps) + self.shortcut(maps))


class Bottleneck(Residual):
    """Down to `width` channels, a convolution there, up to four times as many."""

    widening = 4

    def _body(
        self, inside: int, width: int, stride: int, kernel: int, dimensions: int, normalisation: str, activate: str
    ) -> nn.Sequential:
        bias = normalisation == "none"
        return nn.Sequential(
            convolution(inside, width, 1, 1, dimensions, bias),
            norm(normalisation, width, dimensions),
            activation(activate),
            convolution(width, width, kernel, stride, dimensions, bias),
            norm(normalisation, width, dimensions),
            activation(activate),
            convolution(width, width * self.widening, 1, 1, dimensions, bias),
            norm(normalisation, width * self.widening, dimensions),
        )


def start_as_identity(net: nn.Module) -> None:
    """Every residual block starts as its shortcut: the last norm's scale is 0 (Goyal et al. 2017, section 5.1)."""
    for block in net.modules():
        if isinstance(block, Residual):
            last = [m for m in block.body if isinstance(m, (*tuple(BATCH_NORMS.values()), nn.GroupNorm))][-1]
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
