"""A version that answers beside the one that counts: its answers are compared, never returned.

How fast it is can only be told from the same items asked in the same way at the same time: of some requests the version
that answered is asked once more, as the shadow is, before it or after it by lot.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from deepen.serving.pace import step
from deepen.serving.version import Part, Version

MOST = 32  # comparisons under way; more are skipped: a shadow must not slow down those who answer
SECONDS = 30.0  # for a comparison
AGAIN = 1 / 3  # share of comparisons for which who answered is asked once more

Parts = Callable[[Version], Awaitable[list[Part]]]  # of the items, encoded for a version

log = logging.getLogger("deepen.serving")


class Shadow:
    """Comparisons under way."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def compare(self, version: Version, before: Version, answers: Sequence[Any], parts: Parts) -> None:
        """Ask a version too, later, and count how its answers differ from those of `before`. Returns at once."""
        if len(self.tasks) >= MOST:
            version.tally.shadow["skipped"] += len(answers)
            return
        asked = (version, before) if random.random() < AGAIN else (version,)
        for one in asked:
            one.active += 1
        task = asyncio.get_running_loop().create_task(_compare(version, before, answers, parts, len(asked) > 1))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def _compare(version: Version, before: Version, answers: Sequence[Any], parts: Parts, again: bool) -> None:
    tally = version.tally
    usual = None
    first = again and random.random() < 0.5
    try:
        if first:
            usual = await _usual(before, parts)
        own, seconds = await _asked(version, parts)
        if again and not first:
            usual = await _usual(before, parts)
        tally.compared += seconds * len(own)
        if usual is not None:
            tally.own[step(seconds / len(own))] += 1
            tally.others[step(usual / len(own))] += 1
        for ours, theirs in zip(own, answers):
            gap = version.predictor.gap([ours], [theirs])
            tally.shadow["compared"] += 1
            if not math.isfinite(gap):  # they differ in more than numbers
                tally.shadow["different"] += 1
            else:
                tally.gap = max(tally.gap, gap)
        tally.moving.add((before.predictor.signature, answers), (version.predictor.signature, own))
    except Exception as problem:
        tally.shadow["failed"] += len(answers)
        log.warning("shadow %s failed: %s", version.name, problem)
    finally:
        version.release()
        if again:
            before.release()


async def _asked(version: Version, parts: Parts) -> tuple[list[Any], float]:
    """A version's answers, and the seconds until they were there."""
    start = time.monotonic()
    results = await version.ask(await parts(version), True, start + SECONDS, False)
    return [answer for result in results for answer in result.answers], time.monotonic() - start


async def _usual(before: Version, parts: Parts) -> float | None:
    """Seconds of who answered; None where it cannot be asked now, which is no fault of the shadow's."""
    try:
        return (await _asked(before, parts))[1]
    except Exception:
        return None
