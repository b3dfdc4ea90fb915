"""What a report shows of found boxes: figures by class, curves, what goes wrong, the pictures answered worst."""

from __future__ import annotations

import numpy as np

from deepen.detection import precision
from deepen.detection.precision import Boxes
from deepen.panels import Cell, Curves, Mark, Marked, Panel, Table, line, share

MOST_LINES = 6  # curves in one picture that an eye can follow
WORST = 12  # pictures shown
NEAR = 0.1  # overlap from which a box is taken for a bad one of a thing, not for one of nothing


def panels(names: tuple[str, ...], threshold: float, truth: Boxes, found: Boxes, placed: np.ndarray) -> list[Panel]:
    """For the kind of boxes; `placed` as the encoder gives it."""
    sure = found.of(found.score >= threshold)
    return [
        _by_class(names, threshold, truth, found, sure, len(placed)),
        *_curves(names, truth, found, len(placed)),
        _wrong(names, truth, sure),
        _pictures(names, truth, sure, placed),
    ]


def _by_class(
    names: tuple[str, ...], threshold: float, truth: Boxes, found: Boxes, sure: Boxes, pictures: int
) -> Panel:
    """The worst class first, those that do not occur last."""
    ap, _ = precision.by_class(truth, found, pictures, len(names))
    rows: list[tuple[Cell, ...]] = []
    for i in np.argsort(np.where(np.isnan(ap[:, 0]), 2, ap.mean(1)), kind="stable"):
        mine = precision.matches(truth, sure, pictures, int(i))
        right, given, there = mine.right[0].sum(), (~mine.skipped[0]).sum(), mine.positives.sum()
        known = there > 0
        rows.append(
            (
                names[i],
                int(there),
                int(given),
                share(ap[i].mean(), known),
                share(ap[i, 0], known),
                share(right / max(given, 1), given > 0),
                share(right / max(there, 1), known),
            )
        )
    note = (
        f"Worst first. AP over overlaps 0.5 to 0.95; precision and recall of the boxes answered, from {threshold:g} on."
    )
    columns = ("class", "things", "answered", "AP", "AP at 0.5", "precision", "recall")
    return Table("Classes", columns, tuple(rows), note)


def _curves(names: tuple[str, ...], truth: Boxes, found: Boxes, pictures: int) -> list[Panel]:
    """Precision and recall of the classes found worst, at an overlap of a half."""
    ap = precision.by_class(truth, found, pictures, len(names))[0][:, 0]
    drawn = [i for i in np.argsort(ap) if not np.isnan(ap[i])][:MOST_LINES]
    lines = []
    for i in drawn:
        recall, exact, _ = precision.curve(precision.matches(truth, found, pictures, int(i)))
        lines.append(line(names[i], np.r_[0, recall], np.r_[1, exact]))
    note = "What precision remains when more is to be found; an overlap of a half counts as found."
    return [Curves("Precision and recall", "recall", "precision", tuple(lines), note, unit=True)] if lines else []


def _wrong(names: tuple[str, ...], truth: Boxes, sure: Boxes) -> Panel:
    """Every answered box by what became of it, and the things that were missed."""
    count = dict.fromkeys(("right", "wrong class", "badly placed", "a second one", "nothing there"), 0)
    missed = 0
    for picture in np.unique(np.r_[truth.picture, sure.picture]):
        mine, theirs = truth.of(truth.picture == picture), sure.of(sure.picture == picture)
        met = np.zeros(len(mine.box), bool)
        overlap = precision.ious(theirs.box, mine.box, mine.score > 0)
        for row in np.argsort(-theirs.score, kind="stable"):
            same = np.where(mine.label == theirs.label[row], overlap[row], 0)
            best = int(same.argmax()) if len(same) else -1
            if best >= 0 and same[best] >= 0.5 and not met[best]:
                met[best] = mine.score[best] == 0
                count["right"] += 1
            else:
                count[_what(same.max(initial=0), overlap[row].max(initial=0))] += 1
        missed += int((~met & (mine.score == 0)).sum())
    rows = [(f"boxes: {name}", n) for name, n in count.items()]
    note = "An overlap of a half counts as found; of what overlaps a thing less, a tenth makes it a badly placed one."
    return Table("What became of the answers", ("what", "how often"), (*rows, ("things: missed", missed)), note)


def _what(same: float, other: float) -> str:
    """What is wrong with a box that overlaps a thing of its class, and of any class, so much at best."""
    if same >= 0.5:
        return "a second one"
    if other >= 0.5:
        return "wrong class"
    return "badly placed" if same >= NEAR else "nothing there"


def _pictures(names: tuple[str, ...], truth: Boxes, sure: Boxes, placed: np.ndarray) -> Panel:
    """The pictures answered worst, true and found boxes drawn."""
    figure = precision.f1(truth, sure, len(placed), len(names))
    rows = np.argsort(figure, kind="stable")[:WORST]
    marks, captions = [], []
    for row in rows:
        mine, theirs = truth.of(truth.picture == row), sure.of(sure.picture == row)
        scale = np.tile(placed[row, :2] / placed[row, 2:], 2)  # pixels to shares of the frame that is shown
        true = [Mark(_place(box, scale), names[k], True) for box, k in zip(mine.box, mine.label)]
        given = [
            Mark(_place(box, scale), f"{names[k]} {score:.2f}", False)
            for box, k, score in zip(theirs.box, theirs.label, theirs.score)
        ]
        marks.append((*true, *given))
        captions.append((f"F1 {figure[row]:.2f}", f"{len(true)} there, {len(given)} answered"))
    note = "The worst first. Solid: there; dashed: answered, with its score. Look for missing labels first."
    return Marked("Pictures answered worst", tuple(rows.tolist()), tuple(marks), tuple(captions), note)


def _place(box: np.ndarray, scale: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(v), 5) for v in box * scale)
