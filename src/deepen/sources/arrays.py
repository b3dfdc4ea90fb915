"""Arrays in an NPZ file: x and y, or x_train, y_train, x_test, y_test. uint8 of picture shape counts as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from deepen.data import npz
from deepen.data.columns import FEW
from deepen.data.items import Bad, Items
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
    what figures are of. An item nobody voted on is unlabelled, as is one whose y is NaN.

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
        ids = [f"{Path(self.path).name}:{i}" for i in range(len(x))]
        votes = None if y is None else self._votes(y)
        notes: list[str] = []
        bad: list[Bad] = []
        kind: str
        if y is None:
            target, kind = [None] * len(x), self.kind or "classes"
        elif votes is None:
            target, kind = self._target(y, notes)
        else:
            wrong, target, kind = np.isnan(votes).any(1), votes.argmax(1).tolist(), "classes"
            bad = [Bad(ids[i], f"y holds {y[i].tolist()}, no votes or shares") for i in np.flatnonzero(wrong)]
            kept = np.flatnonzero(~wrong).tolist()
            ids, target = [ids[i] for i in kept], [target[i] if votes[i].any() else None for i in kept]
            x, votes, split = x[kept], votes[kept], [split[i] for i in kept] if split else None
            notes.append(
                f"y holds votes for {votes.shape[1]} classes: their shares are learnt; figures take what most said"
            )
            if silent := target.count(None):
                notes.append(f"{counted(silent, 'item')} that nobody voted on: taken as unlabelled")
        encoder = ("image", {"size": self.size}) if pictures else ("array", {})
        if x.dtype.kind == "f" and (infinite := int(np.isinf(x).any(axis=tuple(range(1, x.ndim))).sum())):
            notes.append(f"{counted(infinite, 'item')} with infinite values: they count as missing")
        return Items(
            ids=ids,
            inputs={"image" if pictures else "array": x},
            encoders={"image" if pictures else "array": encoder},
            target=target,
            kind=kind,
            target_name="label" if kind != "number" else "value",
            split=split,
            bad=bad,
            notes=notes,
            wanted=SHAPE,
            votes=votes,
        )

    def _votes(self, y: np.ndarray) -> np.ndarray | None:
        """float32 (n, K): shares of the classes, where y has votes or shares in a column per class.

        0 where nobody voted, NaN where a row is neither; a y of which most rows are so is refused.
        """
        if y.ndim != 2 or y.shape[1] < 2 or self.kind not in {None, "classes"}:
            return None
        if y.dtype.kind not in "fiub":
            raise DeepenError(
                "data.arrays", f"{self.path}: y", f"columns of type {y.dtype}", "a column of numbers for each class"
            )
        given = np.flatnonzero(~_nothing(y))
        rows = y[given].astype(np.float64)
        total, broken = rows.sum(1), (rows != np.round(rows)).any(1)
        if np.isin(rows, (0, 1)).all() and (self.kind is None or (total == 1).all()):
            return None
        one = np.abs(total - 1) < TOLERANCE
        shares = broken.any() and one.mean() >= 0.5
        wrong = (rows < 0).any(1) | ~np.isfinite(total) | (~one if shares else broken)
        if wrong.mean() > 0.5:
            first = given[wrong][0]
            raise DeepenError(
                "data.arrays", f"{self.path}: y[{first}]", f"got {y[first].tolist()}",
                "one answer per item, 0 and 1, votes per class, or shares of the classes that add up to 1",
            )  # fmt: skip
        never = sorted({*range(y.shape[1])} - {*rows[~wrong].argmax(1).tolist()})
        if never:
            raise DeepenError(
                "data.arrays", f"{self.path}: y", f"no item has most of its votes in column {never[0]}",
                "items of each class", "leave the column out",
            )  # fmt: skip
        found = np.zeros(y.shape, np.float32)
        found[given] = np.where(wrong, np.nan, rows.T / np.where(wrong, 1, total)).T
        return found

    def _target(self, y: np.ndarray, notes: list[str]) -> tuple[list, str]:
        """Raw labels and their kind; None or NaN where there is none."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim == 2:
            unknown = np.isnan(y).all(1) if y.dtype.kind == "f" else np.zeros(len(y), bool)
            rows = y[~unknown]
            if not np.isin(rows, (0, 1)).all():
                raise DeepenError(
                    "data.arrays", f"{self.path}: y", f"shape {y.shape}", "one answer per item, or 0 and 1"
                )
            silent = int((rows.sum(1) == 0).sum())
            if self.kind != "labels" and (rows.sum(1) <= 1).all() and (self.kind == "classes" or not silent):  # one-hot
                return [None if empty else int(row.argmax()) for empty, row in zip(_nothing(y), y)], "classes"
            if silent and (rows.sum(1) <= 1).all() and self.kind is None:
                notes.append(
                    f"{counted(silent, 'row')} of y without a 1: labels that may hold together are learnt; "
                    "kind=classes takes such items as unlabelled"
                )
            every = ([str(i) for i in np.flatnonzero(row)] for row in y)
            return [None if missing else labels for missing, labels in zip(unknown, every)], "labels"
        if y.ndim != 1:
            raise DeepenError("data.arrays", f"{self.path}: y", f"shape {y.shape}", "one answer per item")
        known = y[~np.isnan(y)] if y.dtype.kind == "f" else y
        whole = y.dtype.kind != "f" or (len(np.unique(known)) <= FEW and (known == np.round(known)).all())
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
        with npz.reading(self.path, "data.arrays") as size:
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


def _nothing(y: np.ndarray) -> np.ndarray:
    """bool (n,): rows in which no column says anything."""
    return ((y == 0) | np.isnan(y)).all(1) if y.dtype.kind == "f" else (y == 0).all(1)
