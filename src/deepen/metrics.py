"""Figures of merit in NumPy: the same functions for training, the gate and the report.

Definitions are scikit-learn's; tests hold them equal to 1e-6. FPR = FP/(FP+TN), TPR = recall = TP/(TP+FN).
"""

from __future__ import annotations

from typing import Any

import numpy as np

LOWER = ("loss", "error", "rmse", "mae", "ece")  # how the names of figures end of which less is better


def higher_is_better(name: str) -> bool:
    """Whether more of a figure is better: val_accuracy yes, val_log_loss no."""
    return not name.endswith(LOWER)


def classes(target: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """All single-figure metrics of a classifier. target int (n,), probabilities (n, K)."""
    n, k = probabilities.shape
    guess = probabilities.argmax(1)
    matrix = confusion(target, guess, k)
    per_class = precision_recall_f1(matrix)
    p = probabilities.astype(np.float64)
    p = p / p.sum(1, keepdims=True)
    log_p = np.log(np.clip(p[np.arange(n), target], np.finfo(np.float64).eps, 1))
    support = matrix.sum(1)
    seen = (support + matrix.sum(0)) > 0  # as scikit-learn: classes that occur in target or guess
    return {
        "accuracy": float(np.trace(matrix) / n),
        "balanced_accuracy": float(per_class[1][support > 0].mean()),
        "f1_macro": float(per_class[2][seen].mean()),
        "precision_macro": float(per_class[0][seen].mean()),
        "recall_macro": float(per_class[1][seen].mean()),
        "mcc": mcc(matrix),
        "log_loss": float(-log_p.mean()),
        "auc": roc_auc_ovr(target, probabilities),
        "ece": calibration_error(probabilities.max(1), guess == target),
    }


def labels(target: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """Multi-label metrics. target (n, K) of 0 and 1, probabilities (n, K)."""
    guess = probabilities >= threshold
    truth = target >= 0.5
    tp, fp, fn = (guess & truth).sum(0), (guess & ~truth).sum(0), (~guess & truth).sum(0)
    f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    return {
        "f1_micro": float(_ratio(2 * tp.sum(), (2 * tp + fp + fn).sum())),
        "f1_macro": float(f1.mean()),
        "exact_match": float((guess == truth).all(1).mean()),
        "hamming_loss": float((guess != truth).mean()),
        "log_loss": float(-(np.where(truth, np.log(p), np.log(1 - p))).mean()),
        "auc_macro": float(np.nanmean([roc_auc(t, s) for t, s in zip(truth.T, probabilities.T)])),
    }


def number(target: np.ndarray, value: np.ndarray) -> dict[str, float]:
    """Regression metrics. target and value (n,), in the same unit."""
    target, value = target.astype(np.float64), value.astype(np.float64)
    error = value - target
    spread = ((target - target.mean()) ** 2).sum()
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "median_error": float(np.median(np.abs(error))),
        "r2": float(1 - (error**2).sum() / spread) if spread else 0.0,
    }


def confusion(target: np.ndarray, guess: np.ndarray, k: int) -> np.ndarray:
    """int (K, K): rows the truth, columns the answer."""
    return np.bincount(target * k + guess, minlength=k * k).reshape(k, k)


def precision_recall_f1(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class, each (K,); 0 where a class is never given or never occurs."""
    tp = np.diag(matrix)
    precision, recall = _ratio(tp, matrix.sum(0)), _ratio(tp, matrix.sum(1))
    return precision, recall, _ratio(2 * tp, matrix.sum(0) + matrix.sum(1))


def mcc(matrix: np.ndarray) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004, eq. 8)."""
    m = matrix.astype(np.float64)
    n, correct, given, true = m.sum(), np.trace(m), m.sum(0), m.sum(1)
    bottom = np.sqrt(n**2 - given @ given) * np.sqrt(n**2 - true @ true)
    return float((correct * n - given @ true) / bottom) if bottom else 0.0


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties shared (Mann-Whitney U); NaN where only one class occurs."""
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if not n0 or not n1:
        return float("nan")
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1]
    ends = np.r_[starts[1:], len(ordered)]
    ranks = np.empty(len(score))
    ranks[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return float((ranks[positive.astype(bool)].sum() - n1 * (n1 + 1) / 2) / (n0 * n1))


def roc_auc_ovr(target: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes that occur of each class against the rest; for two classes the usual AUC."""
    k = probabilities.shape[1]
    if k == 2:
        return _or_zero(roc_auc(target == 1, probabilities[:, 1]))
    areas = [roc_auc(target == c, probabilities[:, c]) for c in range(k)]
    areas = [a for a in areas if not np.isnan(a)]
    return float(np.mean(areas)) if areas else 0.0


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017, eq. 3)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, confidence, bins) - np.bincount(place, correct, bins))
    return float(gap[count > 0].sum() / len(confidence))


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with several (n, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    area = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def gap(a: Any, b: Any) -> float:
    """The largest difference between two answers; infinite where they differ in more than numbers."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((gap(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((gap(x, y) for x, y in zip(a, b)), default=0.0)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        found = abs(a - b) / max(1.0, abs(b))
        return found if np.isfinite(found) else float("inf")
    return 0.0 if a == b else float("inf")


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros(np.shape(top), np.float64), where=np.asarray(bottom) > 0)


def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else value
