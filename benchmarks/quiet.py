"""Turns of a measurement on a machine whose host lends its cores to others now and then (steal time, Linux)."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STOLEN, TRIES = 0.02, 10  # share of the machine's time that others may have had in a turn; how often it is taken again


class Quiet:
    """Takes a turn while the host leaves this machine its cores: again where it did not, of all tries the best."""

    def __init__(self) -> None:
        self.shares: list[float] = []  # of the machine's time that others had, turn by turn
        self.again = 0

    def __call__(self, turn: Callable[[], Any]) -> Any:
        tries: list[tuple[float, Any]] = []
        while len(tries) < TRIES and not (tries and tries[-1][0] <= STOLEN):
            tries.append(self._share(turn))
        share, result = min(tries, key=lambda one: one[0])
        self.shares.append(share)
        self.again += len(tries) - 1
        return result

    def _share(self, turn: Callable[[], Any]) -> tuple[float, Any]:
        """What others had of the machine in a turn, and what came of it."""
        before, start = _stolen(), time.perf_counter()
        result = turn()
        return (_stolen() - before) / (time.perf_counter() - start) / (os.cpu_count() or 1), result

    def __str__(self) -> str:
        found = (
            f"{100 * statistics.median(self.shares):.1f} % at the median, {100 * max(self.shares):.1f} % at the most"
        )
        return f"time the host gave to others in {len(self.shares)} turns: {found}; {self.again} were taken again"


def _stolen() -> float:
    """Seconds of all cores so far that the host of this machine gave to others; 0 where it does not say."""
    place = Path("/proc/stat")
    fields = place.read_text().split("\n", 1)[0].split() if place.exists() else []
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0.0
