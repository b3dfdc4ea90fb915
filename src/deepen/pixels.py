"""Pictures (B, H, W, C) changed a whole batch at once, each by numbers of its own (B,): sampled, blended, blurred.

sampled   bilinear, at the place an affine map gives; from outside comes black, within half a pixel of the border the
          border itself (as Pillow's transform has it)
blended   o + f (x - o), cut to 0 ... 255: brightness, contrast, saturation are this with another o
grey      0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)


def sampled(images: Tensor, affine: Tensor) -> Tensor:
    """float32 (B, H, W, C), a plane per channel in memory; affine (B, 2, 3) as Augmentation gives it."""
    _, h, w, _ = images.shape
    across = affine[:, :, 0, None] * centres(w, images.device)
    down = affine[:, :, 1, None] * centres(h, images.device) + affine[:, :, 2, None]
    place = across[:, :, None] + down[..., None]  # (B, 2, H, W)
    # pixels as they lie: to look them up here and there costs less than to part them into planes before
    colours, grid = images.float().permute(0, 3, 1, 2), place.permute(0, 2, 3, 1)
    found = F.grid_sample(colours, grid, "bilinear", "border", align_corners=False)
    corners = across[:, :, -1:].abs() + down[:, :, [0, -1]].abs()
    if not (images.is_cpu and (corners <= 1).all()):  # nobody waits for a device to say so
        found *= (torch.maximum(*place.abs_().unbind(1)) <= 1)[:, None]
    return found.permute(0, 2, 3, 1)


def picked(view: Tensor, *places: Tensor) -> Tensor:
    """view[places], whose first dimensions are looked up; on a CPU by NumPy, which copies what is left line by line."""
    if not view.is_cpu:
        return view[places]
    return torch.from_numpy(view.numpy()[tuple(place.numpy() for place in places)])


def mirrored(images: Tensor, which: Tensor, axis: int) -> Tensor:
    """Pictures of which some, bool (B,), are mirrored along an axis."""
    if not images.is_cpu:  # how many they are nobody has to wait for there
        return torch.where(which[:, None, None, None], images.flip(axis), images)
    rows = which.nonzero()[:, 0]
    return images.index_copy(0, rows, images.index_select(0, rows).flip(axis))


def centres(n: int, device: torch.device) -> Tensor:
    """float32 (n,): the centres of n pixels over [-1, 1], symmetric to the last bit: mirrored is mirrored."""
    return torch.arange(1 - n, n, 2, device=device) / n


def covered(images: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Pictures with each a rectangle in its own mean colour; edges (B,) in pixels."""
    _, h, w, _ = images.shape
    mask = within(h, top, bottom)[:, :, None] & within(w, left, right)[:, None]  # (B, H, W)
    mean = images.float().mean((1, 2), keepdim=True).to(images.dtype)
    return torch.where(mask[..., None], mean, images)


def within(size: int, low: Tensor, high: Tensor) -> Tensor:
    """bool (B, size): which pixels' centres lie between low and high (B,), in pixels."""
    middle = torch.arange(size, device=low.device) + 0.5
    return (middle >= low[:, None]) & (middle < high[:, None])


def planes(images: Tensor) -> Tensor:
    """float32 (B, C, H, W), a plane per channel in memory: colours are then several times faster."""
    view = images.permute(0, 3, 1, 2)
    if view.is_contiguous() or not view.is_cpu:
        return view.contiguous().float()
    # what torch copies number by number NumPy copies in up to half the time
    return torch.from_numpy(np.ascontiguousarray(view.numpy())).float()


def floats(images: Tensor) -> Tensor:
    """float32 (B, H, W, C); of bytes, planes in memory."""
    return planes(images).permute(0, 2, 3, 1) if images.dtype == torch.uint8 else images


def grey(images: Tensor) -> Tensor:
    """float32 (B, H, W, 1); pictures of one channel are grey already."""
    images = floats(images)
    if images.shape[3] != 3:
        return images
    red, green, blue = images.split(1, 3)
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def blended(images: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """float32: factor 1 the pictures, 0 the other, above 1 further away from it."""
    factor = factor[:, None, None, None]
    return (floats(images) * factor).add_(other * (1 - factor)).clamp_(0, 255)


def smoothed(images: Tensor, deviation: Tensor, most: float) -> Tensor:
    """float32: each picture under a Gaussian of its own deviation in pixels, up to `most`; the border goes on outside."""
    whole = planes(images)
    if not images.is_cpu:  # how many are to be smoothed nobody has to wait for there
        return _smoothed(whole, deviation, most).permute(0, 2, 3, 1)
    rows = deviation.nonzero()[:, 0]
    return whole.index_copy(0, rows, _smoothed(whole[rows], deviation[rows], most)).permute(0, 2, 3, 1)


def _smoothed(planes: Tensor, deviation: Tensor, most: float) -> Tensor:
    h, w = planes.shape[2:]
    radius = max(1, round(3 * most))
    offset = torch.arange(-radius, radius + 1, device=planes.device)
    kernel = torch.exp(-((offset / deviation.clamp(min=1e-3)[:, None]) ** 2) / 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # (B, 2r + 1)
    # a product of matrices: at these sizes as fast as a convolution, whose kernels differ from picture to picture here
    return bands(kernel, h)[:, None] @ (planes @ bands(kernel, w).mT[:, None])


def bands(kernel: Tensor, n: int) -> Tensor:
    """float32 (B, n, n): what each of n pixels takes from each; beyond the border stands the border."""
    b, size = kernel.shape
    place = torch.arange(n, device=kernel.device)[:, None] + torch.arange(size, device=kernel.device) - size // 2
    place = place.clamp(0, n - 1).expand(b, n, size)
    return kernel.new_zeros(b, n, n).scatter_add_(2, place, kernel[:, None].expand(b, n, size))


def hue_turned(images: Tensor, turn: Tensor) -> Tensor:
    """float32 (B, H, W, 3) with the hue moved by so many turns of the colour circle; saturation and value stay (HSV)."""
    colours = planes(images)
    red, green, blue = colours.unbind(1)
    value, low = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    chroma = value - low
    away = (value[:, None] - colours).div_(chroma.clamp(min=1e-6)[:, None])  # 0 for the largest, 1 for the smallest
    hue = torch.where(green == value, 2 + away[:, 0] - away[:, 2], 4 + away[:, 1] - away[:, 0])
    hue = torch.where(red == value, away[:, 2] - away[:, 1], hue).div_(6).add_(turn[:, None, None])
    # its share of the chroma is missing from a colour more than a third of the circle away from where that is largest,
    # none within a sixth
    place = hue[:, None] + hue.new_tensor([1 / 2, 1 / 6, -1 / 6])[:, None, None]
    missing = torch.rsub((place - place.round()).abs_(), 2, alpha=6).clamp_(0, 1)
    return torch.addcmul(value[:, None], chroma[:, None], missing, value=-1).permute(0, 2, 3, 1)
