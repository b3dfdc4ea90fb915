"""Pictures for the tests of augmentations, and Pillow as their judge: one picture at a time, in its own words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from deepen.preprocess.image import Image as Encoder
from deepen.signature import Signature

N, H, W, C = 13, 12, 9, 3
COLOUR = Signature({"image": Encoder(H, W, C)}, {})


def pictures(seed: int = 0, n: int = N, height: int = H, width: int = W, channels: int = C) -> torch.Tensor:
    shape = (n, height, width, channels)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(picture: torch.Tensor, a: float, b: float, c: float, d: float, e: float, f: float) -> np.ndarray:
    """Pillow's bilinear transform: the pixel whose centre is (x, y) comes from (a x + b y + c, d x + e y + f)."""
    h, w, _ = picture.shape
    planes = (Image.fromarray(plane) for plane in picture.float().permute(2, 0, 1).numpy())
    done = [
        plane.transform((w, h), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
        for plane in planes
    ]
    return np.stack([np.asarray(plane) for plane in done], 2)


def by_pillow(picture: torch.Tensor, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """A picture of bytes through Pillow, one of a single channel as its mode L."""
    image = Image.fromarray(picture.numpy().squeeze(2) if picture.shape[2] == 1 else picture.numpy())
    return np.asarray(change(image)).reshape(picture.shape).astype(float)
