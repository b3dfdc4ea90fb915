"""The candidate beside the version in service: it answers live items too, and only to be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepen import bundle
from deepen.looping.beside import moved, pair
from deepen.looping.round import FAILED, Over, Round
from deepen.serving.pace import slow


def beside(turn: Round) -> dict[str, Any]:
    """The candidate answers as a shadow."""
    route, version = turn.live.state().route, turn.done["chosen"]["version"]
    if version not in route.shares:
        raise Over("refused", f"version {version}, which it was compared with, is no longer in service")
    path = Path(turn.done["judged"]["bundle"])
    new = turn.live.add(path, bundle.run_of(path))
    turn.live.route(route.shares, new, why=f"loop round {turn.number}")
    return {"version": new, "says": f"version {new} answers beside version {version}, for comparison only"}


def compared(turn: Round) -> dict[str, Any] | str:
    """What came of its answers to live items."""
    version, since = turn.done["beside"]["version"], turn.done["beside"]["time"]
    state = turn.live.state()
    if state.versions[version].refused or state.route.shadow != version:
        refusal = state.versions[version].refused or "the route was changed meanwhile"
        raise _taken_away(turn, f"version {version} is no longer a shadow: {refusal}")
    count: dict[str, float] = {}
    pulses = list(turn.live.pulse(since))
    for pulse in pulses:
        for what, number in pulse.shadow.get(version, {}).items():
            count[what] = count.get(what, 0) + number
    compared, failed = int(count.get("compared", 0)), int(count.get("failed", 0))
    figures: dict[str, float] = {"items": compared, "failed": failed, "skipped": int(count.get("skipped", 0))}
    if failed >= FAILED and failed > turn.terms.errors * (compared + failed):
        raise _taken_away(turn, f"{failed} of {compared + failed} live items failed", **figures)
    found = pair(pulses, version, version)
    if why := slow(found.before, found.now, turn.terms.slower) or moved(found, turn.done["judged"], turn.terms.moved):
        raise _taken_away(turn, why, **figures)
    if compared < turn.terms.compare:
        return f"{turn.terms.compare} live items compared, {compared} so far"
    equal = 1 - count.get("different", 0) / compared
    figures |= {"agreement": equal, "latency": count.get("seconds", 0.0) / compared}
    if equal < turn.terms.agreement:
        raise _taken_away(turn, f"{equal:.1%} of {compared} live items get the same answer", **figures)
    says = f"{compared} live items: {equal:.1%} equal answers, {failed} failed, {figures['latency'] * 1e3:.1f} ms each"
    return {**figures, "says": says}


def _taken_away(turn: Round, why: str, **figures: Any) -> Over:
    """The end of a candidate that answers beside: it does no longer."""
    route = turn.live.state().route
    if route.shadow == turn.done["beside"]["version"]:
        turn.live.route(route.shares, why=f"loop round {turn.number}: {why}")
    return Over("refused", why, **figures)
