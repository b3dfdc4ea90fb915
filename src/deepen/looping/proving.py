"""A new run from the one in service, and its proof on held-out items before it comes near a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepen.console import digits, say
from deepen.errors import Refused, counted
from deepen.evaluation.candidate import against, judge
from deepen.looping.round import Over, Round
from deepen.store.run import Run

# of draws: as few as they are, new items would hardly be learnt by weights that fit the old ones; more would forget those
NEW_SHARE = 0.5


def trained(turn: Round) -> dict[str, Any]:
    """A run that begins from the one in service; one that was begun is finished, never a second one begun."""
    place = turn.ledger.place(turn.number)
    begun = sorted(place.glob("[!.]*/run.json"))
    if begun:
        run = turn.verb("train")(resume=str(begun[0].parent))
    else:
        parent = turn.done["chosen"]["run"]
        settings = {"split.test": turn.terms.held, "train.new_share": NEW_SHARE, **turn.terms.overrides}
        run = turn.verb("train")(turn.dataset, output=str(place), parent=parent, **settings)
    assert isinstance(run, Run)
    return {"run": str(run.path.absolute()), "says": f"{run.path}, from {Path(turn.done['chosen']['run']).name}"}


def judged(turn: Round) -> dict[str, Any]:
    """Export through the gate, then both versions on the same held-out items: the old ones and the new ones."""
    chosen, run = turn.done["chosen"], Run.open(turn.done["trained"]["run"])
    try:
        bundle = turn.verb("export")(str(run.path))["bundle"]
    except Refused as problem:
        raise Over("refused", problem.found) from problem
    found = judge(run, Path(chosen["run"]), turn.live.bundle(chosen["version"]), bundle)
    for line in found["table"]:
        say(line)
    if why := against(found, turn.terms.drop):
        raise Over("refused", why, **found)
    old, new = found["old"], found["new"]
    told = [
        f"{found['metric']} {digits(part['before'])} -> {digits(part['after'])} on {counted(part['items'], which + ' item')}"
        for which, part in (("old", old), ("new", new))
    ]
    return {**found, "bundle": bundle, "says": "; ".join(told)}
