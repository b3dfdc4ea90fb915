"""Versions that share the traffic: one whose requests fail, or that is slower than the version before it, goes.

Requests are dealt out by chance, so that both meet the same items, neighbours and load: what differs is the version.
That its answers differ from those of the one before says nothing here of which are right: a shadow is compared item by
item, and `deepen loop` knows from held-out items how far a better version's answers may lie from those before.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from deepen.serving.pace import Pace, slow
from deepen.serving.tally import Tally
from deepen.serving.version import Version
from deepen.serving.watch import OWN, Watch

FAILED, FEWEST = 0.2, 5  # share of requests that fail, and how many, for a version to go
NEWEST = 1000  # requests after which a version's pace is judged from new ones


class Canary:
    """The look at the versions of one model that share its traffic. Counts are by name: they go on after a reload."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.model = watch, watch.model
        self.among: tuple[str, ...] = ()  # who shared the traffic at the last look
        self.seen: dict[str, tuple[int, int]] = {}  # requests answered well and not, up to then
        self.begun: dict[str, Pace] = {}  # the paces when those that are judged began

    async def look(self) -> None:
        """One look at every version."""
        model = self.model
        sharing = tuple(name for name in sorted(model.route.shares, key=int) if name in model.versions)
        if sharing != self.among:
            self.among = sharing
            self._begin()
        if len(sharing) < 2 or model.broken:
            return
        for name in sharing:
            version = model.versions.get(name)
            if version is not None and (why := self._failing(version)):
                await self.watch.act(name, why)
        for before, name in pairwise(sharing):
            if name in model.versions and (why := self._slow(before, name)):
                await self.watch.take_out(name, why)

    def _failing(self, version: Version) -> str:
        """Why a version has to go, by its errors since the last look."""
        (good, bad), (old_good, old_bad) = _counts(version.tally), self.seen[version.name]
        self.seen[version.name] = good, bad
        failed, total = bad - old_bad, bad - old_bad + good - old_good
        return f"{failed} of {total} requests failed" if failed >= FEWEST and failed > FAILED * total else ""

    def _slow(self, before: str, name: str) -> str:
        """Why a version has to go, by its pace beside that of the one before it."""
        paces = {one: self.model.tallies[one].pace - self.begun[one] for one in (before, name)}
        if sum(paces[name].values()) >= NEWEST:
            self._begin()
        return slow(paces[before], paces[name], self.model.options.slower)

    def _begin(self) -> None:
        self.begun = {name: Counter(self.model.tallies[name].pace) for name in self.among}
        self.seen = {name: _counts(self.model.tallies[name]) for name in self.among}


def _counts(tally: Tally) -> tuple[int, int]:
    """Requests answered well, and those that failed through no fault of the client."""
    return tally.latency.count, sum(count for code, count in tally.errors.items() if code in OWN)
