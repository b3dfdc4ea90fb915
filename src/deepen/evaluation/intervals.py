"""Bootstrap intervals: the figures over resampled items (Efron 1979, percentile method). Torch-free."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepen.tensors import Arrays

RESAMPLES = 400
LARGEST = 2_000_000  # items looked at in all; large sets are resampled less often


def intervals(
    kind: Any, target: np.ndarray, outputs: Arrays, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Each metric of the kind as (value, low, high)."""
    found = kind.metrics(target, outputs)
    n = len(target)
    times = max(50, min(RESAMPLES, LARGEST // max(n, 1)))
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(times):
        rows = rng.integers(n, size=n)
        samples.append(
            list(kind.metrics(target[rows], {name: array[rows] for name, array in outputs.items()}).values())
        )
    low, high = np.nanquantile(np.array(samples), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (value, float(a), float(b)) for (name, value), a, b in zip(found.items(), low, high)}
