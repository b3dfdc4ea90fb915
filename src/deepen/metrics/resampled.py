"""What the figures of resamples share."""

from __future__ import annotations

import numpy as np

from deepen.metrics.names import PARTIAL


def sums(counts: np.ndarray, group: np.ndarray, size: int) -> np.ndarray:
    """Sums by group in each resample: (R, size)."""
    return np.stack([np.bincount(group, row, size) for row in counts])


def mean_where(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what the mask keeps; NaN where it keeps nothing."""
    return ratio(np.where(mask, values, 0).sum(-1), mask.sum(-1), np.nan)


def ratio(top: np.ndarray, bottom: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), otherwise), where=np.asarray(bottom) > 0)


def once(items: np.ndarray) -> np.ndarray:
    """Every item once: the one resample that is the data itself."""
    return np.ones((1, len(items)))


def plain(found: dict[str, np.ndarray]) -> dict[str, float]:
    """The one row of each figure, without those that are not defined. What is NaN for another reason stays: it is news."""
    return {name: float(value[0]) for name, value in found.items() if name not in PARTIAL or not np.isnan(value[0])}
