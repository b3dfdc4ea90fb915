"""A folder of pictures, one folder per class: photos/cat/1.jpg, or photos/train/cat/1.jpg beside photos/test/."""

from __future__ import annotations

from typing import Literal

from deepen.data.folders import PICTURES, read
from deepen.data.items import Items
from deepen.schema import Count

ENDINGS = PICTURES.endings


class Images:
    """Class names are the folders' names; pictures under `unlabeled/` and in no folder have none; hidden files are passed over.

    A split can go by the columns `folder` (the innermost) and `series` (a file's name without the number at its end).

    resize  crop: the picture covers the frame and is cut in the middle; stretch: either side is scaled by itself
    """

    def __init__(self, path: str, size: Count | None = None, resize: Literal["crop", "stretch"] = "crop") -> None:
        self.path, self.size, self.resize = path, size, resize

    def read(self) -> Items:
        return read(self.path, PICTURES, "image", ("image", {"size": self.size, "resize": self.resize}))
