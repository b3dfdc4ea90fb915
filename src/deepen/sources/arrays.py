"""Arrays in an NPZ file: x and y, or x_train, y_train, x_test, y_test. uint8 of picture shape counts as pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from deepen.data.items import Items
from deepen.errors import DeepenError

PARTS = ("train", "val", "test")


class Arrays:
    """Whole numbers in y are classes, others a number to predict; `kind` says otherwise."""

    def __init__(self, path: str, kind: str | None = None, size: int | None = None) -> None:
        self.path, self.kind, self.size = path, kind, size

    def read(self) -> Items:
        xs, ys, split = self._load()
        x, y = np.concatenate(xs), np.concatenate(ys)
        pictures = x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in {1, 3}))
        if pictures and x.ndim == 3:
            x = x[..., None]
        kind = self.kind or ("labels" if y.ndim == 2 else "classes" if y.dtype.kind in "iuUb" else "number")
        target = (
            [[str(i) for i in np.flatnonzero(row)] for row in y] if kind == "labels" and y.ndim == 2 else y.tolist()
        )
        encoder = ("image", {"size": self.size}) if pictures else ("array", {})
        return Items(
            ids=[f"{Path(self.path).name}:{i}" for i in range(len(x))],
            inputs={"image" if pictures else "array": x},
            encoders={"image" if pictures else "array": encoder},
            target=target,
            kind=kind,
            target_name="label" if kind != "number" else "value",
            split=split,
        )

    def _load(self) -> tuple[list[np.ndarray], list[np.ndarray], list[str | None] | None]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files if name.partition("_")[0] in {"x", "y"}}
        except (OSError, ValueError, zipfile.BadZipFile) as problem:
            raise DeepenError(
                "data.arrays", self.path, str(problem) or "not readable", "an .npz file of plain arrays"
            ) from problem
        if {"x", "y"} <= set(found):
            pairs, split = [("x", "y")], None
        else:
            parts = [p for p in PARTS if f"x_{p}" in found and f"y_{p}" in found]
            if "train" not in parts:
                raise DeepenError(
                    "data.arrays",
                    self.path,
                    f"holds {', '.join(sorted(found)) or 'no x and y'}",
                    "x and y, or x_train and y_train (x_test and y_test, x_val and y_val)",
                )
            pairs = [(f"x_{p}", f"y_{p}") for p in parts]
            split = [p for p in parts for _ in range(len(found[f"x_{p}"]))]
        for x, y in pairs:
            if len(found[x]) != len(found[y]) or found[x].ndim < 2:
                raise DeepenError(
                    "data.arrays",
                    f"{self.path}: {x}, {y}",
                    f"shapes {found[x].shape} and {found[y].shape}",
                    "one row of x per label in y",
                )
            if found[x].dtype.kind not in "fiub":
                raise DeepenError("data.arrays", f"{self.path}: {x}", f"type {found[x].dtype}", "numbers")
        return [found[x] for x, _ in pairs], [found[y] for _, y in pairs], split
