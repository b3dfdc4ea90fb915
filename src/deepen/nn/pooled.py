"""Convolutions of few channels, each with the largest of 2 x 2 places: on a CPU both by matrix products.

    y[o, i, j] = max over p, q in {0, 1} of    sum over c, a, b of  w[o, c, a, b] x[c, 2i + p + a, 2j + q + b]

The two sums beside each other, q = 0 and 1, see the same k + 1 places of a row, so they are two rows of one product: W holds
w moved by q among zeros, X those places for each window along each row of the maps. What k rows see lies one behind the
other in X, so all rows of sums are products of W and overlapping parts of X: nothing is copied for them. With the items
of a batch innermost every copy moves whole lines. Six channels leave most of a vector empty where kernels keep channels
innermost, and a maximum over planes goes number by number; what is gained stands in docs/performance.md. Results differ
from the plain layers by rounding alone.
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
            maps = _padded(image.permute(2, 1, 3, 0), convolution.padding[0])
            image = activation(_Window.apply(maps, convolution.weight, convolution.bias).permute(3, 1, 0, 2))
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
    """Maps (H, C, W, B) with zeros around, items innermost in memory."""
    return (F.pad(maps, (0, 0, padding, padding, 0, 0, padding, padding)) if padding else maps).contiguous()


class _Window(torch.autograd.Function):
    """Maps (H, C, W, B) to (h, O, v, B): convolved, and of each 2 x 2 places the largest."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        (height, _, width, items), (out, _, kernel, _) = maps.shape, weight.shape
        high, wide = (height - kernel + 1) // 2, (width - kernel + 1) // 2
        moved, places = _moved(weight), _places(maps, kernel)
        sums = torch.bmm(moved.expand(2 * high, -1, -1), _rows(places, kernel, 2 * high)).view(high, 2, 2, out, -1)
        pairs = torch.maximum(sums[:, :, 0], sums[:, :, 1])
        most = torch.maximum(pairs[:, 0], pairs[:, 1])
        ctx.save_for_backward(maps, weight, bias, moved, places, sums, most)
        return (most + bias[:, None]).view(high, out, wide, items)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        maps, weight, bias, moved, places, sums, most = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to have a gradient itself: torch's own layers know theirs
            given = [x for x, wanted in zip((maps, weight, bias), ctx.needs_input_grad) if wanted]
            plain = F.max_pool2d(F.conv2d(maps.permute(3, 1, 0, 2), weight, bias), 2).permute(2, 1, 3, 0)
            found = iter(torch.autograd.grad(plain, given, gradient, create_graph=True))
            return tuple(next(found) if wanted else None for wanted in ctx.needs_input_grad)
        left = gradient.reshape(most.shape)
        to_bias = left.sum((0, 2))
        shares = torch.empty_like(sums)  # the gradient goes to the first of the largest, as with torch's own pool
        for p, q in ((0, 0), (0, 1), (1, 0)):
            torch.eq(sums[:, p, q], most, out=shares[:, p, q]).mul_(left)
            left = torch.sub(left, shares[:, p, q], out=shares[:, 1, 1] if p else None)
        shares = shares.view(2 * len(most), 2 * len(weight), -1)
        kernel = weight.shape[-1]
        to_weight = _moved_back(torch.bmm(shares, _rows(places, kernel, len(shares)).mT).sum(0), weight)
        to_maps = _places_back(_rows_back(moved[0], shares, places, kernel), maps) if ctx.needs_input_grad[0] else None
        return to_maps, to_weight, to_bias


def _moved(weight: Tensor) -> Tensor:
    """(O, C, k, k) to (1, 2 O, k C (k + 1)): both places beside each other, as `_rows` has what they see."""
    out, channels, kernel, _ = weight.shape
    moved = weight.new_zeros(2, out, kernel, channels, kernel + 1)
    for q in (0, 1):
        moved[q, ..., q : q + kernel] = weight.transpose(1, 2)
    return moved.view(1, 2 * out, -1)


def _moved_back(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `_moved`."""
    out, channels, kernel, _ = weight.shape
    moved = gradient.view(2, out, kernel, channels, kernel + 1)
    return (moved[0, ..., :kernel] + moved[1, ..., 1:]).transpose(1, 2)


def _places(maps: Tensor, kernel: int) -> Tensor:
    """(H, C, W, B) to (H, C (k + 1), v B): what the windows along each row see of it."""
    height, channels, width, items = maps.shape
    of_row, of_channel, of_place, _ = maps.stride()
    shape = (height, channels, kernel + 1, (width - kernel + 1) // 2, items)
    strides = (of_row, of_channel, of_place, 2 * of_place, 1)
    return maps.as_strided(shape, strides).reshape(height, channels * (kernel + 1), -1)


def _places_back(gradient: Tensor, maps: Tensor) -> Tensor:
    """The gradient of `_places`."""
    height, channels, _, items = maps.shape
    seen = gradient.view(height, channels, -1, gradient.shape[2] // items, items)
    found = torch.zeros_like(maps)
    for b in range(seen.shape[2]):
        found[:, :, b : b + 2 * seen.shape[3] : 2] += seen[:, :, b]
    return found


def _rows(places: Tensor, kernel: int, count: int) -> Tensor:
    """(H, n, m) to (count, k n, m), without a copy: what k rows from each of the first on have."""
    _, n, m = places.shape
    return places.as_strided((count, kernel * n, m), (n * m, m, 1))


def _rows_back(moved: Tensor, shares: Tensor, places: Tensor, kernel: int) -> Tensor:
    """The gradient of the products with `_rows`: those whose rows do not overlap at once."""
    found, turned = torch.zeros_like(places), moved.t().contiguous()
    for first in range(min(kernel, len(shares))):
        some = shares[first::kernel]
        part = found[first : first + kernel * len(some)].view(len(some), len(turned), -1)
        part.baddbmm_(turned.expand(len(some), -1, -1), some)
    return found
