"""How right a model is in service: its figure on labelled samples beside the one it was exported with. Torch-free.

Only for labels of a random share of the requests: labels of what looked odd say nothing about the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepen.errors import DeepenError
from deepen.evaluation.html import figure
from deepen.evaluation.intervals import Interval, intervals, weighted, wilson
from deepen.metrics import higher_is_better
from deepen.monitoring.windows import Watched
from deepen.panels import digits
from deepen.store.live import Sample
from deepen.tensors import Arrays

LEVEL = 0.99  # of both intervals; that they lie apart by chance is then rarer still
FEWEST = 20  # labelled items
NONE = object()  # no label; a label may be None
LATEST = 500  # labelled items: what was right long ago would hide what has gone wrong since


class Quality(NamedTuple):
    """`now` on labelled samples, `before` on held-out items at the export, each with its interval."""

    metric: str
    now: Interval
    items: int
    before: Interval
    before_items: int
    left_out: int  # sampled items whose label does not say which item of its request is meant
    asked: int = 0  # of the items, those that a loop asked about

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
        own = f" ({self.asked:,} a loop asked about, weighed by what they stand for)" if self.asked else ""
        return (
            f"{self.metric} {value} ({between}) on the newest {self.items:,} labelled items in service{own}; "
            f"{digits(self.before[0])} on {self.before_items:,} held-out items at the export"
        )


Labels = Mapping[tuple[str, int | None], Any]  # request id, and the place of the item in it where that is said


def read_labels(path: Path) -> Labels:
    """True answers, from JSON lines {"id": ..., "label": ...}, with "row" (from 0) where a request had several items.

    A later line replaces an earlier one.
    """
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
            row = document.get("row")
            if row is not None and (type(row) is not int or row < 0):
                raise ValueError(f"row {row!r}")
            found[str(document["id"]), row] = document["label"]
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            text = f"{type(problem).__name__}: {problem}"
            expected = '{"id": ..., "label": ...}, with "row": 0, 1, ... where a request had several items'
            raise DeepenError("monitor.labels", f"{path}:{number}", text, expected) from problem
    return found


class Known(NamedTuple):
    """A sampled item whose true answer is known. `weight`: how many items of the traffic it stands for, beside the others."""

    key: tuple[str, int]  # request id, and its place there
    time: float
    label: Any
    answer: Any
    weight: float = 1.0


def quality(
    watched: Watched, samples: Iterable[Sample], labels: Labels, where: str, asked: Sequence[Known] = ()
) -> Quality | None:
    """The figure that decides, on the newest samples that have a label; None while they are too few.

    labels  of a random share, each worth the same
    asked   what else is known of the samples (looping/known.py); an item that is there is not taken from the labels again
    """
    known, left_out = _named(samples, labels)
    twice = {one.key for one in asked}
    known = sorted([*(one for one in known if one.key not in twice), *_scaled(asked)], key=lambda one: one.time)
    if len(known) < FEWEST:
        return None
    known = known[-LATEST:]
    kind, answers = watched.signature.answer, [one.answer for one in known]
    if len(watched.signature.outputs) > 1:
        first = next(iter(watched.signature.outputs))
        answers = [answer[first] for answer in answers]
    target, outputs = kind.encode([one.label for one in known], where), kind.outputs(answers)
    weights = np.array([one.weight for one in known])
    if len(set(weights.tolist())) == 1:
        now = intervals(kind, target, outputs, LEVEL)[kind.metric]
    else:
        now = weighted(kind, target, outputs, weights, LEVEL)
    before, items = _before(watched)
    return Quality(kind.metric, now, len(known), before, items, left_out, len(twice & {one.key for one in known}))


def _named(samples: Iterable[Sample], labels: Labels) -> tuple[list[Known], int]:
    """The items that labels name, and how many are left out since it is not said which of a request is meant."""
    known, left_out = [], 0
    for sample in samples:
        for row, answer in enumerate(sample.answers, sample.row):
            if (label := labels.get((sample.id, row), NONE)) is not NONE:
                known.append(Known((sample.id, row), sample.time, label, answer))
            elif (label := labels.get((sample.id, None), NONE)) is not NONE:
                if sample.of == 1:
                    known.append(Known((sample.id, row), sample.time, label, answer))
                else:
                    left_out += 1
    return known, left_out


def _scaled(asked: Sequence[Known]) -> list[Known]:
    """Their weights brought to a mean of 1: each source counts by how much it knows."""
    mean = sum(one.weight for one in asked) / max(len(asked), 1)
    return [one._replace(weight=one.weight / mean) for one in asked]


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
