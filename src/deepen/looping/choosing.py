"""Live items into the queue: which sampled ones are asked about, and their place among the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepen import registry
from deepen.errors import DeepenError, counted
from deepen.labelling.asking import choose, fresh, mark_of, raw_of
from deepen.looping.round import FALSE_ALARMS, Round
from deepen.store.run import Run


def chosen(turn: Round) -> dict[str, Any] | str:
    """Which sampled items are asked about: drifted, uncertain, random."""
    from deepen.monitoring import windows

    shares = turn.live.state().route.shares
    if not shares:
        raise DeepenError("loop.route", str(turn.live.path), "no version answers there", "a directory in service")
    version = max(shares, key=shares.__getitem__)
    watched = windows.watched(turn.live, version, FALSE_ALARMS, {})
    arrivals = turn.arrivals(watched.signature)
    before = turn.ledger.lines()
    since = before[-1]["time"] if before else 0.0
    asked = {item for line in before if line["step"] == "chosen" for item in line["items"]}
    samples, bare = fresh(turn.live, arrivals, version, since, asked)
    if len(samples) < turn.terms.ask:
        without = f" ({bare} more came as tensors or are too long to be kept: nobody can label them)" if bare else ""
        return f"{turn.terms.ask} sampled items to choose from, {len(samples)} so far since the last round{without}"
    odd = watched.drift.odd(watched.columns(list(samples.values()))["inputs"])
    if turn.terms.only_if_changed and not odd.any():
        return f"a change of what is asked: {len(samples)} sampled items are as in training"
    unsure = np.array([sample.uncertainty[0] for sample in samples.values()])
    names = list(samples)
    why = choose(odd, unsure, turn.terms.ask, turn.terms.shares, turn.number)
    items = {names[row]: reason for row, reason in why.items()}
    counts = {reason: list(why.values()).count(reason) for reason in ("drifted", "uncertain", "random")}
    told = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    run = _run_of(turn, version)
    _look_at_data(turn, run)
    return {
        "version": version,
        "run": str(run.path.absolute()),
        "since": since,
        "items": items,
        "pool": len(samples),
        "data": str(Path(turn.path()).absolute()),
        "says": f"{len(items)} of {counted(len(samples), 'sampled item')} of version {version}: {told}",
    }


def _look_at_data(turn: Round, run: Run) -> None:
    """Refuse data that are not those of a run, before anything is put beside them."""
    from deepen.training.finished import config_of

    there = set(registry.build("sources", {**config_of(run).data, "path": turn.path()}).read().ids)
    split = run.read_json("split.json")
    known = [item for part in ("train", "val", "test") for item in split[part]]
    gone = [item for item in known if item not in there]
    if len(gone) > len(known) / 2:
        raise DeepenError(
            "loop.data", turn.dataset, f"{len(gone):,} of {counted(len(known), 'item')} of run {run.id} are not in it",
            "the data that the model was trained on", f"first {gone[0]!r}: was it renamed?",
        )  # fmt: skip


def _run_of(turn: Round, version: str) -> Run:
    """The run a version was exported from."""
    entry = turn.live.state().versions[version]
    beside = Path(entry.source).parent.parent
    if (beside / "run.json").is_file() and (found := Run.open(beside)).id == entry.run:
        return found
    return Run.open(entry.run)


def queued(turn: Round) -> dict[str, Any]:
    """The chosen items among the data, without a label."""
    chosen, arrivals = turn.done["chosen"], turn.arrivals()
    wanted = set(chosen["items"]) - arrivals.known()
    found: dict[str, Any] = {}
    for sample in turn.live.samples(chosen["since"]):
        raw = raw_of(sample, arrivals.encoder) if sample.items == 1 else None
        if raw is not None and (name := arrivals.name(mark_of(sample))) in wanted:
            found.setdefault(name, raw)
    arrivals.put(found)
    gone = sorted(wanted - found.keys())
    return {
        "gone": gone,
        "says": f"{counted(len(chosen['items']) - len(gone), 'item')} in {arrivals.where}"
        + (f"; {counted(len(gone), 'sample')} erased since" if gone else ""),
    }
