"""One line of the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.serving.conformance.client import Target

OK = "200"
REFUSED = '4xx and {"error": text}'


class Check(NamedTuple):
    """`holds` asks a server and says whether what must come has come; `needs`: what the server or its model must offer."""

    way: str
    sent: str
    must: str
    where: str
    holds: Callable[[Target], Any]
    needs: str = ""

    @property
    def name(self) -> str:
        return f"{self.way}: {self.sent} -> {self.must}"

    def found(self, target: Target) -> str:
        """What came of it: `ok`, `not offered`, or what went wrong."""
        if self.needs and not {*self.needs.split()} <= target.offers:
            return "not offered"
        try:
            return "ok" if self.holds(target) else "something else"
        except Exception as problem:
            return f"{type(problem).__name__}: {problem}"[:200]
