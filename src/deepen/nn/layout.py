"""Where numbers of weights lie: of a convolution, channels innermost, as the CPU's kernels and tensor cores like best; and
which dimension is the units'.

Pictures come as planes; with such weights torch turns them round once, at the first convolution. Results differ by
rounding alone; what it gains stands in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, channels_last, nn

NARROW = 16  # channels in
Transposed = nn.modules.conv._ConvTransposeNd
Views = Callable[[Tensor], list[Tensor]]


def strided_point(inside: int, kernel: int, stride: int) -> bool:
    """Whether oneDNN's gradient of such a convolution's weights writes beyond its memory (torch 2.13, channels last).

    Seen with 3 to 12 channels in, a 1 x 1 kernel and stride 2; not from 16 channels on, nor with stride 1.
    """
    return kernel == 1 and stride > 1 and inside < NARROW


def fast(net: nn.Module) -> nn.Module:
    """The network with its two-dimensional convolutions' weights channels last, unless one of them is not safe so."""
    found = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    if not any(strided_point(m.in_channels, min(m.kernel_size), max(m.stride)) for m in found):
        for layer in found:
            # `contiguous` would leave one channel's weights as they are, and planes behind them
            layer.weight.data = layer.weight.data.to(memory_format=channels_last)
    return net


def turned(net: nn.Module) -> dict[int, Views]:
    """For weights, by id, whose units do not come first: what turns them, or what has their shape, into such as do.

    Transposed convolutions (in, out / groups, ...), and what a layer names in `inputs_first`, (in, out) or many of those.
    """
    found: dict[int, Views] = {}
    for layer in net.modules():
        if isinstance(layer, Transposed):
            found[id(layer.weight)] = partial(_turned_groups, groups=layer.groups)
        for name in getattr(layer, "inputs_first", ()):
            found[id(getattr(layer, name))] = lambda t: [part.T for part in (t if t.ndim == 3 else (t,))]
    return found


def _turned_groups(weight: Tensor, groups: int) -> list[Tensor]:
    return [part.transpose(0, 1) for part in weight.chunk(groups)]
