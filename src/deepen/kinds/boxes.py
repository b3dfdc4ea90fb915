"""Boxes around things in a picture, each of one class. Output: boxes (B, A, 4) and scores (B, A, K) for A places.

What overlaps is thinned out by the program's `nms` step; its arrays `detected.*` are what is decoded.
Boxes are x1, y1, x2, y2 as shares of the picture's width and height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError, Invalid
from deepen.schema import shortened
from deepen.tensors import Arrays, Tensor

PLACES = 9  # decimals of a share: finer than a pixel of any picture, coarse enough to survive arithmetic


class Boxes(msgspec.Struct, frozen=True):
    """The class names, in the order of the scores."""

    classes: tuple[str, ...]
    threshold: float = 0.3
    overlap: float = 0.5

    metric: ClassVar[str] = "found"
    fitted: ClassVar[str] = "all"
    widget: ClassVar[str] = "boxes"

    @property
    def width(self) -> int:
        return 4 + len(self.classes)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("boxes", "float32", ("batch", "places", 4)),
            Tensor("scores", "float32", ("batch", "places", len(self.classes))),
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return (
            *self.tensors,
            Tensor("detected.boxes", "float32", ("found", 4), join="concat"),
            Tensor("detected.scores", "float32", ("found",), join="concat"),
            Tensor("detected.class", "int64", ("found",), join="concat"),
            Tensor("detected.picture", "int64", ("found",), join="shift", of="batch"),
        )

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What the program does after the graph."""
        return [{"do": "nms", "threshold": self.threshold, "overlap": self.overlap}]

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target") -> Boxes:
        """Raw labels are lists of {"box": [x1, y1, x2, y2], "class": name}; None: not labelled."""
        names = cls.names_in(values)
        if not names:
            raise DeepenError("data.boxes", where, "no box at all", "at least one")
        return cls(names)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """object (n,): per picture float32 (boxes, 5) of x1, y1, x2, y2 and class; None where not labelled."""
        result = np.empty(len(values), object)
        for row, value in enumerate(values):
            if value is not None:
                rows = [[*thing["box"], self.classes.index(thing["class"])] for thing in value]
                result[row] = np.array(rows, np.float32).reshape(-1, 5)
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.array([t is not None for t in target])

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.zeros(len(target), int)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        pictures = len(outputs["boxes"])
        found: list[list[dict[str, Any]]] = [[] for _ in range(pictures)]
        columns = (outputs[f"detected.{name}"].tolist() for name in ("picture", "boxes", "scores", "class"))
        for picture, box, score, label in zip(*columns):
            found[picture].append({"label": self.classes[label], "score": score, "box": box})
        return [{"boxes": boxes} for boxes in found]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        """found: the share of true boxes met by a detected box of their class with an overlap of a half."""
        met = total = 0
        for picture, truth in enumerate(target):
            mine = outputs["detected.picture"] == picture
            boxes, label = outputs["detected.boxes"][mine], outputs["detected.class"][mine]
            for row in truth:
                rivals = boxes[label == int(row[4])]
                met += bool(len(rivals) and (metrics.iou(row[:4], rivals) >= 0.5).any())
                total += 1
        return {"found": met / max(total, 1)}

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of pictures in which both found the same classes at the same places."""
        pairs = zip(self.decode(a), self.decode(b))
        return float(np.mean([_same(x["boxes"], y["boxes"], self.threshold + 1e-3) for x, y in pairs]))

    def difference(self, a: Arrays, b: Arrays) -> float:
        return max(float(np.abs(a[name] - b[name]).max()) for name in ("boxes", "scores"))

    def gap(self, a: Any, b: Any) -> float:
        """A box at the threshold may be there or not: answers are equal when each holds what the other is firm about."""
        return 0.0 if _same(a["boxes"], b["boxes"], self.threshold + 1e-3) else float("inf")

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """1 for a score of a half, 0 for one of 0 or 1: the least certain box of each picture."""
        return 1 - 2 * np.abs(outputs["scores"].max(2) - 0.5).min(1)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer: how many boxes, and the class, score and area of the surest one."""
        pictures = len(outputs["boxes"])
        picture, score, box = (outputs[f"detected.{name}"] for name in ("picture", "scores", "boxes"))
        best = np.full(pictures, -1)
        order = np.argsort(score, kind="stable")
        best[picture[order]] = order  # the last, surest one stays
        some = best >= 0
        area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        of_best = lambda values: np.where(some, np.r_[values, np.nan][best], np.nan).astype(np.float64)
        names = np.array([*self.classes, "(none)"])
        return {
            "boxes": np.bincount(picture, minlength=pictures).astype(np.float64),
            "class": names[np.where(some, np.r_[outputs["detected.class"], -1][best], -1)],
            "confidence": of_best(score),
            "area": of_best(area),
        }

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The found boxes of decoded answers; the places they were chosen from are gone."""
        found = [(i, thing) for i, answer in enumerate(answers) for thing in answer["boxes"]]
        return {
            "boxes": np.zeros((len(answers), 0, 4), np.float32),
            "scores": np.zeros((len(answers), 0, len(self.classes)), np.float32),
            "detected.boxes": np.array([thing["box"] for _, thing in found], np.float32).reshape(-1, 4),
            "detected.scores": np.array([thing["score"] for _, thing in found], np.float32),
            "detected.class": np.array([self.classes.index(thing["label"]) for _, thing in found], np.int64),
            "detected.picture": np.array([i for i, _ in found], np.int64),
        }

    # ---------------------------------------------------------------- labels given by hand

    @classmethod
    def named(cls, names: Sequence[str]) -> Boxes:
        return cls(tuple(names))

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @classmethod
    def names_in(cls, values: Sequence[Any]) -> tuple[str, ...]:
        return tuple(sorted({thing["class"] for value in values if value is not None for thing in value}))

    def label(self, value: Any) -> list[dict[str, Any]]:
        """The boxes in a raw label, to PLACES decimals; Invalid where one is not inside the picture or has no area."""
        if not isinstance(value, list):
            raise Invalid(f"got {shortened(value)}", "a list of boxes, empty where there is nothing")
        return [self._thing(thing, f"box {i}") for i, thing in enumerate(value, 1)]

    def _thing(self, thing: Any, where: str) -> dict[str, Any]:
        if not isinstance(thing, dict) or not {"box", "class"} <= set(thing):
            raise Invalid(f"{where}: {shortened(thing)}", "box and class")
        if thing["class"] not in self.classes:
            raise Invalid(f"{where}: class {shortened(thing['class'])}", f"one of {', '.join(self.classes)}")
        box = thing["box"]
        if not isinstance(box, (list, tuple)) or len(box) != 4:
            raise Invalid(f"{where}: {shortened(box)}", "x1, y1, x2, y2")
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in box):
            raise Invalid(f"{where}: {shortened(box)}", "four numbers")
        x1, y1, x2, y2 = (round(float(v), PLACES) + 0.0 for v in box)
        if min(x1, y1, x2, y2) < 0 or max(x1, y1, x2, y2) > 1:
            raise Invalid(f"{where}: {[x1, y1, x2, y2]} is not inside the picture", "shares from 0 to 1")
        if x2 <= x1 or y2 <= y1:
            raise Invalid(f"{where}: {[x1, y1, x2, y2]} has no area", "x1 < x2 and y1 < y2")
        return {"box": [x1, y1, x2, y2], "class": thing["class"]}

    def suggest(self, answer: Any) -> list[dict[str, Any]]:
        """A raw label from an answer of the model."""
        return [{"box": [min(max(v, 0.0), 1.0) for v in b["box"]], "class": b["label"]} for b in answer["boxes"]]

    def distance(self, a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> float:
        """The share of boxes without a partner of their class that overlaps by half; each has one partner at most."""
        free, met = list(b), 0
        for thing in a:
            rivals = [
                (float(metrics.iou(np.array(thing["box"]), np.array([other["box"]]))[0]), i)
                for i, other in enumerate(free)
                if other["class"] == thing["class"]
            ]
            best = max(rivals, default=(0.0, 0))
            if best[0] >= 0.5:
                met += 1
                del free[best[1]]
        return 1 - 2 * met / (len(a) + len(b)) if a or b else 0.0

    def consensus(self, values: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
        """The answer nearest to the others, where it has at least half of its boxes in common with them; else None."""
        cost = [sum(self.distance(one, other) for other in values) for one in values]
        best = int(np.argmin(cost))
        return values[best] if cost[best] <= 0.5 * (len(values) - 1) else None

    def describe(self) -> str:
        return f"boxes of {len(self.classes)} classes"


def _same(a: list[dict[str, Any]], b: list[dict[str, Any]], firm: float) -> bool:
    """Whether each found what the other is firm about; a score at the threshold may fall on either side of it."""
    return all(
        any(x["label"] == y["label"] and np.allclose(x["box"], y["box"], atol=1e-3) for y in there)
        for here, there in ((a, b), (b, a))
        for x in here
        if x["score"] > firm
    )
