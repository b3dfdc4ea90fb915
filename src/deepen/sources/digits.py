"""Handwritten digits, 1,797 grey pictures of 8 x 8 (they come inside scikit-learn)."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from deepen.data.items import Items
from deepen.errors import missing_extra


class Digits:
    """The UCI handwritten digits. scikit-learn itself is not imported: only its file is read."""

    tiny: dict = {}

    def read(self) -> Items:
        found = importlib.util.find_spec("sklearn")
        if found is None or found.origin is None:
            raise missing_extra("scikit-learn", "demo", "for the digits, which come inside it")
        with gzip.open(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
            table = np.loadtxt(file, delimiter=",")
        pictures = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        return Items(
            ids=[f"digits:{i}" for i in range(len(pictures))],
            inputs={"image": pictures},
            encoders={"image": ("image", {})},
            target=table[:, -1].astype(int).tolist(),
            kind="classes",
            target_name="digit",
        )
