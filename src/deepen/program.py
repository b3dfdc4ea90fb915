"""What a bundle does between encoded tensors and answers: a short list of fixed NumPy steps. Data, never code.

    [{"do": "run", "graph": "graph.onnx"}]
    [{"do": "run", "graph": "a.onnx", "as": "a."}, {"do": "run", "graph": "b.onnx", "as": "b."},
     {"do": "mean", "of": ["a.probabilities", "b.probabilities"], "as": "probabilities"}]

Each step reads named arrays and writes named arrays. Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deepen import metrics
from deepen.errors import DeepenError
from deepen.tensors import Arrays

Step = dict[str, Any]


class Program:
    """Steps over named arrays; `runtimes` holds the loaded graphs by file name."""

    def __init__(self, steps: list[Step], runtimes: dict[str, Any]) -> None:
        self.steps, self.runtimes = steps, runtimes
        for i, step in enumerate(steps):
            where = f"program.json[{i}]"
            if step.get("do") not in {"run", *STEPS}:
                raise DeepenError(
                    "program.step",
                    where,
                    f"step {step.get('do')!r}",
                    f"one of run, {', '.join(STEPS)}",
                    "update deepen",
                )
            if step["do"] == "run" and step.get("graph") not in runtimes:
                raise DeepenError(
                    "program.graph",
                    where,
                    f"graph {step.get('graph')!r} is not in the bundle",
                    f"one of {', '.join(runtimes)}",
                )

    def run(self, arrays: Arrays) -> Arrays:
        """All arrays after the last step, the given ones among them."""
        known = dict(arrays)
        for step in self.steps:
            if step["do"] == "run":
                result = self.runtimes[step["graph"]].run(known)
                known.update({step.get("as", "") + name: value for name, value in result.items()})
            else:
                known.update(STEPS[step["do"]](known, step))
        return known


def _mean(known: Arrays, step: Step) -> Arrays:
    """The weighted mean of several arrays: an ensemble's answer."""
    weights = step.get("weights") or [1 / len(step["of"])] * len(step["of"])
    total = sum(weight * known[name] for weight, name in zip(weights, step["of"]))
    return {step["as"]: np.asarray(total, np.float32)}


def _nms(known: Arrays, step: Step) -> Arrays:
    """Non-maximum suppression per picture and class: of boxes that overlap, the surest stays.

    in   boxes (B, A, 4) as x1, y1, x2, y2; scores (B, A, K)
    out  boxes (n, 4), scores (n,), class (n,), picture (n,): the surest first within a picture
    """
    boxes, scores = known[step.get("boxes", "boxes")], known[step.get("scores", "scores")]
    best, label = scores.max(2), scores.argmax(2)
    found = []
    for picture in range(len(boxes)):
        order = np.flatnonzero(best[picture] >= step["threshold"])
        order = order[np.argsort(-best[picture][order], kind="stable")]
        kept = suppress(boxes[picture][order], label[picture][order], step["overlap"])[: step.get("most", 100)]
        found.append((picture, order[kept]))
    rows = np.concatenate([np.full(len(kept), picture) for picture, kept in found])
    columns = np.concatenate([kept for _, kept in found]).astype(np.int64)
    return {
        "detected.boxes": boxes[rows, columns],
        "detected.scores": best[rows, columns],
        "detected.class": label[rows, columns],
        "detected.picture": rows,
    }


def suppress(boxes: np.ndarray, label: np.ndarray, overlap: float) -> np.ndarray:
    """Which of boxes (n, 4), surest first, no surer box of the same class covers by more than `overlap` (IoU)."""
    kept: list[int] = []
    for i in range(len(boxes)):
        rivals = [j for j in kept if label[j] == label[i]]
        if not rivals or metrics.iou(boxes[i], boxes[rivals]).max() <= overlap:
            kept.append(i)
    return np.array(kept, int)


STEPS: dict[str, Callable[[Arrays, Step], Arrays]] = {"mean": _mean, "nms": _nms}
