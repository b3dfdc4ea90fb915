"""What the service counts about a version as it goes, cheap enough for every request. Written from the event loop alone."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from deepen.serving.batcher import Batch
from deepen.serving.moving import Moving
from deepen.serving.pace import Pace, step

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
OWN = {"internal", "model.answer", "model.late", "bundle.run"}  # errors that are the version's, not the client's
RECENT = 5000  # latencies kept for the percentiles of the next pulse


class Histogram:
    """Counts of values up to each bound, and beyond the last."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)


class Tally:
    """What one version did. Times in seconds."""

    def __init__(self) -> None:
        self.items = 0
        self.errors: Counter[str] = Counter()  # error code -> requests
        self.latency = Histogram(SECONDS)  # of requests answered well
        self.failed = 0.0  # seconds of requests that were not
        self.batches = Histogram(SIZES)
        self.model = 0.0
        self.waited = 0.0
        self.jobs = 0
        self.last = 0.0  # Unix seconds of the last answer
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.pace: Pace = Counter()  # of requests answered well
        self.shadow: Counter[str] = Counter()  # as a shadow: compared, different, failed, skipped
        self.compared = 0.0  # seconds from asking the shadow to its answers, added up over its items
        self.gap = 0.0  # the largest difference from the answers it was compared with
        self.moving = Moving()  # its answers and those
        self.own: Pace = Counter()  # as a shadow, and
        self.others: Pace = Counter()  # of who answered, asked once more in the same way

    def answered(self, items: int, seconds: float) -> None:
        self.items += items
        self.latency.add(seconds)
        self.recent.append(seconds)
        self.pace[step(seconds / max(items, 1))] += 1
        self.last = time.time()

    def refused(self, code: str, seconds: float) -> None:
        self.errors[code] += 1
        self.failed += seconds

    @property
    def failures(self) -> tuple[int, int]:
        """Requests that failed by the version's own fault, and all but those that failed by their client's."""
        failed = sum(count for code, count in self.errors.items() if code in OWN)
        return failed, failed + self.latency.count

    def ran(self, batch: Batch) -> None:
        self.batches.add(batch.items)
        self.model += batch.seconds
        self.waited += batch.waited
        self.jobs += batch.jobs


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The median, the 95th and the 99th percentile; nothing of nothing."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {f"p{p}": ordered[round(last * p / 100)] for p in (50, 95, 99)} if ordered else {}


def memory() -> int:
    """Resident bytes of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
