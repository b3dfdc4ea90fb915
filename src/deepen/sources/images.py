"""A folder of pictures, one folder per class: photos/cat/1.jpg, or photos/train/cat/1.jpg beside photos/test/."""

from __future__ import annotations

from typing import Literal

from deepen.data.folders import Sort, read
from deepen.data.items import Items
from deepen.schema import Count

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".ppm", ".pgm"})
OTHER = frozenset(
    {".gif", ".tif", ".tiff", ".heic", ".heif", ".svg", ".pdf", ".avif", ".psd", ".raw", ".dng", ".jp2", ".jxl"}
)
PICTURES = Sort(
    "picture",
    ENDINGS,
    OTHER,
    "convert it to PNG or JPEG",
    "a folder per class with .jpg, .png or .webp in it",
    "photos/cat/1.jpg, photos/dog/2.jpg, ...",
)


class Images:
    """Class names are the folders' names; pictures under `unlabeled/` and in no folder have none; hidden files are passed over.

    A split can go by the columns `folder` (the innermost) and `series` (a file's name without the number at its end).
    """

    def __init__(self, path: str, size: Count | None = None, resize: Literal["crop", "stretch"] = "crop") -> None:
        self.path, self.size, self.resize = path, size, resize

    def read(self) -> Items:
        return read(self.path, PICTURES, "image", ("image", {"size": self.size, "resize": self.resize}))
