"""What the sampled items of a live directory say about its models, window by window. Torch-free.

A window is so many sampled items of one version in the order they were answered. Each is judged once, with the two before
it, by the reference in the version's bundle; monitor.json keeps what was found and where to go on, so that a monitor that
was killed, or is called from time to time, goes on as if it had never stopped.

An alarm is raised when a check finds something, stands while later checks find it again, and ends after three checks
that do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deepen import bundle
from deepen.errors import DeepenError
from deepen.monitoring import drift
from deepen.monitoring.drift import LAST, Drift, Judged
from deepen.monitors import Columns, chance
from deepen.signature import Signature
from deepen.store import durable
from deepen.store.live import Live, Sample
from deepen.tensors import join

FORMAT = 1
FILE = "monitor.json"
REFERENCE = "reference.json"
MOST = 500  # checks kept
TRAINING, LIVE = "training", "before it took over"  # where a reference comes from
SHOWN = 30  # findings kept of each check, the surest first


class Check(msgspec.Struct, frozen=True):
    """One window, judged. `start` and `end` are Unix seconds, `latency` and `uncertainty` medians of its items; `against`:
    what the version was measured against."""

    version: str
    number: int
    start: float
    end: float
    items: int
    latency: float
    uncertainty: float
    found: tuple[Judged, ...]
    against: str = TRAINING

    @property
    def alarms(self) -> list[Judged]:
        return [judged for judged in self.found if judged.alarm]


class Alarm(msgspec.Struct, frozen=True):
    """Something that is not as it should be. `quiet`: checks since it was last seen."""

    name: str
    says: str
    since: float
    quiet: int = 0


class Place(msgspec.Struct, frozen=True):
    """Where to go on with a version: the time of the sample that the oldest window in memory begins with, how many
    samples of that time came before it, and how many windows from there on are judged already."""

    since: float = 0.0
    before: int = 0
    judged: int = 0


class State(msgspec.Struct, frozen=True):
    """monitor.json."""

    format: int = FORMAT
    window: int = 0
    places: dict[str, Place] = {}
    checks: tuple[Check, ...] = ()
    alarms: tuple[Alarm, ...] = ()

    def newest(self) -> dict[str, Check]:
        """The newest check of each version."""
        return {check.version: check for check in self.checks}


def load(live: Live, window: int) -> State:
    """What was found so far. Of windows of another size only the standing alarms are taken over."""
    file = live.path / FILE
    rows, _ = durable.lines(file)
    if not rows:
        return State(window=window)
    try:
        if len(rows) != 1 or rows[0]["format"] != FORMAT:
            raise DeepenError("monitor.format", str(file), "not of this format", f"format {FORMAT}", "update deepen")
        state = msgspec.convert(rows[0], State)
    except (KeyError, msgspec.ValidationError) as problem:
        raise DeepenError(
            "monitor.damaged", str(file), str(problem), "what deepen monitor wrote", "remove it"
        ) from problem
    return state if state.window == window else State(window=window, alarms=state.alarms)


def save(live: Live, state: State) -> None:
    durable.replace(live.path / FILE, durable.line(msgspec.to_builtins(state)))


class Watched:
    """A version in service and what it is measured against: a reference beside the bundle, else the one in it."""

    def __init__(
        self, path: Path, false_alarms: float, settings: Mapping[str, Mapping[str, Any]], beside: Path | None = None
    ) -> None:
        self.path = path
        self.manifest = bundle.manifest(path)
        if REFERENCE not in self.manifest["files"]:
            raise DeepenError(
                "monitor.reference", str(path), f"no {REFERENCE} in it", "a bundle that says what training was like",
                "export the run again and serve that",
            )  # fmt: skip
        self.signature = Signature.from_json((path / "signature.json").read_bytes(), str(path / "signature.json"))
        self.against = LIVE if beside is not None and beside.is_file() else TRAINING
        file = beside if beside is not None and self.against == LIVE else path / REFERENCE
        reference = drift.read(file.read_bytes(), str(file))
        self.drift = Drift(reference, false_alarms, settings)

    def columns(self, samples: Sequence[Sample]) -> dict[str, Columns]:
        """What is watched of sampled items."""
        arrays = join(self.signature.tensors, [sample.arrays() for sample in samples])
        answers = [answer for sample in samples for answer in sample.answers]
        return {
            "inputs": drift.input_columns(self.signature, arrays),
            "answers": drift.answer_columns(self.signature, self.outputs(answers)),
        }

    def outputs(self, answers: Sequence[Any]) -> dict[str, np.ndarray]:
        """The arrays that answers came from."""
        kinds = self.signature.outputs
        if len(kinds) == 1:
            return self.signature.answer.outputs(answers)
        return {
            f"{name}.{key}": array
            for name, kind in kinds.items()
            for key, array in kind.outputs([answer[name] for answer in answers]).items()
        }


def watched(live: Live, version: str, false_alarms: float, settings: Mapping[str, Mapping[str, Any]]) -> Watched:
    """A version of a live directory."""
    return Watched(live.bundle(version), false_alarms, settings, live.reference(version))


def advance(live: Live, state: State, watched: Mapping[str, Watched]) -> tuple[State, list[Check]]:
    """The state after all windows that are full by now, and the new checks."""
    new: list[Check] = []
    places = {}
    for version, model in watched.items():
        place = state.places.get(version, Place())
        number = state.newest()[version].number if version in state.newest() else 0
        last: deque[tuple[Place, dict[str, Columns]]] = deque(maxlen=LAST)
        for i, (at, samples) in enumerate(_windows(live, version, place, state.window)):
            last.append((at, model.columns(samples)))
            if i < place.judged:
                continue
            number += 1
            found = model.drift.check([columns for _, columns in last])
            new.append(_check(version, number, samples, found, model.against))
        kept = list(last)[-(LAST - 1) :]
        places[version] = msgspec.structs.replace(kept[0][0], judged=len(kept)) if kept else place
    if not new:
        return msgspec.structs.replace(state, places=places), []
    checks = [msgspec.structs.replace(check, found=tuple(map(_bare, check.found))) for check in state.checks]
    return msgspec.structs.replace(state, places=places, checks=tuple([*checks, *new][-MOST:])), new


def _windows(live: Live, version: str, place: Place, size: int) -> Iterator[tuple[Place, list[Sample]]]:
    """Full windows of a version's samples from a place on, each with its own place."""
    window: list[Sample] = []
    at, items, time, count = place, 0, -1.0, 0
    for sample in live.samples(place.since):
        if sample.version != version:
            continue
        count = count + 1 if sample.time == time else 0
        time = sample.time
        if sample.time == place.since and count < place.before:
            continue
        if not window:
            at, items = Place(time, count), 0
        window.append(sample)
        items += sample.items
        if items >= size:
            yield at, window
            window = []


