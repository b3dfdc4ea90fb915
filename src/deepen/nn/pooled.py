"""Convolutions of few channels, each with the largest of 2 x 2 places: on a CPU both in one matrix product.

    y[o, i, j] = max over p, q in {0, 1} of    sum over c, a, b of  w[o, c, a, b] x[c, 2i + p + a, 2j + q + b]

The four sums of a window see the same (k + 1) x (k + 1) places x, so they are four rows of one product W X: X has a column
for each window, W holds w moved by (p, q) among zeros. With the items of a batch innermost every copy moves whole lines.
Six channels leave most of a vector empty where kernels keep channels innermost, and a maximum over planes goes number by
number; what is gained stands in docs/performance.md. Results differ from the plain layers by rounding alone.
Letters  B items, C channels in, O out, k kernel, h x v windows
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEW = 32  # items from which it pays


class Pooled(nn.Sequential):
    """Triples of convolution (with a bias, stride 1), 2 x 2 maximum and activation, one after the other."""

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, h, v)."""
        if not self._together(image):
            return super().forward(image)
        layers: list[Any] = list(self)
        for convolution, activation in zip(layers[::3], layers[2::3]):
            maps = _padded(image.permute(1, 2, 3, 0), convolution.padding[0])
            image = activation(_Window.apply(maps, convolution.weight, convolution.bias).permute(3, 0, 1, 2))
        return image

    def _together(self, image: Tensor) -> bool:
        """Whether this is training in full precision on a CPU, and what is passed over is as it was built."""
        if not (self.training and torch.is_grad_enabled() and len(image) >= FEW and image.is_cpu):
            return False
        passed = [layer for k, layer in enumerate(self) if k % 3 < 2]
        return (
            image.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and all(type(layer) in (nn.Conv2d, nn.MaxPool2d) and not _heard(layer) for layer in passed)
        )


def _heard(layer: nn.Module) -> bool:
    """Whether somebody wants to know what comes to the layer or leaves it."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks)


def _padded(maps: Tensor, padding: int) -> Tensor:
    """Maps (C, H, W, B) with zeros around, items innermost in memory."""
    return (F.pad(maps, (0, 0, *[padding] * 4)) if padding else maps).contiguous()


class _Window(torch.autograd.Function):
    """Maps (C, H, W, B) to (O, h, v, B): convolved, and of each 2 x 2 places the largest."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        wide, columns = _moved(weight), _columns(maps, weight.shape[-1])
        sums = torch.mm(wide, columns).view(4, len(weight), -1)
        most = torch.maximum(torch.maximum(sums[0], sums[1]), torch.maximum(sums[2], sums[3]))
        ctx.save_for_backward(maps, weight, bias, wide, columns, sums, most)
        (_, height, width, items), kernel = maps.shape, weight.shape[-1]
        return (most + bias[:, None]).view(len(weight), (height - kernel + 1) // 2, (width - kernel + 1) // 2, items)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        maps, weight, bias, wide, columns, sums, most = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to have a gradient itself: torch's own layers know theirs
            given = [x for x, wanted in zip((maps, weight, bias), ctx.needs_input_grad) if wanted]
            plain = F.max_pool2d(F.conv2d(maps.permute(3, 0, 1, 2), weight, bias), 2).permute(1, 2, 3, 0)
            found = iter(torch.autograd.grad(plain, given, gradient, create_graph=True))
            return tuple(next(found) if wanted else None for wanted in ctx.needs_input_grad)
        left = gradient.reshape(len(weight), -1)
        to_bias = left.sum(1)
        shares = torch.empty_like(sums)  # the gradient goes to the first of the largest, as with torch's own pool
        for place in range(3):
            torch.eq(sums[place], most, out=shares[place]).mul_(left)
            left = torch.sub(left, shares[place], out=shares[3] if place == 2 else None)
        flat = shares.view(len(wide), -1)
        to_weight = _moved_back(torch.mm(columns, flat.t()).t(), weight)  # a fifth faster than the other way round
        to_maps = _columns_back(torch.mm(wide.t(), flat), maps, weight.shape[-1]) if ctx.needs_input_grad[0] else None
        return to_maps, to_weight, to_bias


def _moved(weight: Tensor) -> Tensor:
    """(O, C, k, k) to (4 O, C (k + 1)^2): the four places of a window, row by row."""
    out, channels, kernel, _ = weight.shape
    wide = weight.new_zeros(2, 2, out, channels, kernel + 1, kernel + 1)
    for p in (0, 1):
        for q in (0, 1):
            wide[p, q, :, :, p : p + kernel, q : q + kernel] = weight
    return wide.view(4 * out, -1)


def _moved_back(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `_moved`."""
    out, channels, kernel, _ = weight.shape
    wide = gradient.reshape(2, 2, out, channels, kernel + 1, kernel + 1)
    parts = [wide[p, q, :, :, p : p + kernel, q : q + kernel] for p in (0, 1) for q in (0, 1)]
    return (parts[0] + parts[1]).add_(parts[2]).add_(parts[3])


def _columns(maps: Tensor, kernel: int) -> Tensor:
    """(C, H, W, B) to (C (k + 1)^2, h v B): what each window sees."""
    channels, height, width, items = maps.shape
    windows = ((height - kernel + 1) // 2, (width - kernel + 1) // 2)
    of_channel, of_row, of_place, _ = maps.stride()
    shape = (channels, kernel + 1, kernel + 1, *windows, items)
    strides = (of_channel, of_row, of_place, 2 * of_row, 2 * of_place, 1)
    return maps.as_strided(shape, strides).reshape(channels * (kernel + 1) ** 2, -1)


def _columns_back(gradient: Tensor, maps: Tensor, kernel: int) -> Tensor:
    """The gradient of `_columns`: rows are added up first, then places in a row."""
    channels, height, width, items = maps.shape
    h, v = (height - kernel + 1) // 2, (width - kernel + 1) // 2
    seen = gradient.view(channels, kernel + 1, kernel + 1, h, v, items)
    rows = gradient.new_zeros(channels, kernel + 1, height, v, items)
    for a in range(kernel + 1):
        rows[:, :, a : a + 2 * h : 2] += seen[:, a]
    found = torch.zeros_like(maps)
    for b in range(kernel + 1):
        found[:, :, b : b + 2 * v : 2] += rows[:, b]
    return found
