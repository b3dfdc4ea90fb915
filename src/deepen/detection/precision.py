"""How well boxes were found: average precision as COCO defines it, over many resamples of the pictures at once. Torch-free.

    IoU = area of both / area of either; of a crowd: / area of the answer
    AP  = mean over recall 0, 0.01, ..., 1 of the best precision at that recall or above
    map = mean of AP over IoU 0.50, 0.55, ..., 0.95 and over the classes that occur

Answers are looked at from the surest on, each takes the truth of its class that it overlaps most and that none took before.
A crowd, and whatever has not the size asked for, may be met but need not be, and is then neither right nor wrong.

Source   Lin et al. 2014, arXiv:1405.0312, and the authors' evaluation code, to which tests hold this equal.
Letters  P pictures, n answers, m truths, T overlaps, R resamples
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # answers of a picture and class that count
SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # pixels
CHUNK = 4_000_000  # counts of resamples held at a time

FIGURES = ("map", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "recall_100")


class Boxes(NamedTuple):
    """Boxes of all pictures: box (n, 4) as x1, y1, x2, y2 in pixels, label, picture (n,); score or crowd (n,)."""

    box: np.ndarray
    label: np.ndarray
    picture: np.ndarray
    score: np.ndarray

    def of(self, which: np.ndarray) -> Boxes:
        return Boxes(*(column[which] for column in self))


class Matches(NamedTuple):
    """Answers of one class, the surest first; right and skipped (T, n); positives (P,): truths of each picture."""

    picture: np.ndarray
    score: np.ndarray
    right: np.ndarray
    skipped: np.ndarray
    positives: np.ndarray


def ious(a: np.ndarray, b: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4); with crowds (m,) over the first one's own area there."""
    shared = _within(a[:, 0], a[:, 2], b[:, 0], b[:, 2])  # side by side: a last axis of two is slow
    shared *= _within(a[:, 1], a[:, 3], b[:, 1], b[:, 3])
    own, other = area(a)[:, None], area(b)[None]
    whole = own + other - shared
    if crowd is not None:
        whole = np.where(crowd[None], own, whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _within(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> np.ndarray:
    """Length (n, m) that stretches of a line have in common."""
    length = np.minimum(high[:, None], other_high)
    length -= np.maximum(low[:, None], other_low)
    return np.maximum(length, 0, out=length)


def area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def figures(truth: Boxes, found: Boxes, pictures: int, classes: int, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Each figure (R,) over resamples that hold picture p counts[r, p] times; NaN where there is no such truth.

    The figures by size are of the plain pictures alone: with several resamples they are NaN.
    """
    result = {name: np.full(len(counts), np.nan) for name in FIGURES}
    ap, recall = _by_class(truth, found, pictures, classes, counts, "all")  # (K, R, T)
    result["map"], result["recall_100"] = _mean(ap.mean(2)), _mean(recall.mean(2))
    result["ap50"], result["ap75"] = _mean(ap[:, :, 0]), _mean(ap[:, :, 5])
    if len(counts) == 1:
        for size in ("small", "medium", "large"):
            result[f"ap_{size}"] = _mean(_by_class(truth, found, pictures, classes, counts, size)[0].mean(2))
    return result


def by_class(truth: Boxes, found: Boxes, pictures: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and recall (K, T) of each class; NaN where it does not occur."""
    ap, recall = _by_class(truth, found, pictures, classes, np.ones((1, pictures)), "all")
    return ap[:, 0], recall[:, 0]


def _by_class(
    truth: Boxes, found: Boxes, pictures: int, classes: int, counts: np.ndarray, size: str
) -> tuple[np.ndarray, np.ndarray]:
    each = [average_precision(matches(truth, found, pictures, label, SIZES[size]), counts) for label in range(classes)]
    ap, recall = zip(*each)
    return np.stack(ap), np.stack(recall)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that occur: (K, R) to (R,)."""
    there = ~np.isnan(values)
    total = np.where(there, values, 0).sum(0)
    return np.divide(total, there.sum(0), out=np.full(values.shape[1], np.nan), where=there.any(0))


# ---------------------------------------------------------------- which answer is right


def matches(truth: Boxes, found: Boxes, pictures: int, label: int, size: tuple[float, float] = SIZES["all"]) -> Matches:
    """Who found what, of one class and of truths within a range of areas."""
    truth, found = truth.of(truth.label == label), found.of(found.label == label)
    covers = area(truth.box)
    beside = (truth.score > 0) | (covers < size[0]) | (covers > size[1])
    parts: list[tuple[Boxes, np.ndarray, np.ndarray]] = []
    for mine, theirs in _pairs(truth.picture, found.picture, pictures):
        answers = found.of(theirs[np.argsort(-found.score[theirs], kind="stable")][:MOST])
        mine = mine[np.argsort(beside[mine], kind="stable")]
        overlap = ious(answers.box, truth.box[mine], truth.score[mine] > 0)
        right, skipped = _taken(overlap, beside[mine], truth.score[mine] > 0)
        covered = area(answers.box)
        skipped |= ~right & ((covered < size[0]) | (covered > size[1]))
        parts.append((answers, right & ~skipped, skipped))
    positives = np.bincount(truth.picture[~beside], minlength=pictures)
    if not parts:
        none = np.zeros((len(OVERLAPS), 0), bool)
        return Matches(np.zeros(0, int), np.zeros(0), none, none, positives)
    score = np.concatenate([answers.score for answers, *_ in parts])
    picture = np.concatenate([answers.picture for answers, *_ in parts])
    order = np.argsort(-score, kind="stable")
    right, skipped = (np.concatenate([part[i] for part in parts], 1)[:, order] for i in (1, 2))
    return Matches(picture[order], score[order], right, skipped, positives)


def _pairs(truth: np.ndarray, found: np.ndarray, pictures: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of truths and of answers of each picture that has an answer."""
    order = [np.argsort(which, kind="stable") for which in (truth, found)]
    edges = [np.searchsorted(which[rows], np.arange(pictures + 1)) for which, rows in zip((truth, found), order)]
    for picture in np.flatnonzero(np.diff(edges[1])):
        yield tuple(rows[edge[picture] : edge[picture + 1]] for rows, edge in zip(order, edges))  # type: ignore[misc]


def _taken(overlap: np.ndarray, beside: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers that met a truth (T, n), and those whose truth need not be met (T, n).

    overlap (n, m), the surest answers first, truths that count before those that do not
    """
    met, skipped = np.zeros((2, len(OVERLAPS), len(overlap)), bool)
    if not overlap.shape[1]:
        return met, skipped
    free = np.ones((len(OVERLAPS), overlap.shape[1]), bool)
    least = np.minimum(OVERLAPS, 1 - 1e-10)
    rows = np.arange(len(OVERLAPS))
    for answer in np.flatnonzero(overlap.max(1) >= least[0]):
        for kind in (~beside, beside):
            value = np.where(free & kind, overlap[answer], -1.0)
            best = value.shape[1] - 1 - value[:, ::-1].argmax(1)  # of equals the last
            hit = (value[rows, best] >= least) & ~met[:, answer]
            met[:, answer] |= hit
            skipped[:, answer] |= hit & beside[best]
            free[rows[hit], best[hit]] = crowd[best[hit]]  # a crowd is never taken
    return met, skipped


# ---------------------------------------------------------------- what that is worth


def average_precision(found: Matches, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AP and recall, each (R, T)."""
    some = max(1, CHUNK // max(len(found.picture), 1))
    parts = [_average_precision(found, counts[i : i + some]) for i in range(0, len(counts), some)]
    return np.concatenate([ap for ap, _ in parts]), np.concatenate([recall for _, recall in parts])


def _average_precision(found: Matches, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ap, recall = np.full((2, len(counts), len(OVERLAPS)), np.nan)
    positives = counts @ found.positives
    known = positives > 0
    if not known.any():
        return ap, recall
    weight = counts[known][:, found.picture]
    given = np.cumsum(weight, axis=1)
    for t, (right, skipped) in enumerate(zip(found.right, found.skipped)):
        places = np.flatnonzero(right)  # between them precision only falls
        of = np.cumsum(weight * ~skipped, axis=1) if skipped.any() else given
        hits = np.cumsum(weight[:, places], axis=1)
        ap[known, t] = _area(hits, of[:, places], positives[known])
        recall[known, t] = hits[:, -1] / positives[known] if len(places) else 0.0
    return ap, recall


def _area(hits: np.ndarray, given: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """AP (R,) from right answers and all answers so far (R, p), and the truths (R,)."""
    precision = np.divide(hits, given, out=np.zeros_like(hits, dtype=float), where=given > 0)
    best = np.zeros((len(hits), hits.shape[1] + 1))  # the last place: recall that is never reached
    best[:, :-1] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = hits / positives[:, None]
    return np.array([row[np.searchsorted(rc, RECALLS, "left")].mean() for row, rc in zip(best, reached)])


def curve(found: Matches, overlap: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, precision and score at every answer that counts, the surest first; the overlap by its place in OVERLAPS."""
    counts = ~found.skipped[overlap]
    hits = np.cumsum(found.right[overlap][counts])
    return hits / max(found.positives.sum(), 1), hits / np.arange(1, len(hits) + 1), found.score[counts]


def f1(truth: Boxes, found: Boxes, pictures: int, classes: int) -> np.ndarray:
    """F1 (P,) of each picture at an overlap of a half, all classes together; 1 where nothing is and nothing was found."""
    right, given, there = np.zeros((3, pictures))
    for label in range(classes):
        mine = matches(truth, found, pictures, label)
        right += np.bincount(mine.picture[mine.right[0]], minlength=pictures)
        given += np.bincount(mine.picture[~mine.skipped[0]], minlength=pictures)
        there += mine.positives
    return np.divide(2 * right, given + there, out=np.ones(pictures), where=given + there > 0)
