"""A folder of JPEG photos: pictures per CPU second into augmented batches, against decoding them anew in every epoch."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import work
from benchmarks.pairs import Contender, Row, alternate

TURNS = 4


def rows(pairs: int) -> list[Row]:
    """Random resized crop to 96 x 96, flip, normalise; a turn is a pass over all training pictures."""
    with tempfile.TemporaryDirectory() as place:
        small = photos(Path(place) / "small")
        what = "flowers12, 224 x 224, 10 KB" if work.real() else "synthetic, 224 x 224"
        return [
            *_of(small, what, pairs, Path(place)),
            *_of(large(Path(place) / "large"), "synthetic, 500 x 375, 51 KB", pairs, Path(place)),
        ]


def _of(folder: Path, what: str, pairs: int, place: Path) -> list[Row]:
    first, later = [], []
    for _ in range(pairs):
        settings = {"BENCHMARK_FOLDER": str(folder), "DEEPEN_CACHE": f"{place}/cache"}
        contenders = [Contender(name, {}, **settings) for name in ("folder_engine", "folder_textbook")]
        ours, theirs = alternate(contenders, TURNS).values()
        shutil.rmtree(f"{place}/cache")
        first.append(theirs["turns"][0] / theirs["pictures"] / (ours["turns"][0] / ours["decoded"]))
        later.append(theirs["cpu"] / theirs["pictures"] / (ours["cpu"] / ours["pictures"]))
    return [
        Row("JPEG folder, from the second epoch on: pictures per CPU second over Pillow", later, "x", ">= 12x", lambda v: v >= 12, what),
        Row("JPEG folder, first epoch: reads, hashes, checks, decodes, fills the cache", first, "x", ">= 2.5x", lambda v: v >= 2.5, what),
    ]  # fmt: skip


def large(folder: Path) -> Path:
    """Photos of the size the web shows: light and shade at every scale, and some grain."""
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 5)):
        for name in "abcdefgh":
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                picture = np.full((375, 500, 3), 128.0)
                for side in (3, 12, 50, 200):
                    coarse = Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8))
                    picture += (
                        (np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), float) - 128) * 1.5 / side**0.5
                    )
                picture += random.normal(0, 2.4, (375, 500, 1))
                Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
                    folder / part / name / f"{i}.jpg", quality=90
                )
    return folder


def photos(folder: Path) -> Path:
    """A folder with train/<class>/*.jpg: the real one, else made here."""
    place = work.real()
    if place and (place / "images" / "flowers12").is_dir():
        return place / "images" / "flowers12"
    random = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 10)):
        for name in "abcdefgh":
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                small = Image.fromarray(random.integers(0, 256, (28, 28, 3), np.uint8))
                small.resize((224, 224)).save(folder / part / name / f"{i}.jpg", quality=90)
    return folder
