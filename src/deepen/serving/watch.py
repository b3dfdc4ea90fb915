"""Golden items asked again in service: wrong or stuck -> load the bundle anew -> the version before -> a clear 503.

What cannot answer is tried again at every look, and answers as soon as its golden items are right. A version that
shares the traffic with others is watched more closely: serving/canary.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from deepen.bundle import GOLDEN_GAP
from deepen.errors import DeepenError
from deepen.serving.batcher import Full, Late
from deepen.serving.model import Model
from deepen.serving.tally import OWN
from deepen.serving.version import Part, Version

LATE = 10.0  # seconds for the golden items; a model that is in one run for as long is stuck

log = logging.getLogger("deepen.serving")


class Watch:
    """The look at one model. `strikes`: versions loaded anew since their golden answers were last right."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.strikes: set[str] = set()

    async def look(self) -> None:
        """One look at every version in service."""
        model = self.model
        if not model.loaded:
            return
        if model.broken:
            await self._try_again()
            return
        for name, version in list(model.versions.items()):
            why = await fault(version)
            if not why:
                self.strikes.discard(name)
            elif model.versions.get(name) is version:  # not swapped meanwhile
                await self.act(name, why)

    async def act(self, name: str, why: str) -> None:
        """Load a version anew; where that was done already, or does not help, take it out of service."""
        if name not in self.strikes:
            log.error("model %s: version %s: %s", self.model.name, name, why)
            self.strikes.add(name)
            self.model.event("loaded anew", version=name, why=why)
            if await self._follow(frozenset({name})):
                return
        await self.take_out(name, why)

    async def take_out(self, name: str, why: str) -> None:
        """Serve without a version, or with the version before."""
        model = self.model
        log.error("model %s: version %s goes: %s", model.name, name, why)
        try:
            before = model.home.state()
            nothing_left = model.home.refuse(name, why) == before
        except DeepenError as problem:  # better no answers than wrong ones
            log.error("model %s: version %s is not marked: %s", model.name, name, problem)
            if name in model.held:  # the others answer; the next look may be luckier
                return
            nothing_left = True
        if nothing_left or not await self._follow(frozenset()):
            model.broken = why

    async def _try_again(self) -> None:
        names = frozenset(self.model.home.state().versions)
        if await self._follow(names):
            self.model.event("answers again")

    async def _follow(self, fresh: frozenset[str]) -> bool:
        try:
            return not await self.model.follow(fresh)
        except DeepenError as problem:
            log.error("model %s: %s", self.model.name, problem)
            self.model.broken = str(problem)
            return False


async def fault(version: Version) -> str:
    """What is wrong with a version's answers to its golden items; empty where nothing is."""
    stuck = version.batcher.busy_since
    if stuck and time.monotonic() - stuck > LATE:
        return f"the model has been busy with one batch for {time.monotonic() - stuck:.0f} s"
    try:
        items, right = version.golden
        parts = [
            Part(await asyncio.to_thread(version.predictor.encode, some), len(some))
            for at in range(0, len(items), version.largest)
            if (some := items[at : at + version.largest])
        ]
        results = await version.ask(parts, True, time.monotonic() + LATE, True)
        gap = version.predictor.gap([a for result in results for a in result.answers], right)
    except Full:
        return ""  # much to do is no fault
    except Late:
        stuck = version.batcher.busy_since  # else the queue is long
        return f"no golden answer within {LATE:g} s" if stuck and time.monotonic() - stuck > LATE / 2 else ""
    except Exception as problem:
        return f"golden items fail ({type(problem).__name__}: {problem})"
    return "" if gap <= GOLDEN_GAP else f"golden answers differ by up to {gap:.3g}, at most {GOLDEN_GAP}"


def own_errors(pulses: Sequence[Any]) -> int:
    """Requests that failed through no fault of the client."""
    return sum(count for pulse in pulses for code, count in pulse.errors.items() if code in OWN)
