"""Augmentation of batches of 64 pictures, 96 x 96 in colour, against Pillow picture by picture: time per picture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from benchmarks.pairs import Row
from deepen.data.augment import Augment
from deepen.preprocess.image import Image as Encoder
from deepen.signature import Signature

BATCH, SIDE, REPEATS = 64, 96, 6
BILINEAR, AFFINE = Image.Resampling.BILINEAR, Image.Transform.AFFINE
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def moved(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Rotation, size and flip in one look-up, as ours."""
    angle, size = random.uniform(-math.pi / 12, math.pi / 12), math.exp(random.uniform(math.log(0.8), math.log(1.25)))
    cos, sin, middle = math.cos(angle) / size, math.sin(angle) / size, SIDE / 2
    places = (cos, -sin, middle * (1 - cos + sin), sin, cos, middle * (1 - sin - cos))
    image = image.transform((SIDE, SIDE), AFFINE, places, BILINEAR)
    return ImageOps.mirror(image) if random.random() < 0.5 else image


def coloured(image: Image.Image, random: np.random.Generator) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(random.uniform(0.7, 1.3))
    bands = [np.asarray(band) for band in image.convert("HSV").split()]
    bands[0] = bands[0] + np.uint8(random.uniform(0, 12))
    return Image.merge("HSV", [Image.fromarray(band) for band in bands]).convert("RGB")


def blurred(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 1.5))) if random.random() < 0.5 else image


def randomised(image: Image.Image, random: np.random.Generator) -> Image.Image:
    changes: list[Change] = [
        lambda x, r: x,
        lambda x, r: ImageOps.autocontrast(x),
        lambda x, r: ImageOps.equalize(x),
        lambda x, r: ImageOps.posterize(x, 7),
        lambda x, r: ImageOps.solarize(x, 178),
        *(lambda x, r, e=e: e(x).enhance(1.27) for e in (ImageEnhance.Color, ImageEnhance.Contrast)),  # type: ignore[misc]
        *(lambda x, r, e=e: e(x).enhance(1.27) for e in (ImageEnhance.Brightness, ImageEnhance.Sharpness)),  # type: ignore[misc]
        lambda x, r: x.rotate(9, BILINEAR),
        *(
            lambda x, r, p=p: x.transform((SIDE, SIDE), AFFINE, p, BILINEAR)  # type: ignore[misc]
            for p in ((1, 0.09, 0, 0, 1, 0), (1, 0, 0, 0.09, 1, 0), (1, 0, 13, 0, 1, 0), (1, 0, 0, 0, 1, 13))
        ),
    ]
    for _ in range(2):
        image = changes[random.integers(len(changes))](image, random)
    return image


CHAINS: dict[str, tuple[list[str], Change]] = {
    "rotate, scale and flip": (["rotate", "scale", "flip"], moved),
    "brightness, contrast, saturation and hue": (["brightness", "contrast", "saturation", "hue"], coloured),
    "blur": (["blur"], blurred),
    "RandAugment": (["rand_augment"], randomised),
}


def rows(pairs: int) -> list[Row]:
    """Both in this process, in turn, one thread; CPU time, arrays in and arrays out."""
    torch.set_num_threads(1)
    return [
        Row(f"{name}: pictures per CPU second over Pillow", [ratio(names, peer, i) for i in range(pairs)], "x", ">= 1x", lambda v: v >= 1)
        for name, (names, peer) in CHAINS.items()
    ]  # fmt: skip


def ratio(names: list[str], peer: Change, seed: int) -> float:
    """Pillow's time over ours, the best of some repeats each: other work on the machine only ever adds."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)
    augment = Augment(tuple({"name": name} for name in names), Signature({"image": Encoder(SIDE, SIDE, 3)}, {}))
    generator, tensor = torch.Generator().manual_seed(seed), torch.from_numpy(pictures)

    def ours() -> None:
        augment.stored([tensor], augment.draw(BATCH, generator))

    def theirs() -> None:
        np.stack([np.asarray(peer(Image.fromarray(one), random)) for one in pictures])

    times: dict[Callable[[], None], list[float]] = {ours: [], theirs: []}
    for _ in range(REPEATS):
        for work, spent in times.items():
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
    return min(times[theirs]) / min(times[ours])
