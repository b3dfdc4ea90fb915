"""Where the versions of a model come from: a live directory, or bundles named on the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from deepen.errors import DeepenError
from deepen.store.live import FORMAT, Route, State, checked_route, earlier_route, without
from deepen.store.live import Version as Entry


class Home(Protocol):
    """What a model asks of the place its versions come from; `Live` is one."""

    @property
    def name(self) -> str: ...

    @property
    def folders(self) -> list[Path]:
        """Where all of it lies: for the log, no client is told."""
        ...

    def state(self) -> State: ...

    def bundle(self, version: str) -> Path: ...

    def route(self, shares: dict[str, float], shadow: str = "", why: str = "") -> State: ...

    def rollback(self, why: str = "") -> State: ...

    def refuse(self, version: str, why: str) -> State: ...

    def event(self, what: str, **more: Any) -> None: ...


class Fixed:
    """Bundles as versions 1, 2, ... of one model: the first answers. What is changed is forgotten when the process ends."""

    def __init__(self, name: str, bundles: Sequence[Path]) -> None:
        self.name = name
        self.paths = {str(number): path for number, path in enumerate(bundles, 1)}
        versions = {number: Entry("", str(path), time.time()) for number, path in self.paths.items()}
        self._state = State(FORMAT, versions, Route({"1": 1.0}))

    @property
    def folders(self) -> list[Path]:
        return list(self.paths.values())

    def state(self) -> State:
        return self._state

    def bundle(self, version: str) -> Path:
        return self.paths[version]

    def route(self, shares: dict[str, float], shadow: str = "", why: str = "") -> State:
        new = checked_route(shares, shadow, self._state.versions)
        if new != self._state.route:
            before = (*self._state.before, self._state.route)
            self._state = msgspec.structs.replace(self._state, route=new, before=before[-5:])
        return self._state

    def rollback(self, why: str = "") -> State:
        earlier = earlier_route(self._state)
        if earlier is None:
            raise DeepenError("live.rollback", self.name, "no earlier route to go back to", "one that served")
        self._state = earlier
        return self._state

    def refuse(self, version: str, why: str) -> State:
        self._state = without(self._state, version, why)
        return self._state

    def event(self, what: str, **more: Any) -> None:
        """Nobody keeps a log of what is not kept."""
