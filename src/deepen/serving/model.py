"""A name under which versions answer: who gets a request, swaps under load, what happens to a version that is not fit."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import Counter
from typing import Any

from deepen.errors import DeepenError
from deepen.serving.failing import Failing
from deepen.serving.home import Fixed, Home
from deepen.serving.moving import Moving
from deepen.serving.options import Options
from deepen.serving.refusal import Refusal
from deepen.serving.tally import Tally
from deepen.serving.version import Version
from deepen.store.live import Route, State

log = logging.getLogger("deepen.serving")


class Model:
    """Versions in service and the route between them.

    broken  why nothing answers, if so
    errors  code -> requests for this model that no version took
    dealt   version -> its share of requests that name none: of those in the route without the ones held back
    held    version -> why it is dealt nothing, until somebody does something about it (serving/canary.py)
    """

    def __init__(self, home: Home, options: Options) -> None:
        self.home, self.options, self.name = home, options, home.name
        self.versions: dict[str, Version] = {}
        self.tallies: dict[str, Tally] = {}  # by version: counts go on when one is loaded again
        self.errors: Counter[str] = Counter()
        self.route = Route({})
        self.dealt: dict[str, float] = {}
        self.held: dict[str, str] = {}
        self.failing = Failing()
        self.broken = ""
        self.loaded = True  # False once it was taken out of service on request
        self._changing = asyncio.Lock()

    @property
    def ready(self) -> bool:
        return self.loaded and not self.broken and bool(self.versions)

    @property
    def shadow(self) -> Version | None:
        return self.versions.get(self.route.shadow)

    def beside(self, version: Version) -> Version | None:
        """The shadow, where what a version was asked is for it too."""
        shadow = self.shadow
        return shadow if shadow is not version and random.random() < self.route.asked else None

    def main(self) -> Version:
        """The version with the largest share: the one that describes the model."""
        self._check()
        return self.versions[max(self.route.shares, key=self.route.shares.__getitem__)]

    def pick(self, name: str = "") -> Version:
        """A version for a request: the one it names, else one by their shares."""
        self._check()
        if name:
            if name not in self.versions:
                known = ", ".join(sorted(self.versions, key=int))
                text = f"no version {name[:100]!r} of model {self.name!r} in service ({known})"
                raise Refusal(404, "request.version", text)
            return self.versions[name]
        shares = self.dealt
        if len(shares) == 1:
            return self.versions[next(iter(shares))]
        return self.versions[random.choices(list(shares), list(shares.values()))[0]]

    def failed(self, name: str) -> None:
        """A request that was dealt to a version failed by that version's fault. Too many, and it is dealt no more."""
        if self.failing.add(name, self.dealt):
            failed, total = self.versions[name].tally.failures
            self.held[name] = f"{failed} of its {total} requests failed, surely more than of the versions beside it"
            del self.dealt[name]
            log.error("model %s: version %s is held back: %s", self.name, name, self.held[name])

    def _check(self) -> None:
        if not self.loaded:
            raise Refusal(404, "request.model", f"model {self.name!r} is not in service")
        if self.broken or not self.versions:
            raise Refusal(503, "model.broken", f"model {self.name!r} cannot answer now", retry_after="10")

    def told(self, problem: object) -> str:
        """What a client hears of what went wrong: files by their names in the bundle, not where the server has them."""
        places = "|".join(re.escape(str(folder)) for folder in self.home.folders)
        return f"model {self.name!r}: " + re.sub(rf"(?<![\w./-])(?:{places})(?:/|: )", "", str(problem))

    def event(self, what: str, **more: Any) -> None:
        """A line in the home's log; a disk that takes none is no reason to stop."""
        try:
            self.home.event(what, **more)
        except DeepenError as problem:
            log.error("model %s: %s is not recorded: %s", self.name, what, problem)

    # ---------------------------------------------------------------- changes

    def start(self) -> None:
        """Serve what the home says, before any request; DeepenError where nothing of it is fit."""
        _, route, versions = self._find(frozenset())
        self._adopt(route, versions)

    async def follow(self, fresh: frozenset[str] = frozenset()) -> list[str]:
        """Serve what the home says now; returns why versions were refused.

        The new versions are loaded and proven beside those in service, then all change at once. Where nothing is fit,
        what served before goes on. `fresh`: versions to load again even if they are in service
        """
        async with self._changing:
            refused, route, versions = await asyncio.to_thread(self._find, fresh)
            self._adopt(route, versions)
            return refused

    async def unload(self) -> None:
        """Take the model out of service."""
        async with self._changing:
            self.loaded = False
            self._adopt(Route({}), {})

    async def load(self) -> list[str]:
        """Load all versions again from disk, proven, and answer with them."""
        refused = await self.follow(frozenset(self.home.state().versions))
        self.loaded = True
        return refused

    def _find(self, fresh: frozenset[str]) -> tuple[list[str], Route, dict[str, Version]]:
        """The route of the home and its versions, loaded; those not fit are refused first."""
        refused: list[str] = []
        known = {name: version for name, version in self.versions.items() if name not in fresh}
        while True:
            state = self.home.state()
            try:
                for name in _wanted(state, self.home):
                    if name not in known:
                        tally = self.tallies.setdefault(name, Tally())
                        known[name] = Version.load(name, self.home.bundle(name), self.options, tally)
            except DeepenError as problem:
                refused.append(f"version {name}: {problem}")
                if self.home.refuse(name, str(problem)) == state:  # nothing else is left
                    self._close(known, {})
                    raise
                log.error("model %s: version %s is refused: %s", self.name, name, problem)
                continue
            wanted = {name: known[name] for name in _wanted(state, self.home)}
            self._close(known, wanted)
            return refused, state.route, wanted

    def _close(self, known: dict[str, Version], wanted: dict[str, Version]) -> None:
        """End what was loaded for nothing."""
        for version in set(known.values()) - set(wanted.values()) - set(self.versions.values()):
            version.close()

    def _adopt(self, route: Route, versions: dict[str, Version]) -> None:
        old = set(self.versions.values())
        if route.shadow != self.route.shadow and route.shadow in self.tallies:
            self.tallies[route.shadow].moving = Moving()  # it is compared with others now
        self.held = {name: why for name, why in self.held.items() if versions.get(name) in old}
        dealt = {name: share for name, share in route.shares.items() if name not in self.held} or dict(route.shares)
        if dealt != self.dealt:
            self.dealt, self.failing = dealt, Failing()
        self.versions, self.route, self.broken = versions, route, ""
        for version in old - set(versions.values()):
            version.retire()


def _wanted(state: State, home: Home) -> list[str]:
    """The versions to hold ready: those of the route; of bundles on the command line all that are fit."""
    more = [name for name, entry in state.versions.items() if isinstance(home, Fixed) and not entry.refused]
    return list(dict.fromkeys([*state.route.shares, *([state.route.shadow] if state.route.shadow else []), *more]))
