"""Round clouds of points, one per class, made up from a seed: for trying things out and for tests."""

from __future__ import annotations

import numpy as np

from deepen.data.items import Items
from deepen.preprocess.row import Rows
from deepen.schema import Count, Natural, Positive


class Blobs:
    """Points around `classes` centres in `width` dimensions; with kind "number" the target is a smooth function.

    items    points in all
    classes  centres
    width    dimensions
    spread   deviation of the points around their centre, whose own are drawn with 3
    kind     classes: which centre; number: a function of the place
    seed     of the draw
    """

    tiny = {"items": 120}

    def __init__(
        self,
        items: Count = 600,
        classes: Count = 3,
        width: Count = 4,
        spread: Positive = 1.0,
        kind: str = "classes",
        seed: Natural = 0,
    ) -> None:
        self.items, self.classes, self.width, self.spread, self.kind, self.seed = (
            items,
            classes,
            width,
            spread,
            kind,
            seed,
        )

    def read(self) -> Items:
        rng = np.random.default_rng(self.seed)
        centres = rng.normal(scale=3.0, size=(self.classes, self.width))
        label = rng.integers(self.classes, size=self.items)
        points = centres[label] + rng.normal(scale=self.spread, size=(self.items, self.width))
        target = [f"blob{c}" for c in label]
        if self.kind == "number":
            target = (np.sin(points[:, 0]) + points[:, 1:].sum(1) / 3).tolist()
        names = [f"x{i}" for i in range(self.width)]
        return Items(
            ids=[f"blobs:{i}" for i in range(self.items)],
            inputs={"row": Rows({name: points[:, i].copy() for i, name in enumerate(names)})},
            encoders={"row": ("row", {"types": dict.fromkeys(names, "number")})},
            target=target,
            kind=self.kind,
            target_name="blob" if self.kind == "classes" else "height",
        )
