"""How well scores rank what is positive: areas under curves, and the curves."""

from __future__ import annotations

import numpy as np

from deepen.metrics.resampled import once, ratio


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, ties shared (Mann-Whitney U); NaN where only one class occurs."""
    return float(areas(positive, score, once(positive))[0][0])


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps; NaN where there is no positive item."""
    return float(areas(positive, score, once(positive))[1][0])


def roc_curve(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at every threshold, from (0, 0) to (1, 1). Both classes must occur."""
    tp, fp = _thresholds(positive, score)
    return np.r_[0, fp / fp[-1]], np.r_[0, tp / tp[-1]]


def precision_recall_curve(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every threshold, recall rising from 0. A positive item must occur."""
    tp, fp = _thresholds(positive, score)
    precision = tp / (tp + fp)
    return np.r_[0, tp / tp[-1]], np.r_[1, precision]


def _thresholds(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives among the items at or above each distinct score, highest first."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.r_[np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1]
    tp = np.cumsum(positive[order].astype(np.int64))[last]
    return tp, last + 1 - tp


def areas(positive: np.ndarray, score: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC AUC and average precision (R,), NaN where not defined.

    Only sums up to the places of the positive items are needed. In ascending order of score, with C and P the weight
    of all and of the positive items below a place, and s..e the tie group of a positive item i of weight w_i:

        AUC = (sum_i w_i (C_s + C_e) / 2 - P^2 / 2) / (P (W - P))        W, P: weight of all, of all positives
        AP  = sum_i w_i (P - P_s) / (W - C_s) / P
    """
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    places = np.flatnonzero(positive[order])
    if not len(places):
        return np.full((2, len(counts)), np.nan)  # type: ignore[return-value]
    start, end = (np.searchsorted(ordered, ordered[places], side) for side in ("left", "right"))
    weight = counts[:, order]
    below = _cumulated(weight)  # (R, n + 1)
    own = weight[:, places]  # (R, number of positive items)
    total, positives = below[:, -1], own.sum(1)
    rank = (own * (below[:, start] + below[:, end])).sum(1) / 2
    auc = ratio(rank - positives**2 / 2, positives * (total - positives), np.nan)
    below_own = _cumulated(own)[:, np.searchsorted(places, start)]
    precision = ratio(positives[:, None] - below_own, total[:, None] - below[:, start])
    return auc, ratio((own * precision).sum(1), positives, np.nan)


def _cumulated(weight: np.ndarray) -> np.ndarray:
    """Sums of everything before each place: (R, n) to (R, n + 1)."""
    result = np.zeros((len(weight), weight.shape[1] + 1))
    np.cumsum(weight, axis=1, out=result[:, 1:])
    return result
