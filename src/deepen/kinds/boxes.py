"""Boxes around things in a picture, each of one class. Output: boxes (B, A, 4) and scores (B, A, K) for A places.

The graph gives boxes as shares of its frame; the program brings them back to the user's picture (`place`) and thins out
what overlaps (`nms`): `detected.*` is what is decoded. Answers are in pixels of the picture. Labels are shares of its
width and height, so that they outlive a change of size; x1, y1, x2, y2 everywhere.

    answer  {"boxes": [{"label": "cat", "score": 0.9, "box": [12.0, 8.5, 80.0, 60.0]}], "width": 640, "height": 480}
    label   [{"box": [0.1, 0.2, 0.5, 0.6], "class": "cat"}], of many things that are not told apart with "crowd": true
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen.detection import panels as shown
from deepen.detection import precision
from deepen.errors import DeepenError, Invalid, counted, listed
from deepen.panels import Panel, PerItem
from deepen.schema import shortened
from deepen.tensors import Arrays, Columns, Tensor

PLACES = 9  # decimals of a share: finer than a pixel of any picture, coarse enough to survive arithmetic
LEAST = 0.01  # score of a box that the figures still look at; answers begin at the threshold
NEAR = 1e-3  # of the longer side: what rounding may move a box
ALIKE, SURER = 0.9, 0.05  # overlap and score above the threshold: what another network for the same task may change


class Boxes(msgspec.Struct, frozen=True):
    """The class names, in the order of the scores.

    Answered is what scores at least `threshold`, of two that overlap by more than `overlap` the surer one.
    """

    classes: tuple[str, ...]
    threshold: float = 0.3
    overlap: float = 0.6

    metric: ClassVar[str] = "map"
    fitted: ClassVar[str] = "all"
    widget: ClassVar[str] = "boxes"
    form: ClassVar[str] = "places"
    model: ClassVar[str] = "detector"
    asks: ClassVar[dict[str, dict[str, Any]]] = {"image": {"resize": "fit"}}
    truth: ClassVar[Tensor] = Tensor("truth", "float32", ("batch", "things", 6), join="pad", fill=-1)

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
            Tensor("placed", "float32", ("batch", 4)),
            Tensor("detected.boxes", "float32", ("found", 4), join="concat"),
            Tensor("detected.scores", "float32", ("found",), join="concat"),
            Tensor("detected.class", "int64", ("found",), join="concat"),
            Tensor("detected.picture", "int64", ("found",), join="shift", of="batch"),
        )

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What the program does after the graph."""
        return [
            {"do": "place", "as": "there"},
            {"do": "nms", "boxes": "there", "threshold": LEAST, "overlap": self.overlap},
        ]

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target") -> Boxes:
        """Raw labels are lists of {"box": [x1, y1, x2, y2], "class": name}; None: not labelled."""
        names = cls.names_in(values)
        if not names:
            raise DeepenError("data.boxes", where, "no box at all", "at least one")
        return cls(names)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """object (n,): per picture float64 (boxes, 6) of x1, y1, x2, y2, class, crowd; None where not labelled."""
        code = {name: i for i, name in enumerate(self.classes)}
        result = np.empty(len(values), object)
        for row, value in enumerate(values):
            if value is None:
                continue
            unknown = next((thing["class"] for thing in value if thing["class"] not in code), None)
            if unknown is not None:
                raise DeepenError(
                    "data.label", f"{where}[{row}]", f"class {unknown!r} is not known",
                    f"one of {listed(self.classes, 20)}", "fix the label or train with it",
                )  # fmt: skip
            rows = [[*thing["box"], code[thing["class"]], bool(thing.get("crowd"))] for thing in value]
            result[row] = np.array(rows, np.float64).reshape(-1, 6)
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.array([t is not None for t in target])

    def learnt(self, target: np.ndarray, columns: Columns) -> list[np.ndarray | None]:
        """The target as shares of the frame, which is what a network sees: each float32 (1, boxes, 6)."""
        shares = np.asarray(columns["placed"])[:, :2]
        scale = np.hstack([shares, shares, np.ones_like(shares)])
        return [None if t is None else (t * s)[None].astype(np.float32) for t, s in zip(target, scale)]

    def counts(self, target: np.ndarray) -> np.ndarray:
        """int (K,): how often each class occurs."""
        return np.bincount(_column(target, 4).astype(int), minlength=len(self.classes))

    def strata(self, target: np.ndarray) -> np.ndarray:
        """The rarest class in each picture: it is to stand in every part of a split; of empty pictures one more."""
        often = self.counts(target)
        return np.array([min(t[:, 4].astype(int), key=lambda c: often[c], default=len(often)) for t in target], int)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        found: list[list[dict[str, Any]]] = [[] for _ in outputs["placed"]]
        columns = (outputs[f"detected.{name}"].tolist() for name in ("picture", "boxes", "scores", "class"))
        for picture, box, score, label in zip(*columns):
            if score >= self.threshold:
                found[picture].append({"label": self.classes[label], "score": score, "box": box})
        sizes = outputs["placed"][:, 2:].astype(int).tolist()
        return [{"boxes": boxes, "width": w, "height": h} for boxes, (w, h) in zip(found, sizes)]

    # ---------------------------------------------------------------- figures

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        """As COCO defines them; a size of which there is nothing has no figure."""
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items() if not np.isnan(value[0])}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same for resamples (R, n), each (R,)."""
        return precision.figures(*self.both(target, outputs), len(target), len(self.classes), counts)

    def both(self, target: np.ndarray, outputs: Arrays) -> tuple[precision.Boxes, precision.Boxes]:
        """All true and all found boxes, in pixels."""
        size = np.tile(outputs["placed"][:, 2:].astype(np.float64), 2)  # (n, 4)
        rows = np.concatenate([t * np.r_[s, 1, 1] for t, s in zip(target, size)] or [np.zeros((0, 6))])
        picture = np.repeat(np.arange(len(target)), [len(t) for t in target])
        truth = precision.Boxes(rows[:, :4], rows[:, 4].astype(int), picture, rows[:, 5])
        box, *others = (outputs[f"detected.{name}"] for name in ("boxes", "class", "picture", "scores"))
        return truth, precision.Boxes(box.astype(np.float64), *others)

    def answered(self, target: np.ndarray, outputs: Arrays) -> tuple[precision.Boxes, precision.Boxes]:
        """The same, the found ones as far as they are answered."""
        truth, found = self.both(target, outputs)
        return truth, found.of(found.score >= self.threshold)

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """F1 of each picture's answers at an overlap of a half; 1 where there is nothing, and nothing was found."""
        truth, found = self.answered(target, outputs)
        return PerItem("f1", precision.f1(truth, found, len(target), len(self.classes)), True)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        for i, name in enumerate(self.classes):
            yield f"holds {name}", np.array([bool((t[:, 4] == i).any()) for t in target])
        yield "holds nothing", np.array([len(t) == 0 for t in target])

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        truth, found = self.both(target, outputs)
        return shown.panels(self.classes, self.threshold, truth, found, outputs["placed"])

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of pictures in which each found what the other is sure of: the same class, nearly the same box."""
        pairs = list(zip(self.decode(a), self.decode(b)))
        return float(np.mean([_same(x, y, self.threshold + SURER, _overlapping) for x, y in pairs])) if pairs else 1.0

    def difference(self, a: Arrays, b: Arrays) -> float:
        return max(float(np.abs(a[name] - b[name]).max()) for name in ("boxes", "scores"))

    def gap(self, a: Any, b: Any) -> float:
        """A box at the threshold may be there or not: answers are equal when each holds what the other is firm about."""
        return 0.0 if _same(a, b, self.threshold + NEAR, _rounded) else float("inf")

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """1 for a score of a half, 0 for one of 0 or 1: the least certain box of each picture."""
        result = np.zeros(len(outputs["placed"]))
        np.maximum.at(result, outputs["detected.picture"], 1 - 2 * np.abs(outputs["detected.scores"] - 0.5))
        return result

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer: how many boxes, and the class, score and share of the surest one."""
        size = outputs["placed"][:, 2:].astype(np.float64)
        sure = outputs["detected.scores"] >= self.threshold
        picture, score, box, label = (outputs[f"detected.{n}"][sure] for n in ("picture", "scores", "boxes", "class"))
        best = np.full(len(size), -1)
        order = np.argsort(score, kind="stable")
        best[picture[order]] = order  # the last, surest one stays
        some = best >= 0
        area = precision.area(box.astype(np.float64)) / size[picture].prod(1)
        of_best = lambda values: np.where(some, np.r_[values, np.nan][best], np.nan).astype(np.float64)
        names = np.array([*self.classes, "(none)"])
        return {
            "boxes": np.bincount(picture, minlength=len(size)).astype(np.float64),
            "class": names[np.where(some, np.r_[label, -1][best], -1)],
            "confidence": of_best(score),
            "area": of_best(area),
        }

    def told(self, outputs: Arrays) -> Arrays:
        """What is left where only answered boxes are known: the figures are lower by what less sure ones would find."""
        sure = outputs["detected.scores"] >= self.threshold
        return {name: array[sure] if name.startswith("detected.") else array for name, array in outputs.items()}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The found boxes of decoded answers; the places they were chosen from are gone."""
        found = [(i, thing) for i, answer in enumerate(answers) for thing in answer["boxes"]]
        size = np.array([[a["width"], a["height"]] for a in answers], np.float32).reshape(-1, 2)
        return {
            "boxes": np.zeros((len(answers), 0, 4), np.float32),
            "scores": np.zeros((len(answers), 0, len(self.classes)), np.float32),
            "placed": np.hstack([np.ones_like(size), size]),
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
        if not thing["class"] or thing["class"] not in self.classes:
            raise Invalid(f"{where}: class {shortened(thing['class'])}", f"one of {', '.join(self.classes)}")
        crowd = {"crowd": True} if thing.get("crowd") is True else {}
        return {"box": inside(thing["box"], where), "class": thing["class"], **crowd}

    def suggest(self, answer: Any) -> list[dict[str, Any]]:
        """A raw label from an answer of the model."""
        size = [answer["width"], answer["height"]] * 2
        shares = [[min(max(v / s, 0.0), 1.0) for v, s in zip(b["box"], size)] for b in answer["boxes"]]
        return [{"box": box, "class": thing["label"]} for box, thing in zip(shares, answer["boxes"])]

    def distance(self, a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> float:
        """The share of boxes without a partner of their class that overlaps by half; each has one partner at most."""
        free, met = list(b), 0
        for thing in a:
            rivals = [
                (float(precision.ious(np.array([thing["box"]]), np.array([other["box"]]))[0, 0]), i)
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
        return f"boxes of {counted(len(self.classes), 'class', 'classes')}: {listed(self.classes)}"


def inside(box: Any, where: str) -> list[float]:
    """A box as shares of the picture, to PLACES decimals; Invalid where it is none."""
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        raise Invalid(f"{where}: {shortened(box)}", "x1, y1, x2, y2")
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in box):
        raise Invalid(f"{where}: {shortened(box)}", "four numbers")
    x1, y1, x2, y2 = (round(float(v), PLACES) + 0.0 for v in box)
    if min(x1, y1, x2, y2) < 0 or max(x1, y1, x2, y2) > 1:
        raise Invalid(f"{where}: {[x1, y1, x2, y2]} is not inside the picture", "shares from 0 to 1")
    if x2 <= x1 or y2 <= y1:
        raise Invalid(f"{where}: {[x1, y1, x2, y2]} has no area", "x1 < x2 and y1 < y2")
    return [x1, y1, x2, y2]


def _column(target: np.ndarray, place: int) -> np.ndarray:
    """One column of all boxes of labelled pictures."""
    return np.concatenate([t[:, place] for t in target if t is not None] or [np.zeros(0)])


def _same(a: dict[str, Any], b: dict[str, Any], firm: float, alike: Callable[[Any, Any, float], bool]) -> bool:
    """Whether each found what the other is firm about; a score near the threshold may fall on either side of it."""
    longer = max(a["width"], a["height"])
    return (a["width"], a["height"]) == (b["width"], b["height"]) and all(
        any(x["label"] == y["label"] and alike(x["box"], y["box"], longer) for y in there)
        for here, there in ((a["boxes"], b["boxes"]), (b["boxes"], a["boxes"]))
        for x in here
        if x["score"] > firm
    )


def _rounded(a: Any, b: Any, longer: float) -> bool:
    return bool(np.allclose(a, b, rtol=0, atol=NEAR * longer))


def _overlapping(a: Any, b: Any, longer: float) -> bool:
    # a box without area overlaps nothing, not even itself
    return _rounded(a, b, longer) or bool(precision.ious(np.array([a]), np.array([b]))[0, 0] >= ALIKE)