def _check(version: str, number: int, samples: Sequence[Sample], found: Iterable[Judged], against: str) -> Check:
    """A check, of each test the surer stretch."""
    best: dict[tuple[str, str, str], Judged] = {}
    for judged in sorted(found, key=lambda judged: not judged.alarm):
        best.setdefault((judged.group, judged.monitor, judged.finding.column), judged)
    unsure = [value for sample in samples for value in sample.uncertainty]
    return Check(
        version, number, samples[0].time, samples[-1].time, sum(sample.items for sample in samples),
        float(np.median([sample.latency for sample in samples])), float(np.median(unsure)) if unsure else 0.0,
        tuple(best.values())[:SHOWN], against,
    )  # fmt: skip


def _bare(judged: Judged) -> Judged:
    """Without the shares of its bins: of old checks only the figures are kept."""
    return msgspec.structs.replace(judged, finding=msgspec.structs.replace(judged.finding, bins=(), before=(), now=()))


# ---------------------------------------------------------------- alarms


def seen_in(check: Check, versions: int) -> dict[str, str]:
    """What a check raises, by a name that stays the same while it lasts, in words."""
    of = f" of version {check.version}" if versions > 1 else ""
    seen: dict[str, str] = {}
    for judged in check.alarms:  # of several tests of a column the surest is told
        finding = judged.finding
        seen.setdefault(
            f"{check.version} {judged.group} {finding.column}",
            f"{judged.group}{of}: {finding.column} has changed ({finding.says}); "
            f"{judged.monitor}, p {chance(judged.p)}, effect {finding.effect:.2f}",
        )
    return seen


def follow(
    alarms: Sequence[Alarm], about: str, seen: Mapping[str, str], now: float
) -> tuple[list[Alarm], list[Alarm], list[Alarm]]:
    """Standing, raised and ended alarms after one more look at those whose names begin with `about`."""
    standing, ended = [], []
    for alarm in alarms:
        if not alarm.name.startswith(about):
            standing.append(alarm)
        elif alarm.name in seen:
            standing.append(msgspec.structs.replace(alarm, says=seen[alarm.name], quiet=0))
        elif alarm.quiet + 1 < LAST:
            standing.append(msgspec.structs.replace(alarm, quiet=alarm.quiet + 1))
        else:
            ended.append(alarm)
    known = {alarm.name for alarm in alarms}
    raised = [Alarm(name, says, now) for name, says in seen.items() if name not in known]
    return [*standing, *raised], raised, ended
