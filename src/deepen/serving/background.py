"""What a server does beside answering: golden items, changes of its live directories, a record of how it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError
from deepen.serving.canary import Canary
from deepen.serving.core import Core
from deepen.serving.model import Model
from deepen.serving.pace import Pace
from deepen.serving.tally import memory, percentiles
from deepen.serving.watch import Watch
from deepen.store.live import Beside, Live, Pulse

FOLLOW = 1.0  # seconds between looks at live.json
LOOK = 1.0  # seconds between looks at versions that share the traffic

log = logging.getLogger("deepen.serving")


def tasks(core: Core) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """What is to run beside a core, each for ever."""
    jobs: list[tuple[float, Callable[[], Awaitable[None]]]] = []
    for model in core.models.values():
        watch = Watch(model)
        if core.options.watch:
            jobs.append((core.options.watch, watch.look))
        jobs.append((LOOK, Canary(watch).look))
        if isinstance(model.home, Live):
            jobs.append((FOLLOW, Follow(model, model.home).look))
            jobs.append((core.options.pulse, Beat(core, model, model.home).look))
    return [partial(_every, seconds, job) for seconds, job in jobs]


async def _every(seconds: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await job()
        except Exception:  # the service goes on without it, and the next look may be luckier
            log.exception("%s failed", job)


class Follow:
    """Serves what live.json says once it has changed."""

    def __init__(self, model: Model, home: Live) -> None:
        self.model, self.file = model, home.path / "live.json"
        self.seen: tuple[object, ...] = ()  # it may have changed since the model was loaded: the first look follows

    async def look(self) -> None:
        stamp = _stamp(self.file)
        if stamp == self.seen or not self.model.loaded:
            return
        self.seen = stamp
        try:
            await self.model.follow()
        except DeepenError as problem:
            log.error("model %s goes on as before: %s", self.model.name, problem)
        self.seen = _stamp(self.file) if _stamp(self.file) == stamp else ("",)


class Beat:
    """Writes how a model did since the last time."""

    def __init__(self, core: Core, model: Model, home: Live) -> None:
        self.core, self.model, self.home = core, model, home
        self.time, self.cpu = time.monotonic(), _cpu()
        self.errors: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.shadow: Counter[tuple[str, str]] = Counter()
        self.paces: dict[str, tuple[Pace, Pace]] = {}  # of each shadow, up to the last time
        self.requests = 0

    async def look(self) -> None:
        now, cpu = time.monotonic(), _cpu()
        errors, items, recent, requests = self._counts()
        own = {name: count - self.items[name] for name, count in items.items()}
        shadow = self._shadow()
        pulse = Pulse(
            time=time.time(),
            seconds=now - self.time,
            requests=requests - self.requests,
            items=sum(own.values()),
            errors=dict(errors - self.errors),
            latency=percentiles(recent),
            versions={name: count for name, count in own.items() if count or name in self.model.versions},
            waiting=self.core.accepted,
            cpu=(cpu - self.cpu) / max(now - self.time, 1e-9),
            memory=memory(),
            shadow=_by_version(shadow - self.shadow),
            beside=self._beside(),
        )
        self.time, self.cpu, self.errors, self.items, self.requests = now, cpu, errors, items, requests
        self.shadow = shadow
        with contextlib.suppress(DeepenError):  # a full disk stops the record, not the service
            await asyncio.to_thread(self.home.beat, pulse)

    def _counts(self) -> tuple[Counter[str], Counter[str], list[float], int]:
        """Errors and items so far, of versions that left service too, and the latencies since the last time."""
        errors = Counter(self.model.errors)
        items: Counter[str] = Counter()
        recent: list[float] = []
        requests = sum(errors.values())
        for name, tally in self.model.tallies.items():
            errors += tally.errors
            items[name] = tally.items
            requests += tally.latency.count + sum(tally.errors.values())
            recent += tally.recent
            tally.recent.clear()
        return errors, items, recent, requests

    def _beside(self) -> dict[str, Beside]:
        """What came of each version as a shadow since the last time, beside who answered."""
        found = {}
        for name, tally in self.model.tallies.items():
            if not tally.moving.items:
                continue
            now = (Counter(tally.own), Counter(tally.others))
            own, others = (new - old for new, old in zip(now, self.paces.get(name, (Counter(), Counter()))))
            self.paces[name] = now
            if own or name == self.model.route.shadow:
                found[name] = Beside(_texts(own), _texts(others), tally.moving.sketches(), tally.moving.items)
        return found

    def _shadow(self) -> Counter[tuple[str, str]]:
        """What came of each version as a shadow so far."""
        found: Counter[tuple[str, str]] = Counter()
        for name, tally in self.model.tallies.items():
            found.update({(name, result): count for result, count in tally.shadow.items()})
            found[name, "seconds"] = tally.compared  # type: ignore[assignment]
        return found


def _texts(pace: Pace) -> dict[str, int]:
    return {str(at): count for at, count in sorted(pace.items())}


def _by_version(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for (version, what), count in counts.items():
        found.setdefault(version, {})[what] = count
    return found


def _stamp(file: Path) -> tuple[object, ...]:
    try:
        about = os.stat(file)
    except OSError:
        return ()
    return about.st_mtime_ns, about.st_ino, about.st_size


def _cpu() -> float:
    times = os.times()
    return times.user + times.system
