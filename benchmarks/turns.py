"""A contender's side of a measurement: it trains while it has the turn and sleeps while another has it.

A contender is a process of its own. After every `block` steps it reports the CPU seconds of the block and waits for its
next turn, so that contenders alternate every second or so and the machine's moods fall on all of them alike.
Imports nothing that a peer's Python may lack.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

MARK = "@turn "  # a line of a contender that is meant for the driver; libraries print lines of their own


def cpu() -> float:
    """CPU seconds, user and system, of this process and the children it has waited for."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def peak() -> float:
    """The most memory this process has had resident, in MiB. Not getrusage: that remembers the parent's too."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def tell(**values: Any) -> None:
    """One line to the driver."""
    print(MARK + json.dumps(values), flush=True)


class Turns:
    """Counts steps; at the end of a block gives the turn away. The first block begins with the first turn."""

    def __init__(self, block: int) -> None:
        self.block, self.done = block, 0
        self._wait()

    def step(self) -> None:
        """Call after every training step."""
        self.done += 1
        if self.done % self.block == 0:
            tell(cpu=cpu() - self._cpu, wall=time.monotonic() - self._wall)
            self._wait()

    def finish(self, accuracy: float, **more: Any) -> None:
        """Call when training is over, with the accuracy on the test pictures."""
        tell(accuracy=accuracy, peak_mib=peak(), **more)

    def _wait(self) -> None:
        if not sys.stdin.readline():
            raise SystemExit("the driver is gone")
        self._cpu, self._wall = cpu(), time.monotonic()
