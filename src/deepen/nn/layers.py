"""Layers and small choices by name: activations, norms, convolutions and pooling in 1 to 3 dimensions, residual blocks.

    Residual     x + N(C3(act(N(C3(x)))))                    He et al. 2016, arXiv:1512.03385, fig. 5 left
    Bottleneck   x + N(C1(act(N(C3(act(N(C1(x))))))))        fig. 5 right, the stride in the middle (as He's later code)
    Excite       x * gate(W2 act(W1 mean(x)))                squeeze and excitation, Hu et al. 2018, arXiv:1709.01507
    CBAM         y = x * sigmoid(M(mean x) + M(max x)),      M = W2 act(W1 .), over places
                 y * sigmoid(C7([mean y, max y]))            over channels; Woo et al. 2018, arXiv:1807.06521, eq. 2 and 3
    LpPool       (sum |x|^p)^(1/p) over a window             p 1: the sum; p large: the maximum
    StochasticDepth   x b / (1 - p), b drawn per item        Huang et al. 2016, arXiv:1603.09382
    SpatialDropout    the same, b drawn per item and channel Tompson et al. 2015, arXiv:1411.4280, section 3.2

Letters  B items, C channels, N a norm, Ck a convolution with kernel k
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen import registry
from deepen.nn.layout import strided_point

ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {  # the names stand in schema.Activation
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hard_swish": nn.Hardswish,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": nn.Hardsigmoid,
    "softmax": nn.Softmax,
}
CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS: dict[str, dict[int, type[nn.Module]]] = {
    "max": {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d},
    "average": {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d},
}
AVERAGES = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
GROUPS = 8  # of group norm, or the largest number below it that divides the channels


def activation(name: str, axis: int = 1) -> nn.Module:
    """By name, or the user's own by file.py:Class; `axis` is where the features or channels are, which only softmax asks."""
    if ":" in name:
        return registry.build("activations", {"name": name})
    return ACTIVATIONS[name](axis) if name == "softmax" else ACTIVATIONS[name]()


def norm(name: str, channels: int, dimensions: int = 2, eps: float = 1e-5) -> nn.Module:
    """`batch`, `none`, or what does not look at other items: `group`, `instance` (each channel alone), `layer` (all)."""
    if name == "batch":
        return BATCH_NORMS[dimensions](channels, eps)
    if name == "none":
        return nn.Identity()
    some = max(g for g in range(1, GROUPS + 1) if channels % g == 0)
    return nn.GroupNorm({"group": some, "instance": channels, "layer": 1}[name], channels)


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


def pooling(name: str, dimensions: int, window: int, stride: int, power: int = 2) -> nn.Module:
    """`max`, `average` or `lp` over windows of so many places a side."""
    return LpPool(dimensions, window, stride, power) if name == "lp" else POOLS[name][dimensions](window, stride)


class LpPool(nn.Module):
    """The p-norm of every window: between the sum (p 1) and the maximum (p large). Signs are lost."""

    def __init__(self, dimensions: int, window: int, stride: int, power: int = 2) -> None:
        super().__init__()
        self.dimensions, self.window, self.stride, self.power = dimensions, window, stride, power

    def forward(self, maps: Tensor) -> Tensor:
        mean = AVERAGES[self.dimensions](maps.abs() ** self.power, self.window, self.stride)
        total = mean * self.window**self.dimensions
        some = total > 0  # where all is 0 the root has no gradient: it is 0, not inf * 0
        return torch.where(some, torch.where(some, total, 1.0) ** (1 / self.power), 0.0)


class StochasticDepth(nn.Dropout):
    """A residual branch left out for whole items, with probability p, while training."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return maps
        return maps * F.dropout(maps.new_ones(len(maps), *(1 for _ in maps.shape[1:])), self.p)


class SpatialDropout(nn.Dropout):
    """Whole feature maps left out, with probability p, while training; in any number of dimensions."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return maps
        return maps * F.dropout(maps.new_ones(*maps.shape[:2], *(1 for _ in maps.shape[2:])), self.p)


class Excite(nn.Module):
    """Every channel weighed by what all of them hold on average; `inner` features in between."""

    def __init__(self, channels: int, inner: int | None = None, activate: str = "relu", gate: str = "sigmoid") -> None:
        super().__init__()
        inner = inner or max(channels // 8, 4)
        self.squeeze, self.expand = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.activate, self.gate = activation(activate), activation(gate)

    def forward(self, maps: Tensor) -> Tensor:
        weights = self.gate(self.expand(self.activate(self.squeeze(pooled(maps)))))  # (B, C)
        return maps * weights.reshape(*weights.shape, *(1 for _ in maps.shape[2:]))


class CBAM(nn.Module):
    """Channels weighed by their mean and maximum over places, then places by mean and maximum over channels."""

    def __init__(self, channels: int, dimensions: int = 2, kernel: int = 7) -> None:
        super().__init__()
        inner = max(channels // 16, 4)
        self.shared = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels))
        self.places = CONVOLUTIONS[dimensions](2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        flat = maps.flatten(2)
        weights = torch.sigmoid(self.shared(flat.mean(2)) + self.shared(flat.amax(2)))  # (B, C)
        maps = maps * weights.reshape(*weights.shape, *(1 for _ in maps.shape[2:]))
        both = torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], 1)  # (B, 2, ...)
        return maps * torch.sigmoid(self.places(both))


def attention(name: str, channels: int, dimensions: int = 2) -> list[nn.Module]:
    """`se`, `cbam` or `none`, as layers to append."""
    if name == "none":
        return []
    return [Excite(channels) if name == "se" else CBAM(channels, dimensions)]


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
        attend: str = "none",
    ) -> None:
        super().__init__()
        outside = width * self.widening
        self.body = self._body(inside, width, stride, kernel, dimensions, normalisation, activate)
        self.body.extend(attention(attend, outside, dimensions))
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
