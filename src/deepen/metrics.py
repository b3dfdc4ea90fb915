"""Figures of merit in NumPy: the same functions for training, the gate and the report.

Definitions are scikit-learn's; tests hold them equal to 1e-6. FPR = FP/(FP+TN), TPR = recall = TP/(TP+FN).

Each is written once, over R resamples at a time: `counts` (R, n) says how often a resample holds each item, all ones
for the plain figure. The bootstrap sorts nothing twice that way. A figure that is not defined for the items at hand
(AUC where only one class occurs) is NaN in a resample and is left out of the plain result.

Letters  R resamples, n items, K classes or labels
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

EPS = np.finfo(np.float64).eps

# What each figure says, for reports.
MEANING = {
    "accuracy": "share of right answers",
    "balanced_accuracy": "mean of the classes' recalls: a rare class counts as much as a frequent one",
    "precision_macro": "of what is given as a class, the share that is right; mean over classes",
    "recall_macro": "of a class's items, the share that is found; mean over classes",
    "f1_macro": "harmonic mean of precision and recall; mean over classes",
    "precision_weighted": "precision, each class weighted by its items",
    "f1_weighted": "F1, each class weighted by its items",
    "precision_micro": "of all labels given, the share that is right",
    "recall_micro": "of all true labels, the share that is found",
    "f1_micro": "harmonic mean of the two, all labels together",
    "mcc": "Matthews correlation of truth and answer: 1 perfect, 0 chance",
    "top_3_accuracy": "share of items whose class is among the three surest answers",
    "top_5_accuracy": "share of items whose class is among the five surest answers",
    "log_loss": "mean of -log(probability of the truth)",
    "brier": "mean squared error of the probabilities",
    "auc": "chance that an item of a class scores above one that is not of it; mean over classes",
    "auc_macro": "chance that an item with a label scores above one without; mean over labels",
    "average_precision": "area under the precision-recall curve; mean over classes",
    "ece": "calibration error: how far the stated confidence is from the share that is right",
    "exact_match": "share of items that are right as a whole",
    "character_error": "characters to put in, take out or replace, as a share of the true ones",
    "word_error": "the same of words",
    "hamming_loss": "share of single label decisions that are wrong",
    "jaccard": "overlap of the true and the given labels, mean over items",
    "rmse": "root of the mean squared error, in the target's unit",
    "mae": "mean size of the error, in the target's unit",
    "median_error": "half of the errors are smaller",
    "max_error": "the largest error",
    "bias": "mean error: above 0 the answers are too high",
    "mape": "mean size of the error as a share of the truth",
    "mase": "mean size of the error as a share of that of repeating the last season, in training",
    "skill": "share of the error of repeating the last season, on these items, that is gone: 0 no better, 1 perfect",
    "nats": "mean of -log(probability of the piece that came)",
    "perplexity": "e to the nats: among so many equally likely pieces the choice was, on average",
    "bleu": "how many of the answers' runs of one to four words stand in the true ones: 1 all of them",
    "bits_per_character": "what the text costs in bits, for each of its characters",
    "hit_rate_10": "share of items whose truth is among the ten likeliest of all",
    "hit_rate_1": "share of items whose truth is the likeliest of all",
    "ndcg_10": "1 / log2(1 + rank) where the truth is among the ten likeliest of all, else 0; mean",
    "mrr": "mean of 1 / rank of the truth",
    "score": "mean over the answers of the figure that decides there, of numbers r2",
    "r2": "share of the target's variance that is explained: 1 perfect, 0 no better than the mean",
    "map": "average precision, mean over overlaps from 0.5 to 0.95 and over classes",
    "ap50": "average precision where an overlap of 0.5 counts as found; mean over classes",
    "ap75": "average precision where an overlap of 0.75 counts as found; mean over classes",
    "ap_small": "map of things below 32 x 32 pixels",
    "ap_medium": "map of things from 32 x 32 to 96 x 96 pixels",
    "ap_large": "map of things above 96 x 96 pixels",
    "recall_100": "share of things among the 100 surest boxes of a picture; mean over overlaps and classes",
    "loss": "what the network loses on an item, mean over items",
    "frechet_error": "Frechet distance of what is made and what is held out, on small pictures or the numbers themselves",
    "likeness": "harmonic mean of precision and coverage: 1 where two sets cannot be told apart by neighbours",
    "precision": "share of what is made that lies among true items",
    "coverage": "share of true items that have something made near them",
    "degree_mmd": "squared distance (MMD, earth mover's distance, bandwidth 1) of degrees, made and held out",
    "clustering_mmd": "squared distance (MMD, earth mover's distance, bandwidth 0.1) of clustering coefficients",
    "node_mmd": "squared distance (MMD) of the means of the nodes' numbers, made and held out",
    "psnr": "peak signal to noise ratio of a picture told again, in decibels",
}
LOWER = (
    "mmd",
    "loss",
    "error",
    "rmse",
    "mae",
    "mase",
    "mape",
    "ece",
    "brier",
    "nats",
    "perplexity",
    "character",
)  # how the names of figures end of which less is better

PARTIAL = {
    "auc",
    "auc_macro",
    "average_precision",
    "mape",
    "r2",
    "skill",
    "bits_per_character",
}  # not defined for every set of items


def higher_is_better(name: str) -> bool:
    """Whether more of a figure is better: val_accuracy yes, val_log_loss no."""
    return not name.endswith(LOWER)


# ---------------------------------------------------------------- all figures of a kind


def classes(target: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """All single-figure metrics of a classifier. target int (n,), probabilities (n, K)."""
    return _plain(classes_resampled(target, probabilities, _once(target)))


def labels(target: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """Multi-label metrics. target (n, K) of 0 and 1, probabilities (n, K)."""
    return _plain(labels_resampled(target, probabilities, _once(target), threshold))


def number(target: np.ndarray, value: np.ndarray) -> dict[str, float]:
    """Regression metrics. target and value (n,), in the same unit."""
    return _plain(number_resampled(target, value, _once(target)))


def series(error: np.ndarray, naive: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """Forecast metrics. Errors of a forecast and of the naive one (n, D, h), NaN where not known; scale (D,)."""
    return _plain(series_resampled(error, naive, scale, _once(error)))


def tokens(characters: np.ndarray, nats: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Figures of a language model. characters (n,), nats (n, L), right (n, L): 1, 0, or -1 where there is no piece."""
    return _plain(tokens_resampled(characters, nats, right, _once(nats)))


