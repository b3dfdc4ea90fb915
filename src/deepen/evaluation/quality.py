"""How right a model is in service: its figure on labelled samples beside the one it was exported with. Torch-free.

Only for labels of a random share of the requests: labels of what looked odd say nothing about the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepen.errors import DeepenError
from deepen.evaluation.html import figure
from deepen.evaluation.intervals import Interval, intervals, wilson
from deepen.metrics import higher_is_better
from deepen.monitoring import Watched
from deepen.panels import digits
from deepen.store.live import Sample
from deepen.tensors import Arrays

LEVEL = 0.99  # of both intervals; that they lie apart by chance is then rarer still
FEWEST = 20  # labelled items


class Quality(NamedTuple):
    """`now` on labelled samples, `before` on held-out items at the export, each with its interval."""

    metric: str
    now: Interval
    items: int
    before: Interval
    before_items: int
    left_out: int  # labels whose request had several sampled items: which of them is meant cannot be told

    @property
    def worse(self) -> bool:
        """Whether the intervals lie apart, on the wrong side."""
        if higher_is_better(self.metric):
            return self.now[2] < self.before[1]
        return self.now[1] > self.before[2]

    def document(self) -> dict[str, Any]:
        """For JSON, which has no NaN: what cannot be told is None there."""
        told = lambda interval: [None if math.isnan(v) else v for v in interval]
        return {**self._asdict(), "now": told(self.now), "before": told(self.before), "worse": self.worse}

    @property
    def says(self) -> str:
        value, between = figure(*self.now)
        return (
            f"{self.metric} {value} ({between}) on {self.items:,} labelled items in service; "
            f"{digits(self.before[0])} on {self.before_items:,} held-out items at the export"
        )


def read_labels(path: Path) -> dict[str, Any]:
    """Request id -> true answer, from JSON lines {"id": ..., "label": ...}; a later line replaces an earlier one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DeepenError("monitor.labels", str(path), str(problem), "JSON lines of id and label") from problem
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
            found[str(document["id"])] = document["label"]
        except (ValueError, KeyError, TypeError) as problem:
            text = f"{type(problem).__name__}: {problem}"
            raise DeepenError("monitor.labels", f"{path}:{number}", text, '{"id": ..., "label": ...}') from problem
    return found


def quality(watched: Watched, samples: Iterable[Sample], labels: Mapping[str, Any], where: str) -> Quality | None:
    """The figure that decides, on samples that have a label; None while they are too few."""
    kept: dict[str, list[Any]] = {}
    for sample in samples:
        if sample.id in labels:
            kept.setdefault(sample.id, []).extend(sample.answers)
    single = {name: answers[0] for name, answers in kept.items() if len(answers) == 1}
    if len(single) < FEWEST:
        return None
    kind, answers = watched.signature.answer, list(single.values())
    if len(watched.signature.outputs) > 1:
        first = next(iter(watched.signature.outputs))
        answers = [answer[first] for answer in answers]
    target = kind.encode([labels[name] for name in single], where)
    found = intervals(kind, target, kind.outputs(answers), LEVEL)
    before, items = _before(watched)
    return Quality(kind.metric, found[kind.metric], len(single), before, items, len(kept) - len(single))


def between(kind: Any, target: np.ndarray, outputs: Arrays) -> tuple[float, float] | None:
    """The interval that an export writes down beside the figure that decides; None where it cannot be told."""
    _, low, high = intervals(kind, target, outputs, LEVEL)[kind.metric]
    return (low, high) if low <= high else None


def _before(watched: Watched) -> tuple[Interval, int]:
    """What the gate measured when the bundle was made. Nothing lies apart from a figure without an interval."""
    parity = json.loads((watched.path / "parity.json").read_bytes())
    value, items = float(parity["candidate"]), int(parity["items"])
    found = parity.get("interval")
    if found is None and parity["metric"] in getattr(watched.signature.answer, "shares", ()):
        found = wilson(value, items, LEVEL)  # older bundles hold none
    low, high = found or (float("nan"), float("nan"))
    return (value, low, high), items
