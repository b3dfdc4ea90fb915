"""Answers that choose among names: one class, or any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepen.metrics.ranked import areas
from deepen.metrics.resampled import mean_where, once, plain, ratio, sums

EPS = np.finfo(np.float64).eps


def classes(target: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """All single-figure metrics of a classifier. target int (n,), probabilities (n, K)."""
    return plain(classes_resampled(target, probabilities, once(target)))


def labels(target: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """Multi-label metrics. target (n, K) of 0 and 1, probabilities (n, K)."""
    return plain(labels_resampled(target, probabilities, once(target), threshold))


def classes_resampled(target: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of `classes`, each (R,). Micro averages of single answers all equal the accuracy: not repeated."""
    n, k = probabilities.shape
    guess, total = probabilities.argmax(1), counts.sum(1)
    p = probabilities.astype(np.float64)
    p = p / p.sum(1, keepdims=True)
    matrix = sums(counts, target * k + guess, k * k).reshape(-1, k, k)
    precision, recall, f1 = precision_recall_f1(matrix)
    support, given = matrix.sum(2), matrix.sum(1)
    seen = (support + given) > 0  # as scikit-learn: classes that occur in target or guess
    true_p = p[np.arange(n), target]
    squares = (p**2).sum(1) - 2 * true_p + 1  # sum over classes of (p - [class is true])^2
    auc, precision_area = _areas_by_class(target, probabilities, counts)
    found = {
        "accuracy": np.trace(matrix, axis1=1, axis2=2) / total,
        "balanced_accuracy": mean_where(recall, support > 0),
        "precision_macro": mean_where(precision, seen),
        "recall_macro": mean_where(recall, seen),
        "f1_macro": mean_where(f1, seen),
        "precision_weighted": (precision * support).sum(1) / total,
        "f1_weighted": (f1 * support).sum(1) / total,
        "mcc": mcc(matrix),
        "log_loss": counts @ -np.log(np.clip(true_p, EPS, 1)) / total,
        "brier": counts @ squares / total / (2 if k == 2 else 1),
        "auc": auc,
        "average_precision": precision_area,
        "ece": calibration_error(probabilities.max(1), guess == target, counts),
    }
    place = (p > true_p[:, None]).sum(1)
    for top in (3, 5):
        if k > 2 * top - 3:  # from 4 classes on, from 8 on
            found[f"top_{top}_accuracy"] = counts @ (place < top) / total
    return found


def labels_resampled(
    target: np.ndarray, probabilities: np.ndarray, counts: np.ndarray, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """The figures of `labels`, each (R,)."""
    total = counts.sum(1)
    guess, truth = probabilities >= threshold, target >= 0.5
    tp, given, support = (counts @ what.astype(float) for what in (guess & truth, guess, truth))  # (R, K)
    f1 = ratio(2 * tp, given + support)
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    either = (guess | truth).sum(1)
    overlap = np.where(either > 0, (guess & truth).sum(1) / np.maximum(either, 1), 1.0)  # none given, none true: right
    each = [areas(t, s, counts) for t, s in zip(truth.T, probabilities.T)]
    auc, precision_area = (np.stack(column, 1) for column in zip(*each))  # (R, K)
    return {
        "f1_micro": ratio(2 * tp.sum(1), (given + support).sum(1)),
        "f1_macro": f1.mean(1),
        "f1_weighted": ratio((f1 * support).sum(1), support.sum(1)),
        "precision_micro": ratio(tp.sum(1), given.sum(1)),
        "recall_micro": ratio(tp.sum(1), support.sum(1)),
        "exact_match": counts @ (guess == truth).all(1) / total,
        "jaccard": counts @ overlap / total,
        "hamming_loss": counts @ (guess != truth).mean(1) / total,
        "log_loss": counts @ -np.where(truth, np.log(p), np.log(1 - p)).mean(1) / total,
        "brier": counts @ ((p - truth) ** 2).mean(1) / total,
        "auc_macro": mean_where(auc, ~np.isnan(auc)),
        "average_precision": mean_where(precision_area, ~np.isnan(precision_area)),
    }


def _areas_by_class(target: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision (R,): mean over the classes that occur, each against the rest; of two, the second."""
    k = probabilities.shape[1]
    each = [areas(target == c, probabilities[:, c], counts) for c in ([1] if k == 2 else range(k))]
    auc, precision_area = (np.stack(column, 1) for column in zip(*each))  # (R, K)
    return mean_where(auc, ~np.isnan(auc)), mean_where(precision_area, ~np.isnan(precision_area))


def confusion(target: np.ndarray, guess: np.ndarray, k: int) -> np.ndarray:
    """int (K, K): rows the truth, columns the answer."""
    return np.bincount(target * k + guess, minlength=k * k).reshape(k, k)


def precision_recall_f1(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class, each (..., K), from (..., K, K); 0 where a class is never given or never occurs."""
    tp, given, true = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-2), matrix.sum(-1)
    return ratio(tp, given), ratio(tp, true), ratio(2 * tp, given + true)


def mcc(matrix: np.ndarray) -> np.ndarray:
    """Matthews correlation for any number of classes (Gorodkin 2004, eq. 8), (...) from (..., K, K)."""
    m = matrix.astype(np.float64)
    n, correct = m.sum((-2, -1)), np.trace(m, axis1=-2, axis2=-1)
    given, true = m.sum(-2), m.sum(-1)
    bottom = np.sqrt(n**2 - (given**2).sum(-1)) * np.sqrt(n**2 - (true**2).sum(-1))
    return ratio(correct * n - (given * true).sum(-1), bottom)


def calibration_error(
    confidence: np.ndarray, correct: np.ndarray, counts: np.ndarray | None = None, bins: int = 15
) -> np.ndarray:
    """Expected calibration error over equal-width bins (Guo et al. 2017, eq. 3), (R,)."""
    counts = once(confidence) if counts is None else counts
    place = calibration_bin(confidence, bins)
    gap = np.abs(sums(counts * (confidence - correct.astype(np.float64)), place, bins))
    return gap.sum(1) / counts.sum(1)


def calibration_bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Which of `bins` bins of equal width a confidence falls into, (n,)."""
    return np.minimum((np.nan_to_num(confidence) * bins).astype(int), bins - 1)


def probabilities(answers: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """float32 (n, K) from decoded answers."""
    rows = [[answer["probabilities"][name] for name in names] for answer in answers]
    return np.array(rows, np.float32).reshape(-1, len(names))
