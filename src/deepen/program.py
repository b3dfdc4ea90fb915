"""What a bundle does between encoded tensors and answers: a short list of fixed NumPy steps. Data, never code.

    [{"do": "run", "graph": "graph.onnx"}]
    [{"do": "run", "graph": "a.onnx", "as": "a."}, {"do": "run", "graph": "b.onnx", "as": "b."},
     {"do": "mean", "of": ["a.probabilities", "b.probabilities"], "as": "probabilities"}]

Each step reads named arrays and writes named arrays. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen.content import ctc
from deepen.content.writing import answer, go_on
from deepen.detection import precision
from deepen.errors import DeepenError
from deepen.tensors import Arrays

LOOKED_AT = 4  # boxes that NMS looks at for each one it may keep


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """Reads the arrays it `needs`, writes those it `gives`. `runtimes`: the loaded graphs by file name.

    late   it is for answers alone: no figure is made of what it gives, so it waits until an answer is wanted
    again  it asks a graph again and again: figures while training do without it
    """

    late: ClassVar[bool] = False
    again: ClassVar[bool] = False

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        raise NotImplementedError

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        raise NotImplementedError

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        raise NotImplementedError


class Run(Step, frozen=True, tag="run"):
    """Run a graph; `as` goes before the names of its outputs."""

    graph: str
    prefix: str = msgspec.field(default="", name="as")

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return runtimes[self.graph].inputs

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.prefix + name for name in runtimes[self.graph].outputs]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        return {self.prefix + name: value for name, value in runtimes[self.graph].run(known).items()}


class Mean(Step, frozen=True, tag="mean"):
    """The weighted mean of several arrays: an ensemble's answer."""

    of: tuple[str, ...]
    name: str = msgspec.field(name="as")
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.of or (self.weights is not None and len(self.weights) != len(self.of)):
            raise ValueError("mean needs arrays, and as many weights as arrays")

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return self.of

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.name]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        weights = self.weights or [1 / len(self.of)] * len(self.of)
        return {self.name: np.asarray(sum(w * known[name] for w, name in zip(weights, self.of)), np.float32)}


class Place(Step, frozen=True, tag="place"):
    """Boxes in the frame of fitted pictures, back in the pictures themselves: in pixels, nothing beyond the edges.

    in   boxes (B, A, 4) as shares of the frame; placed (B, 4), as preprocess/image.py gives it
    """

    name: str = msgspec.field(name="as")
    boxes: str = "boxes"
    placed: str = "placed"

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.boxes, self.placed]

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.name]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        shares, size = (np.tile(known[self.placed][:, None, part], 2) for part in (slice(0, 2), slice(2, 4)))
        return {self.name: np.clip(known[self.boxes] / shares, 0, 1) * size}


class Nms(Step, frozen=True, tag="nms"):
    """Non-maximum suppression per picture and class: of boxes that overlap, the surest stays.

    in   boxes (B, A, 4) as x1, y1, x2, y2; scores (B, A, K)
    out  boxes (n, 4), scores (n,), class (n,), picture (n,): the surest first within a picture
    """

    threshold: float
    overlap: float
    boxes: str = "boxes"
    scores: str = "scores"
    most: int = 100

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.boxes, self.scores]

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return ["detected.boxes", "detected.scores", "detected.class", "detected.picture"]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        boxes, scores = known[self.boxes], known[self.scores]
        best, label = scores.max(2), scores.argmax(2)
        found = [np.zeros((0, 2), np.int64)]
        for picture in range(len(boxes)):
            order = np.flatnonzero(best[picture] >= self.threshold)
            order = order[np.argsort(-best[picture][order], kind="stable")][: LOOKED_AT * self.most]
            kept = order[suppress(boxes[picture][order], label[picture][order], self.overlap)[: self.most]]
            found.append(np.stack([np.full(len(kept), picture), kept], 1))
        rows, columns = np.concatenate(found).T
        return {
            "detected.boxes": boxes[rows, columns],
            "detected.scores": best[rows, columns],
            "detected.class": label[rows, columns],
            "detected.picture": rows,
        }


class Generate(Step, frozen=True, tag="generate"):
    """Pieces written on to texts, each after a look at the last `longest` (writing.go_on).

    in   tokens (B, L), 0 fills up; next (B, V), the logarithms of what comes
    out  written (B, length), margin (B,): by how many nats the closest choice was made
    """

    length: int
    longest: int
    temperature: float = 0.0
    top: int | None = None
    seed: int = 0
    graph: str = ""  # "": the only one

    late: ClassVar[bool] = True
    again: ClassVar[bool] = True

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return ["tokens", "next"]

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return ["written", "margin"]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        graph = runtimes[self.graph] if self.graph else next(iter(runtimes.values()))
        look = lambda tokens: graph.run({"tokens": tokens})["next"]
        drawn = (self.temperature, self.top, self.seed)
        written, margin = go_on(look, known["tokens"], known["next"], self.length, self.longest, *drawn)
        return {"written": written, "margin": margin}


