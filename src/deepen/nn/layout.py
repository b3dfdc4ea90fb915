"""Where the numbers of a convolution lie in memory: channels innermost, which the CPU's kernels and tensor cores like best.

Pictures come as planes; with such weights torch turns them round once, at the first convolution. Results differ by
rounding alone; what it gains stands in docs/performance.md.
"""

from __future__ import annotations

from torch import channels_last, nn

NARROW = 16  # channels in


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
