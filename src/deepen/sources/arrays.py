"""Arrays in an NPZ file: x and y, or x_train, y_train, x_test, y_test. uint8 of picture shape counts as pictures."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from deepen.data.columns import FEW
from deepen.data.items import Items
from deepen.errors import DeepenError, counted, unknown
from deepen.machine import memory
from deepen.schema import Count

PARTS = ("train", "val", "test")
TOLERANCE = 1e-3  # to which shares add up to 1
SHAPE = "arrays x and y, or x_train and y_train (x_test and y_test, x_val and y_val)"


class Arrays:
    """Arrays of items and of answers. Whole numbers in y are classes (of float type: up to 20 of them), others a number to predict; or say `kind`.

    A y of several columns is one-hot, labels that may hold together (0 and 1), or what several people said: whole numbers
    are votes, numbers that add up to 1 shares of the classes 0, 1, ... Then the shares are learnt, and what most said is
    what figures are of.

    target  the array that holds the answers to x, where it is not called y
    """

    def __init__(
        self,
        path: str,
        target: str | None = None,
        kind: Literal["classes", "number", "labels"] | None = None,
        size: Count | None = None,
    ) -> None:
        self.path, self.target, self.kind, self.size = path, target, kind, size

    def read(self) -> Items:
        xs, ys, split = self._load()
        x = np.concatenate(xs)
        pictures = x.dtype == np.uint8 and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in {1, 3}))
        if pictures and x.ndim == 3:
            x = x[..., None]
        y = np.concatenate(ys) if ys else None
        votes = None if y is None else self._votes(y)
        notes = []
        if votes is not None:
            target, kind = votes.argmax(1).tolist(), "classes"
            notes.append(
                f"y holds votes for {votes.shape[1]} classes: their shares are learnt; figures take what most said"
            )
        else:
            target, kind = ([None] * len(x), self.kind or "classes") if y is None else self._target(y)
        encoder = ("image", {"size": self.size}) if pictures else ("array", {})
        if x.dtype.kind == "f" and (infinite := int(np.isinf(x).any(axis=tuple(range(1, x.ndim))).sum())):
            notes.append(f"{counted(infinite, 'item')} with infinite values: they count as missing")
        return Items(
            ids=[f"{Path(self.path).name}:{i}" for i in range(len(x))],
            inputs={"image" if pictures else "array": x},
            encoders={"image" if pictures else "array": encoder},
            target=target,
            kind=kind,
            target_name="label" if kind != "number" else "value",
            split=split,
            notes=notes,
            wanted=SHAPE,
            votes=votes,
        )

    def _votes(self, y: np.ndarray) -> np.ndarray | None:
        """float32 (n, K): shares of the classes, where y has votes or shares in a column per class."""
        if y.ndim != 2 or y.shape[1] < 2 or self.kind not in {None, "classes"} or np.isin(y, (0, 1)).all():
            return None
        if y.dtype.kind not in "fiu":
            raise DeepenError(
                "data.arrays", f"{self.path}: y", f"columns of type {y.dtype}", "a column of numbers for each class"
            )
        total = y.sum(1, keepdims=True, dtype=np.float64)
        wrong = np.flatnonzero((y < 0).any(1) | ~(total[:, 0] > 0))
        if y.dtype.kind == "f":
            wrong = np.flatnonzero((y < 0).any(1) | ~(np.abs(total[:, 0] - 1) < TOLERANCE))
        if len(wrong):
            raise DeepenError(
                "data.arrays", f"{self.path}: y[{wrong[0]}]", f"got {y[wrong[0]].tolist()}",
                "one answer per item, 0 and 1, votes per class, or shares of the classes that add up to 1",
            )  # fmt: skip
        never = sorted({*range(y.shape[1])} - {*y.argmax(1).tolist()})
        if never:
            raise DeepenError(
                "data.arrays", f"{self.path}: y", f"no item has most of its votes in column {never[0]}",
                "items of each class", "leave the column out",
            )  # fmt: skip
        return (y / total).astype(np.float32)

    def _target(self, y: np.ndarray) -> tuple[list, str]:
        """Raw labels and their kind."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim == 2:
            if not np.isin(y, (0, 1)).all():
                raise DeepenError(
                    "data.arrays", f"{self.path}: y", f"shape {y.shape}", "one answer per item, or 0 and 1"
                )
            if self.kind != "labels" and (y.sum(1) == 1).all():  # one-hot
                return y.argmax(1).tolist(), "classes"
            return [[str(i) for i in np.flatnonzero(row)] for row in y], "labels"
        if y.ndim != 1:
            raise DeepenError("data.arrays", f"{self.path}: y", f"shape {y.shape}", "one answer per item")
        whole = y.dtype.kind != "f" or (len(np.unique(y)) <= FEW and (y == np.round(y)).all())
        return y.tolist(), self.kind or ("classes" if whole else "number")

    def _load(self) -> tuple[list[np.ndarray], list[np.ndarray], list[str | None] | None]:
        found = self._members()
        if self.target is not None:
            if "x" not in found or self.target not in found:
                raise unknown("data.target", "data.target", self.target, found, what="array")
            found["y"] = found[self.target]
        bare = bool(found) and all(name.partition("_")[0] == "x" for name in found)  # for what learns without labels
        y = "x" if bare else "y"
        if {"x", y} <= set(found):
            pairs: list[tuple[str, str]] = [("x", y)]
            split: list[str | None] | None = None
        else:
            parts = [p for p in PARTS if f"x_{p}" in found and f"{y}_{p}" in found]
            if "train" not in parts:
                names = ", ".join(sorted(found)[:12]) + (", ..." if len(found) > 12 else "") if found else "no arrays"
                way = "say which one holds the answers: target=..." if "x" in found else "rename the arrays"
                raise DeepenError("data.arrays", self.path, f"holds {names}", SHAPE, way)
            pairs = [(f"x_{p}", f"{y}_{p}") for p in parts]
            split = [p for p in parts for _ in range(len(found[f"x_{p}"]))]
        for x, y in pairs:
            self._fits(found, x, y, pairs[0])
        return [found[x] for x, _ in pairs], [] if bare else [found[y] for _, y in pairs], split

    def _fits(self, found: dict[str, np.ndarray], x: str, y: str, first: tuple[str, str]) -> None:
        a, b = found[x], found[y]
        if a.ndim < 2:
            raise DeepenError(
                "data.arrays", f"{self.path}: {x}", f"shape {a.shape}", "a row per item",
                "one number per item: x.reshape(-1, 1)",
            )  # fmt: skip
        if b.ndim < 1 or len(a) != len(b):
            raise DeepenError(
                "data.arrays",
                f"{self.path}: {x}, {y}",
                f"shapes {a.shape} and {b.shape}",
                "one row of x per label in y",
            )
        if not a.size:
            raise DeepenError("data.empty", f"{self.path}: {x}", f"shape {a.shape}", "items")
        if a.dtype.kind not in "fiub":
            raise DeepenError("data.arrays", f"{self.path}: {x}", f"type {a.dtype}", "numbers")
        if b.dtype.kind not in "fiubU":
            raise DeepenError("data.arrays", f"{self.path}: {y}", f"type {b.dtype}", "numbers or text")
        for one, other in ((x, first[0]), (y, first[1])):
            if found[one].shape[1:] != found[other].shape[1:] or found[one].dtype != found[other].dtype:
                shapes = " and ".join(f"{found[n].dtype} {found[n].shape}" for n in (other, one))
                raise DeepenError("data.arrays", f"{self.path}: {other}, {one}", shapes, "items of one shape and type")

    def _members(self) -> dict[str, np.ndarray]:
        """The arrays named x..., y... (also X, Y); only the names of the others are looked at."""
        if not Path(self.path).is_file():
            raise DeepenError("data.path", self.path, "no such file", "an .npz file")
        try:
            with zipfile.ZipFile(self.path) as archive:
                size = sum(info.file_size for info in archive.infolist())
            if size > memory():
                raise DeepenError(
                    "data.arrays",
                    self.path,
                    f"{size / 1e9:.1f} GB of arrays",
                    f"at most the {memory() / 1e9:.1f} GB free",
                )
            with np.load(self.path, allow_pickle=False) as file:
                wanted = {n for n in file.files if n.lower().partition("_")[0] in {"x", "y"} or n == self.target}
                return {
                    n.lower() if n != self.target and n in wanted else n: file[n] if n in wanted else np.empty(0)
                    for n in file.files
                }
        except (
            OSError,
            ValueError,
            EOFError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
        ) as problem:
            found = "arrays of Python objects" if "allow_pickle" in str(problem) else str(problem) or "not readable"
            raise DeepenError("data.arrays", self.path, found, "an .npz file of plain arrays") from problem
