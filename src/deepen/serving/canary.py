"""Versions that share the traffic: one that fails more often than the others, or is slower than the one before it, goes.

Requests are dealt out by chance, so that both meet the same items, neighbours and load: what differs is the version.
That its answers differ from those of the one before says nothing here of which are right: a shadow is compared item by
item, and `deepen loop` knows from held-out items how far a better version's answers may lie from those before.

What fails is dealt no request from the one on that settles it (serving/failing.py). Here it is loaded anew, once for as long
as it shares the traffic; failing again it goes.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from deepen.serving.pace import Pace, slow
from deepen.serving.watch import Watch

NEWEST = 1000  # requests after which a version's pace is judged from new ones


class Canary:
    """The look at the versions of one model that share its traffic. Counts are by name: they go on after a reload."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.model = watch, watch.model
        self.among: tuple[str, ...] = ()  # who shared the traffic at the last look
        self.anew: set[str] = set()  # who was loaded anew since then for failing
        self.begun: dict[str, Pace] = {}  # the paces when those that are judged began

    async def look(self) -> None:
        """One look at every version."""
        model = self.model
        sharing = tuple(name for name in sorted(model.route.shares, key=int) if name in model.versions)
        if sharing != self.among:
            self.among = sharing
            self.anew.clear()
            self._begin()
        if len(sharing) < 2 or model.broken:
            return
        for name, why in list(model.held.items()):
            await (self.watch.take_out if name in self.anew else self.watch.act)(name, why)
            self.anew.add(name)
        for before, name in pairwise(sharing):
            if name in model.versions and (why := self._slow(before, name)):
                await self.watch.take_out(name, why)

    def _slow(self, before: str, name: str) -> str:
        """Why a version has to go, by its pace beside that of the one before it."""
        paces = {one: self.model.tallies[one].pace - self.begun[one] for one in (before, name)}
        if sum(paces[name].values()) >= NEWEST:
            self._begin()
        return slow(paces[before], paces[name], self.model.options.slower)

    def _begin(self) -> None:
        self.begun = {name: Counter(self.model.tallies[name].pace) for name in self.among}
