"""How far apart two answers are, or two sets of items."""

from __future__ import annotations

from typing import Any

import numpy as np


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
