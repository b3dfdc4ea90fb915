"""Answers that are amounts: a number, or columns of numbers to come."""

from __future__ import annotations

import numpy as np

from deepen.metrics.resampled import once, plain, ratio


def number(target: np.ndarray, value: np.ndarray) -> dict[str, float]:
    """Regression metrics. target and value (n,), in the same unit."""
    return plain(number_resampled(target, value, once(target)))


def series(error: np.ndarray, naive: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """Forecast metrics. Errors of a forecast and of the naive one (n, D, h), NaN where not known; scale (D,)."""
    return plain(series_resampled(error, naive, scale, once(error)))


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
        "skill": 1 - ratio(same, _known_mean(other, counts), np.nan).mean(1),
        "mae": mae.mean(1),
        "rmse": np.sqrt(_known_mean(error**2, counts)).mean(1),
        "bias": _known_mean(error, counts).mean(1),
    }


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
    return ratio(counts @ np.where(known, values, 0).sum(2), counts @ known.sum(2), np.nan)
