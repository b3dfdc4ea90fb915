"""Columns of a table that give the answer away. Torch-free."""

from __future__ import annotations

import numpy as np

from deepen.data.columns import FEW, Column, Found

LEAK = 0.01  # a column that leaves less than this share of the mistakes of always guessing the commonest answer


def giveaways(columns: dict[str, Column], found: dict[str, Found], answers: np.ndarray, kind: str) -> list[str]:
    """Columns that all but name the answer: in real use they are seldom known beforehand.

    answers  float64 (n,): the number, or the class's code; NaN where there is none
    """
    known = np.isfinite(answers)
    if known.sum() < 20 or kind == "labels":
        return []
    notes = []
    for name, what in found.items():
        if kind == "number":
            gives = _gives_number(columns[name], what, answers, known)
        else:
            gives = _gives_class(columns[name], what, answers, known)
        if gives:
            notes.append(f"column {name!r} gives the answer away: {gives}")
    return notes


def _gives_number(column: Column, what: Found, answers: np.ndarray, known: np.ndarray) -> str:
    if what.kind == "number":
        both = known & np.isfinite(what.values)
        x, y = what.values[both], answers[both]
        if len(x) < 20 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return ""
        if np.mean(x == y) > 0.99:
            return "it equals the target"
        if len(np.unique(x)) > FEW and abs(np.corrcoef(_ranks(x), _ranks(y))[0, 1]) > 0.9999:
            return "it rises and falls with the target, item by item"
        return ""
    codes, y = column.codes[known], answers[known]
    count = np.bincount(codes, minlength=len(column.texts))
    if len(column.texts) > len(y) / 5 or len(np.unique(y)) < 3:
        return ""
    mean = np.bincount(codes, y, len(column.texts)) / np.maximum(count, 1)
    within = float(((y - mean[codes]) ** 2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-300))
    return "each of its values has one answer" if within < 1e-6 else ""


def _gives_class(column: Column, what: Found, answers: np.ndarray, known: np.ndarray) -> str:
    labels = answers[known].astype(np.int64)
    classes = int(labels.max()) + 1
    mistakes = len(labels) - int(np.bincount(labels).max())  # of always guessing the commonest class
    if mistakes < 5:
        return ""
    ordered = what.kind == "number"
    if ordered:
        values = np.where(np.isfinite(what.values[known]), what.values[known], -np.inf)
        groups = np.unique(values, return_inverse=True)[1]
    else:
        groups = column.codes[known]
    size = int(groups.max()) + 1
    if not ordered and size > len(labels) / 5:
        return ""
    pairs, count = np.unique(groups * classes + labels, return_counts=True)
    most = np.zeros(size, np.int64)
    np.maximum.at(most, pairs // classes, count)
    wrong = len(labels) - int(most.sum())
    if ordered and size > len(labels) / 5:  # hardly any value repeats: how often does the answer change along it?
        best = np.zeros(size, np.int64)
        best[pairs // classes] = pairs % classes
        wrong += max(0, int((np.diff(best) != 0).sum()) - classes + 1)
    if wrong > LEAK * mistakes:
        return ""
    return f"it alone tells the class in {1 - wrong / len(labels):.2%} of the rows"


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.float64)
