"""A version that answers beside the one that counts: its answers are compared, never returned."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from deepen.serving.version import Part, Version

MOST = 32  # comparisons under way; more are skipped: a shadow must not slow down those who answer
SECONDS = 30.0  # for a comparison

log = logging.getLogger("deepen.serving")


class Shadow:
    """Comparisons under way."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def compare(self, version: Version, answers: Sequence[Any], parts: Callable[[], Awaitable[list[Part]]]) -> None:
        """Ask a version for `parts` too, later, and count how its answers differ. Returns at once."""
        if len(self.tasks) >= MOST:
            version.tally.shadow["skipped"] += len(answers)
            return
        version.active += 1
        task = asyncio.get_running_loop().create_task(_compare(version, answers, parts))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def _compare(version: Version, answers: Sequence[Any], parts: Callable[[], Awaitable[list[Part]]]) -> None:
    count = version.tally.shadow
    start = time.monotonic()
    try:
        results = await version.ask(await parts(), True, time.monotonic() + SECONDS, False)
        own = [answer for result in results for answer in result.answers]
        version.tally.compared += (time.monotonic() - start) * len(own)
        for ours, theirs in zip(own, answers):
            gap = version.predictor.gap([ours], [theirs])
            count["compared"] += 1
            if not math.isfinite(gap):  # they differ in more than numbers
                count["different"] += 1
            else:
                version.tally.gap = max(version.tally.gap, gap)
    except Exception as problem:
        count["failed"] += len(answers)
        log.warning("shadow %s failed: %s", version.name, problem)
    finally:
        version.release()
