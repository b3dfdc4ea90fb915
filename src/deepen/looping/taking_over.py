"""The candidate in place of the version in service, and back where that goes wrong.

Until the round is over the version before stays beside it as its shadow: loaded, should it have to answer again, and the
measure of how fast and what the new one answers. Both were compared on live items already: it is asked no more of them now
than that measure needs.
"""

from __future__ import annotations

from typing import Any

from deepen.errors import counted
from deepen.looping.beside import FEWEST, moved, pair
from deepen.looping.remembering import remembered
from deepen.looping.round import FAILED, Over, Round
from deepen.monitoring.alerts import raised
from deepen.serving.pace import slow
from deepen.serving.watch import own_errors

ENOUGH = 2 * FEWEST  # live items that both answer in the meantime


def promoted(turn: Round) -> dict[str, Any]:
    """The candidate answers all requests, if it still stands beside; once only."""
    version, route = turn.done["beside"]["version"], turn.live.state().route
    if version not in route.shares:  # else it was promoted before it could be written down
        if route.shadow != version:
            raise Over("refused", f"version {version} is no longer a shadow: the route was changed meanwhile")
        before = turn.done["chosen"]["version"]
        shadow = "" if turn.live.state().versions[before].refused else before
        remembered(turn)
        asked = min(1.0, ENOUGH / turn.terms.hold)
        turn.live.route({version: 1.0}, shadow, why=f"loop round {turn.number}", asked=asked)
    return {"says": f"version {version} answers"}


def kept(turn: Round) -> dict[str, Any] | str:
    """Nothing went wrong since; else the version before answers again."""
    version, since = turn.done["beside"]["version"], turn.done["promoted"]["time"]
    before = turn.done["chosen"]["version"]
    state = turn.live.state()
    if version not in state.route.shares:
        refusal = state.versions[version].refused if version in state.versions else ""
        raise Over("rolled back", f"version {version} no longer answers: {refusal or 'the route was changed'}")
    whole = [pulse for pulse in turn.live.pulse(since) if pulse.time - pulse.seconds >= since]
    items = sum(pulse.versions.get(version, 0) for pulse in whole)
    requests, failed = sum(pulse.requests for pulse in whole), own_errors(whole)
    if failed >= FAILED and failed > turn.terms.errors * requests:
        raise _back(turn, f"{failed} of {requests} requests failed")
    found = pair(whole, before, version)
    if why := slow(found.before, found.now, turn.terms.slower) or moved(found, turn.done["judged"], turn.terms.moved):
        raise _back(turn, why)
    if alarm := raised(turn.live, version, since):
        raise _back(turn, alarm)
    if items < turn.terms.hold:
        return f"{turn.terms.hold} live items answered by version {version}, {items} so far"
    if state.route.shadow == before:
        turn.live.route(state.route.shares, why=f"loop round {turn.number}: kept")
    return {
        "items": items,
        "failed": failed,
        "says": f"version {version}: {counted(items, 'item')} answered, {counted(failed, 'error')}",
    }


def _back(turn: Round, why: str) -> Over:
    turn.live.rollback(f"loop round {turn.number}: {why}")
    return Over("rolled back", why)