def classes_resampled(target: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of `classes`, each (R,). Micro averages of single answers all equal the accuracy: not repeated."""
    n, k = probabilities.shape
    guess, total = probabilities.argmax(1), counts.sum(1)
    p = probabilities.astype(np.float64)
    p = p / p.sum(1, keepdims=True)
    matrix = _sums(counts, target * k + guess, k * k).reshape(-1, k, k)
    precision, recall, f1 = precision_recall_f1(matrix)
    support, given = matrix.sum(2), matrix.sum(1)
    seen = (support + given) > 0  # as scikit-learn: classes that occur in target or guess
    true_p = p[np.arange(n), target]
    squares = (p**2).sum(1) - 2 * true_p + 1  # sum over classes of (p - [class is true])^2
    auc, precision_area = _areas_by_class(target, probabilities, counts)
    found = {
        "accuracy": np.trace(matrix, axis1=1, axis2=2) / total,
        "balanced_accuracy": _mean_where(recall, support > 0),
        "precision_macro": _mean_where(precision, seen),
        "recall_macro": _mean_where(recall, seen),
        "f1_macro": _mean_where(f1, seen),
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
    f1 = _ratio(2 * tp, given + support)
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    either = (guess | truth).sum(1)
    overlap = np.where(either > 0, (guess & truth).sum(1) / np.maximum(either, 1), 1.0)  # none given, none true: right
    each = [areas(t, s, counts) for t, s in zip(truth.T, probabilities.T)]
    auc, precision_area = (np.stack(column, 1) for column in zip(*each))  # (R, K)
    return {
        "f1_micro": _ratio(2 * tp.sum(1), (given + support).sum(1)),
        "f1_macro": f1.mean(1),
        "f1_weighted": _ratio((f1 * support).sum(1), support.sum(1)),
        "precision_micro": _ratio(tp.sum(1), given.sum(1)),
        "recall_micro": _ratio(tp.sum(1), support.sum(1)),
        "exact_match": counts @ (guess == truth).all(1) / total,
        "jaccard": counts @ overlap / total,
        "hamming_loss": counts @ (guess != truth).mean(1) / total,
        "log_loss": counts @ -np.where(truth, np.log(p), np.log(1 - p)).mean(1) / total,
        "brier": counts @ ((p - truth) ** 2).mean(1) / total,
        "auc_macro": _mean_where(auc, ~np.isnan(auc)),
        "average_precision": _mean_where(precision_area, ~np.isnan(precision_area)),
    }


def number_resampled(target: np.ndarray, value: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of `number`, each (R,). R2 is not defined for a target that does not vary, MAPE where one is 0."""
    target, value = target.astype(np.float64), value.astype(np.float64)
    error, size, total = value - target, np.abs(value - target), counts.sum(1)
    centred = target - target.mean()
    squares = counts @ centred**2
    spread = squares - (counts @ centred) ** 2 / total
    varies = spread > 1e-14 * (counts @ target**2)  # below is the rounding of float32 targets
    share = size / np.where(target == 0, np.nan, np.abs(target))
    return {
        "rmse": np.sqrt(counts @ error**2 / total),
        "mae": counts @ size / total,
        "median_error": _median(size, counts),
        "max_error": np.where(counts > 0, size, 0).max(1),
        "bias": counts @ error / total,
        "mape": counts @ share / total if np.isfinite(share).all() else np.full(len(counts), np.nan),
        "r2": np.where(varies, 1 - counts @ error**2 / np.where(varies, spread, 1), np.nan),
    }


def series_resampled(
    error: np.ndarray, naive: np.ndarray, scale: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures of `series`, each (R,): means over the columns. Skill is not defined where the naive one is right."""
    other = np.abs(naive)
    mae = _known_mean(np.abs(error), counts)
    same = _known_mean(np.where(np.isnan(other), np.nan, np.abs(error)), counts)
    return {
        "mase": (mae / scale).mean(1),
        "skill": 1 - _ratio(same, _known_mean(other, counts), np.nan).mean(1),
        "mae": mae.mean(1),
        "rmse": np.sqrt(_known_mean(error**2, counts)).mean(1),
        "bias": _known_mean(error, counts).mean(1),
    }


def tokens_resampled(
    characters: np.ndarray, nats: np.ndarray, right: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures of `tokens`, each (R,): over all pieces, whatever text they stand in."""
    cost = counts @ nats.astype(np.float64).sum(1)
    pieces, hits = counts @ (right >= 0).sum(1), counts @ (right == 1).sum(1)
    mean = _ratio(cost, pieces, np.nan)
    return {
        "nats": mean,
        "perplexity": np.exp(mean),
        "bits_per_character": _ratio(cost / np.log(2), counts @ characters, np.nan),
        "accuracy": _ratio(hits, pieces, np.nan),
    }


def item_nats(nats: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mean nats of each text's pieces, float64 (n,); 0 where there was nothing to foretell."""
    return nats.astype(np.float64).sum(1) / np.maximum((right >= 0).sum(1), 1)


def bleu_resampled(truth: Sequence[Sequence[str]], answers: Sequence[Sequence[str]], counts: np.ndarray) -> np.ndarray:
    """BLEU of words with one reference each (R,), 0 where no n-gram of some length is met."""
    found = np.array([_ngrams(t, a) for t, a in zip(truth, answers)]).reshape(-1, 10)
    met, given, length = (
        counts @ part for part in (found[:, :4], found[:, 4:8], found[:, 8:])
    )  # (R, 4), (R, 4), (R, 2)
    share = _ratio(met, given)
    mean = np.log(np.where(share > 0, share, 1)).mean(1)
    short = np.minimum(0.0, 1 - _ratio(length[:, 0], length[:, 1], np.inf))
    return np.where((share > 0).all(1), np.exp(mean + short), 0.0)


def _ngrams(truth: Sequence[str], answer: Sequence[str]) -> list[int]:
    """n-grams of 1 to 4 words that are met, those that are given, and words in the truth and in the answer."""
    met, given = [], []
    for n in range(1, 5):
        wanted, had = (Counter(tuple(t[i : i + n]) for i in range(len(t) - n + 1)) for t in (truth, answer))
        met.append((wanted & had).total())
        given.append(had.total())
    return [*met, *given, len(truth), len(answer)]


# ---------------------------------------------------------------- two sets


def moments(rows: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of rows (n, d), each as often as it counts."""
    counts = np.ones(len(rows)) if counts is None else counts
    total = counts.sum()
    mean = counts @ rows / total
    centred = rows - mean
    return mean, (centred * counts[:, None]).T @ centred / max(total - 1, 1)


def frechet(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """The squared distance of two normal distributions: |m - m'|^2 + trace(S + S' - 2 (S S')^1/2).

    On features of a network it tells how far apart two sets of items are; that of Heusel et al. 2017 (arXiv:1706.08500)
    only on Inception's.
    """
    (mean, cov), (other_mean, other_cov) = one, other
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other_cov @ root), 0, None)).sum()
    apart = mean - other_mean
    return max(0.0, float(apart @ apart + np.trace(cov) + np.trace(other_cov) - 2 * cross))


def classes_met(given: np.ndarray, count: int, least: float = 0.02) -> int:
    """How many of `count` classes at least a share `least` of the answers (n,) fall into."""
    return int((np.bincount(given, minlength=count) >= least * len(given)).sum())


# ---------------------------------------------------------------- single figures


def confusion(target: np.ndarray, guess: np.ndarray, k: int) -> np.ndarray:
    """int (K, K): rows the truth, columns the answer."""
    return np.bincount(target * k + guess, minlength=k * k).reshape(k, k)


def precision_recall_f1(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class, each (..., K), from (..., K, K); 0 where a class is never given or never occurs."""
    tp, given, true = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-2), matrix.sum(-1)
    return _ratio(tp, given), _ratio(tp, true), _ratio(2 * tp, given + true)


def mcc(matrix: np.ndarray) -> np.ndarray:
    """Matthews correlation for any number of classes (Gorodkin 2004, eq. 8), (...) from (..., K, K)."""
    m = matrix.astype(np.float64)
    n, correct = m.sum((-2, -1)), np.trace(m, axis1=-2, axis2=-1)
    given, true = m.sum(-2), m.sum(-1)
    bottom = np.sqrt(n**2 - (given**2).sum(-1)) * np.sqrt(n**2 - (true**2).sum(-1))
    return _ratio(correct * n - (given * true).sum(-1), bottom)


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, ties shared (Mann-Whitney U); NaN where only one class occurs."""
    return float(areas(positive, score, _once(positive))[0][0])


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps; NaN where there is no positive item."""
    return float(areas(positive, score, _once(positive))[1][0])


def calibration_error(
    confidence: np.ndarray, correct: np.ndarray, counts: np.ndarray | None = None, bins: int = 15
) -> np.ndarray:
    """Expected calibration error over equal-width bins (Guo et al. 2017, eq. 3), (R,)."""
    counts = _once(confidence) if counts is None else counts
    place = calibration_bin(confidence, bins)
    gap = np.abs(_sums(counts * (confidence - correct.astype(np.float64)), place, bins))
    return gap.sum(1) / counts.sum(1)


def calibration_bin(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Which of `bins` bins of equal width a confidence falls into, (n,)."""
    return np.minimum((np.nan_to_num(confidence) * bins).astype(int), bins - 1)


def probabilities(answers: Sequence[Any], names: Sequence[str]) -> np.ndarray:
    """float32 (n, K) from decoded answers."""
    rows = [[answer["probabilities"][name] for name in names] for answer in answers]
    return np.array(rows, np.float32).reshape(-1, len(names))


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


# ---------------------------------------------------------------- curves


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


# ---------------------------------------------------------------- parts


def _areas_by_class(target: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision (R,): mean over the classes that occur, each against the rest; of two, the second."""
    k = probabilities.shape[1]
    each = [areas(target == c, probabilities[:, c], counts) for c in ([1] if k == 2 else range(k))]
    auc, precision_area = (np.stack(column, 1) for column in zip(*each))  # (R, K)
    return _mean_where(auc, ~np.isnan(auc)), _mean_where(precision_area, ~np.isnan(precision_area))


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
    auc = _ratio(rank - positives**2 / 2, positives * (total - positives), np.nan)
    below_own = _cumulated(own)[:, np.searchsorted(places, start)]
    precision = _ratio(positives[:, None] - below_own, total[:, None] - below[:, start])
    return auc, _ratio((own * precision).sum(1), positives, np.nan)


def _cumulated(weight: np.ndarray) -> np.ndarray:
    """Sums of everything before each place: (R, n) to (R, n + 1)."""
    result = np.zeros((len(weight), weight.shape[1] + 1))
    np.cumsum(weight, axis=1, out=result[:, 1:])
    return result


def _median(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Median of each resample (R,): the mean of the two in the middle where their number is even."""
    order = np.argsort(values)
    upto = np.cumsum(counts[:, order], axis=1)
    total = upto[:, -1:]
    low = (upto <= (total - 1) // 2).sum(1)
    high = (upto <= total // 2).sum(1)
    return (values[order[low]] + values[order[high]]) / 2


def _known_mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means of each column in each resample (R, D) over what is known of values (n, D, h)."""
    known = np.isfinite(values)
    return _ratio(counts @ np.where(known, values, 0).sum(2), counts @ known.sum(2), np.nan)


def _sums(counts: np.ndarray, group: np.ndarray, size: int) -> np.ndarray:
    """Sums by group in each resample: (R, size)."""
    return np.stack([np.bincount(group, row, size) for row in counts])


def _mean_where(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what the mask keeps; NaN where it keeps nothing."""
    return _ratio(np.where(mask, values, 0).sum(-1), mask.sum(-1), np.nan)


def _ratio(top: np.ndarray, bottom: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), otherwise), where=np.asarray(bottom) > 0)


def _once(items: np.ndarray) -> np.ndarray:
    """Every item once: the one resample that is the data itself."""
    return np.ones((1, len(items)))


def _plain(found: dict[str, np.ndarray]) -> dict[str, float]:
    """The one row of each figure, without those that are not defined. What is NaN for another reason stays: it is news."""
    return {name: float(value[0]) for name, value in found.items() if name not in PARTIAL or not np.isnan(value[0])}
