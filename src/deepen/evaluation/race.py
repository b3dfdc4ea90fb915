"""Two models on the same items in turn: which is faster, and how sure that is. Torch-free."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from deepen.evaluation.intervals import Interval

ROUNDS = 400
SECONDS = 4.0  # at most
RESAMPLES = 400


class Race(NamedTuple):
    """Seconds of one call, (median, 5th and 95th percentile), and how many times faster the second is, with interval."""

    first: Interval
    second: Interval
    ratio: Interval
    rounds: int

    def document(self) -> dict[str, Any]:
        return self._asdict()


def race(first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS) -> Race:
    """Calls in turn, so that what else the machine does meets both. At least 20 rounds."""
    for call in (first, second):
        call()  # the first call allocates
    taken: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(taken) < rounds and (len(taken) < 20 or time.perf_counter() - start < SECONDS):
        taken.append((_seconds(first), _seconds(second)))
    a, b = np.array(taken).T
    draws = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    ratios = np.median(a[draws], axis=1) / np.median(b[draws], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Race(_spread(a), _spread(b), (float(np.median(a) / np.median(b)), float(low), float(high)), len(a))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _spread(values: np.ndarray) -> Interval:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float(middle), float(low), float(high)
