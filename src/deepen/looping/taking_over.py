"""The candidate in place of the version in service, and back where that goes wrong."""

from __future__ import annotations

from typing import Any

from deepen.errors import counted
from deepen.looping.round import FAILED, Over, Round
from deepen.monitoring.alerts import raised
from deepen.serving.watch import own_errors


def promoted(turn: Round) -> dict[str, Any]:
    """The candidate answers all requests, if it still stands beside; once only."""
    version, route = turn.done["beside"]["version"], turn.live.state().route
    if version not in route.shares:  # else it was promoted before it could be written down
        if route.shadow != version:
            raise Over("refused", f"version {version} is no longer a shadow: the route was changed meanwhile")
        turn.live.route({version: 1.0}, why=f"loop round {turn.number}")
    return {"says": f"version {version} answers"}


def kept(turn: Round) -> dict[str, Any] | str:
    """Nothing went wrong since; else the version before answers again."""
    version, since = turn.done["beside"]["version"], turn.done["promoted"]["time"]
    state = turn.live.state()
    if version not in state.route.shares:
        refusal = state.versions[version].refused if version in state.versions else ""
        raise Over("rolled back", f"version {version} no longer answers: {refusal or 'the route was changed'}")
    whole = [pulse for pulse in turn.live.pulse(since) if pulse.time - pulse.seconds >= since]
    items = sum(pulse.versions.get(version, 0) for pulse in whole)
    requests, failed = sum(pulse.requests for pulse in whole), own_errors(whole)
    if failed >= FAILED and failed > turn.terms.errors * requests:
        raise _back(turn, f"{failed} of {requests} requests failed")
    if alarm := raised(turn.live, version, since):
        raise _back(turn, alarm)
    if items < turn.terms.hold:
        return f"{turn.terms.hold} live items answered by version {version}, {items} so far"
    return {
        "items": items,
        "failed": failed,
        "says": f"version {version}: {counted(items, 'item')} answered, {counted(failed, 'error')}",
    }


def _back(turn: Round, why: str) -> Over:
    turn.live.rollback(f"loop round {turn.number}: {why}")
    return Over("rolled back", why)
