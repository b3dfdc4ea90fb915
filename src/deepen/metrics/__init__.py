"""Figures of merit in NumPy: the same functions for training, the gate and the report.

Definitions are scikit-learn's; tests hold them equal to 1e-6. FPR = FP/(FP+TN), TPR = recall = TP/(TP+FN).

Each is written once, over R resamples at a time: `counts` (R, n) says how often a resample holds each item, all ones
for the plain figure. The bootstrap sorts nothing twice that way. A figure that is not defined for the items at hand
(AUC where only one class occurs) is NaN in a resample and is left out of the plain result.

Letters  R resamples, n items, K classes or labels
"""

from __future__ import annotations

from deepen.metrics.amounts import number, number_resampled, series, series_resampled
from deepen.metrics.apart import classes_met, frechet, gap, moments
from deepen.metrics.choices import (
    calibration_bin,
    calibration_error,
    classes,
    classes_resampled,
    confusion,
    labels,
    labels_resampled,
    mcc,
    precision_recall_f1,
    probabilities,
)
from deepen.metrics.names import LOWER, MEANING, PARTIAL, higher_is_better
from deepen.metrics.ranked import areas, average_precision, precision_recall_curve, roc_auc, roc_curve
from deepen.metrics.texts import bleu_resampled, item_nats, tokens, tokens_resampled

__all__ = [
    "LOWER",
    "MEANING",
    "PARTIAL",
    "areas",
    "average_precision",
    "bleu_resampled",
    "calibration_bin",
    "calibration_error",
    "classes",
    "classes_met",
    "classes_resampled",
    "confusion",
    "frechet",
    "gap",
    "higher_is_better",
    "item_nats",
    "labels",
    "labels_resampled",
    "mcc",
    "moments",
    "number",
    "number_resampled",
    "precision_recall_curve",
    "precision_recall_f1",
    "probabilities",
    "roc_auc",
    "roc_curve",
    "series",
    "series_resampled",
    "tokens",
    "tokens_resampled",
]
