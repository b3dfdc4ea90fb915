"""How long a process has given no sign of life, without the time in which it had no core to give one.

A thread that could run but waits, for other processes have the cores or its group has used up its share, is not stuck.
Linux says of each thread how long it waited so (/proc/PID/task/TID/schedstat), and of each core how long the host kept it
(/proc/stat). The longest wait of any thread counts: it may hold what the others wait for. Elsewhere all time counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

LOOK = 0.5  # seconds between two looks; who looks much later had no core himself, and judges nobody by that time
AT_MOST = 60.0  # seconds beyond its limit that a silent process is given in all, however busy the machine
STEAL = 8  # place of the time taken by the host in a line of /proc/stat
CORE = re.compile(r"cpu\d+")  # what the line of one core in it begins with


class Silence:
    """Of one process. `seconds`: silent so far while it could have spoken; `since`: by the clock, when it was last heard."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self.pid, self.proc = pid, proc
        self.seconds = 0.0
        self.since = self.looked = time.monotonic()
        self.waits, self.stolen = self._waits(), self._stolen()

    def heard(self) -> None:
        self.seconds = 0.0
        self.since = self.looked = time.monotonic()

    def beyond(self, limit: float) -> bool:
        """One look; whether it has been silent for longer than so many seconds."""
        now = time.monotonic()
        waits, stolen = self._waits(), self._stolen()
        lost = _most(self.waits, waits) + _most(self.stolen, stolen)
        self.seconds += max(0.0, min(now - self.looked, 2 * LOOK) - lost)
        self.looked, self.waits, self.stolen = now, waits, stolen
        return self.seconds > limit or now - self.since > limit + AT_MOST

    def _waits(self) -> dict[str, float]:
        """Seconds that each thread has waited for a core."""
        found = {}
        for place in self.proc.glob(f"{self.pid}/task/*/schedstat"):
            with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended
                found[place.parent.name] = int(place.read_text().split()[1]) / 1e9
        return found

    def _stolen(self) -> dict[str, float]:
        """Seconds that the host has kept each core."""
        try:
            lines = [line.split() for line in (self.proc / "stat").read_text().splitlines()]
            return {line[0]: int(line[STEAL]) / os.sysconf("SC_CLK_TCK") for line in lines if CORE.fullmatch(line[0])}
        except (OSError, IndexError, ValueError):
            return {}


def _most(before: dict[str, float], now: dict[str, float]) -> float:
    """The largest growth; what is new has grown from nothing."""
    return max((value - before.get(name, 0.0) for name, value in now.items()), default=0.0)