class Write(Step, frozen=True, tag="write"):
    """The answer to each text, from the mark to the mark, `beams` of them followed side by side (writing.answer).

    in   source (B, S), 0 fills up
    out  written (B, length), 0 fills up; margin (B,): by how many nats the closest choice was made
    """

    length: int
    mark: int
    beams: int = 1
    graph: str = ""  # "": the only one

    again: ClassVar[bool] = True

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return ["source"]

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return ["written", "margin"]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        graph = runtimes[self.graph] if self.graph else next(iter(runtimes.values()))
        look = lambda source, so_far: graph.run({"source": source, "so_far": so_far})["next"]
        written, margin = answer(look, known["source"], self.length, self.mark, self.beams)
        return {"written": written, "margin": margin}


class Ctc(Step, frozen=True, tag="ctc"):
    """What is said in frames (B, T, K) of log probabilities: numbers (B, length), -1 behind the end (ctc.py)."""

    beam: int = 1
    frames: str = "frames"
    name: str = msgspec.field(default="written", name="as")

    def __post_init__(self) -> None:
        if not 1 <= self.beam <= WIDEST:
            raise ValueError(f"a beam of 1 to {WIDEST}")

    def needs(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.frames]

    def gives(self, runtimes: dict[str, Any]) -> Sequence[str]:
        return [self.name]

    def apply(self, known: Arrays, runtimes: dict[str, Any]) -> Arrays:
        return {self.name: ctc.written(known[self.frames], self.beam)}


STEPS: dict[str, type[Step]] = {
    "run": Run, "mean": Mean, "place": Place, "nms": Nms, "generate": Generate, "write": Write, "ctc": Ctc,
}  # fmt: skip
WIDEST = 100  # beam of a search


class Program:
    """Steps over named arrays; `runtimes` holds the loaded graphs by file name."""

    def __init__(self, steps: list[dict[str, Any]], runtimes: dict[str, Any]) -> None:
        self.steps = [_step(step, f"program.json[{i}]") for i, step in enumerate(steps)]
        self.runtimes = runtimes
        for i, step in enumerate(self.steps):
            if isinstance(step, Run) and step.graph not in runtimes:
                raise DeepenError(
                    "program.graph",
                    f"program.json[{i}]",
                    f"graph {step.graph!r} is not in the bundle",
                    f"one of {', '.join(runtimes)}",
                )

    def check(self, given: set[str], wanted: Sequence[str]) -> None:
        """Every array is there when it is needed, and the wanted ones are there in the end."""
        known = set(given)
        for i, step in enumerate(self.steps):
            _all_known(f"program.json[{i}]", step.needs(self.runtimes), known)
            known |= set(step.gives(self.runtimes))
        _all_known("program.json", wanted, known)

    def run(self, arrays: Arrays) -> Arrays:
        """All arrays after the last step that figures need, the given ones among them."""
        return self._apply(arrays, late=False)

    def finish(self, arrays: Arrays) -> Arrays:
        """What `run` gave, and what only an answer needs."""
        return self._apply(arrays, late=True)

    def _apply(self, arrays: Arrays, late: bool) -> Arrays:
        known = dict(arrays)
        for step in self.steps:
            if step.late == late:
                known.update(step.apply(known, self.runtimes))
        return known


def _step(step: dict[str, Any], where: str) -> Step:
    kind = STEPS.get(step["do"]) if isinstance(step.get("do"), str) else None
    if kind is None:
        raise DeepenError(
            "program.step", where, f"step {step.get('do')!r}", f"one of {', '.join(STEPS)}", "update deepen"
        )
    try:
        return msgspec.convert(step, kind)
    except msgspec.ValidationError as problem:
        raise DeepenError("program.step", where, str(problem), f"a step {step['do']!r}") from problem


def _all_known(where: str, names: Sequence[str], known: set[str]) -> None:
    absent = [name for name in names if name not in known]
    if absent:
        raise DeepenError(
            "program.array", where, f"array {absent[0]!r} is not known there", f"one of {', '.join(sorted(known))}"
        )


def suppress(boxes: np.ndarray, label: np.ndarray, overlap: float) -> np.ndarray:
    """Which of boxes (n, 4), surest first, no surer box of the same class covers by more than `overlap` (IoU)."""
    gone = np.zeros(len(boxes), bool)
    for name in np.unique(label):
        rows = np.flatnonzero(label == name)
        near = np.triu(precision.ious(boxes[rows], boxes[rows]) > overlap, 1)
        for i in np.flatnonzero(near.any(1)):
            if not gone[rows[i]]:
                gone[rows[near[i]]] = True
    return np.flatnonzero(~gone)
