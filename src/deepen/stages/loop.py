"""From live traffic back to labels, to a new run, to promotion: one round after the other, each step proven and written down.

    chosen -> queued -> labelled -> trained -> judged -> beside -> compared -> promoted -> kept
                                                  |                   |                      |
                                                  +---- refused ------+                 rolled back

Whenever it is stopped, the same command goes on where it was (store/loop.py).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepen import registry
from deepen.console import digits, say
from deepen.data.arrivals import Arrivals
from deepen.errors import DeepenError, Refused, counted
from deepen.evaluation.candidate import against, judge
from deepen.labelling.asking import choose, fresh, labeller_of, mark_of, raw_of
from deepen.monitoring.alerts import raised
from deepen.schema import Count, NonNegative, Positive, Share
from deepen.serving.watch import own_errors
from deepen.store import durable
from deepen.store.live import Live
from deepen.store.loop import ENDS, Ledger
from deepen.store.run import Run

STEPS = ("chosen", "queued", "labelled", "trained", "judged", "beside", "compared", "promoted", "kept")
FALSE_ALARMS = 0.005  # chance of taking for drifted what is not, as deepen monitor has it
# of draws: as few as they are, new items would hardly be learnt by weights that fit the old ones; more would forget those
NEW_SHARE = 0.5
FAILED = 5  # requests or items that fail before a share of errors is a share


class Over(Exception):
    """The round ends here: refused or rolled back."""

    def __init__(self, how: str, why: str, **figures: Any) -> None:
        super().__init__(why)
        self.how, self.why, self.figures = how, why, figures


def loop(
    live: str,
    dataset: str,
    ask: Count = 100,
    least: Count = 50,
    drifted: Share = 0.4,
    uncertain: Share = 0.3,
    labels: str | None = None,
    labeller: str | None = None,
    held: Share = 0.3,
    drop: NonNegative = 0.02,
    compare: Count = 200,
    agreement: Share = 0.0,
    hold: Count = 500,
    errors: Share = 0.05,
    wait: NonNegative = 600.0,
    every: Positive = 2.0,
    watch: bool = False,
    **overrides: Any,
) -> dict[str, Any]:
    """One round from live traffic to a better version in service; exit code 3 where it is refused or rolled back.

    live       a directory that deepen serve works from, with samples (serve --sample)
    dataset    what the model in service was trained on: new pictures and texts are put into its folder unlabelled/, new rows
               beside a table
    ask        sampled items put there for labelling
    least      labels of them that are waited for
    drifted    share of them taken for being unlike the training data
    uncertain  share of them the model was least sure of; the rest is drawn at random
    labels     answers as a file that deepen label takes in; else people give them on its page
    labeller   module:function, called with the new files' paths, or with rows, that returns their labels
    held       share of the new labels kept for the test part (split.val of them go to validation)
    drop       how much of the figure that decides may be lost on the old test items
    compare    live items that the new version answers beside the one in service, before it is promoted
    agreement  the smallest share of them with equal answers (0: any; they ought to differ on what has drifted)
    hold       live items it answers after that, before the round is over
    errors     share of errors of its own that is one too many, before and after promotion
    wait       seconds that labels or traffic are waited for before it stops and says so
    every      seconds between two looks
    watch      go on with the next round whenever the traffic has changed, until stopped
    overrides  of the configuration of the new run: train.epochs=5; new items are half of what it learns from in an epoch,
               however few they are (train.new_share)
    """
    if least > ask:
        raise DeepenError("loop.least", "loop", f"least {least} of {ask} asked", "at most as many as are asked")
    if drifted + uncertain > 1:
        raise DeepenError("loop.shares", "loop", f"drifted {drifted:g}, uncertain {uncertain:g}", "together at most 1")
    terms = Terms(
        ask,
        least,
        (drifted, uncertain),
        labels,
        labeller,
        held,
        overrides,
        drop,
        compare,
        agreement,
        hold,
        errors,
        watch,
    )
    place = Live.open(live)
    ledger = Ledger(place.path)
    with ledger.alone():
        while True:
            number, done = ledger.now()
            turn = Round(place, dataset, ledger, terms, number, done)
            waiting = turn.go(math.inf if watch else wait, every)
            document = turn.document(waiting)
            if not watch:
                break
    if document["state"] in {"refused", "rolled back"}:
        raise Refused(
            f"loop.{document['state'].replace(' ', '')}",
            f"{live} round {number}",
            document["why"],
            "a version as good as the one in service, and better on what is new",
            f"the version before goes on answering; the candidate's run is in {ledger.place(number)}",
            document,
        )
    return document


@dataclass(frozen=True)
class Terms:
    """What a person set: what is asked and learnt, and what a candidate must keep to."""

    ask: int
    least: int
    shares: tuple[float, float]
    labels: str | None
    labeller: str | None
    held: float
    overrides: dict[str, Any]
    drop: float
    compare: int
    agreement: float
    hold: int
    errors: float
    only_if_changed: bool


class Round:
    """One round. `done`: the lines of its steps so far. A step returns its line, or what it waits for."""

    def __init__(
        self, live: Live, dataset: str, ledger: Ledger, terms: Terms, number: int, done: dict[str, dict[str, Any]]
    ) -> None:
        self.live, self.dataset, self.ledger, self.terms, self.number, self.done = (
            live, dataset, ledger, terms, number, done,
        )  # fmt: skip
        self.seen: tuple[int, int] | None = None  # of the file of labels, when it was last taken in
        self._arrivals: Arrivals | None = None

    def go(self, wait: float, every: float) -> str:
        """Do the steps that are left; returns what is waited for, or nothing where the round is over."""
        say(f"round    {self.number} of {self.live.path}")
        for line in self.done.values():
            say(f"{line['step']:<12} {line['says']}")
        for step in STEPS:
            if step in self.done:
                continue
            try:
                found = self._patiently(getattr(self, step), wait, every)
            except Over as end:
                self._note(end.how, {"says": end.why, "why": end.why, **end.figures})
                return ""
            if isinstance(found, str):
                say(f"waiting      {found}")
                return found
            self._note(step, found)
        return ""

    def _note(self, step: str, found: dict[str, Any]) -> None:
        from deepen.evaluation.measure import clean

        self.done[step] = self.ledger.note(self.number, step, **clean(found))
        say(f"{step:<12} {found['says']}")

    def _patiently(self, step: Callable[[], dict[str, Any] | str], wait: float, every: float) -> dict[str, Any] | str:
        """What a step found; what it waits for once that takes too long."""
        end = time.monotonic() + wait
        told = ""
        while isinstance(found := step(), str):
            if time.monotonic() >= end:
                return found
            if not told:
                say(f"waiting      {found}")
                told = found
            time.sleep(every)
        return found

    def document(self, waiting: str) -> dict[str, Any]:
        """What `--json` prints."""
        last = next(reversed(self.done.values()), None)
        state = last["step"] if last and last["step"] in ENDS else "waiting"
        return {
            "live": str(self.live.path),
            "round": self.number,
            "state": state,
            "waiting": waiting,
            "why": last.get("why", "") if last else "",
            "steps": list(self.done.values()),
        }

    # ---------------------------------------------------------------- live items into the queue

    def chosen(self) -> dict[str, Any] | str:
        """Which sampled items are asked about: drifted, uncertain, random."""
        from deepen.monitoring import windows

        shares = self.live.state().route.shares
        if not shares:
            raise DeepenError("loop.route", str(self.live.path), "no version answers there", "a directory in service")
        version = max(shares, key=shares.__getitem__)
        watched = windows.Watched(self.live.bundle(version), FALSE_ALARMS, {})
        arrivals = self.arrivals(watched.signature)
        before = self.ledger.lines()
        since = before[-1]["time"] if before else 0.0
        asked = {item for line in before if line["step"] == "chosen" for item in line["items"]}
        samples, bare = fresh(self.live, arrivals, version, since, asked)
        if len(samples) < self.terms.ask:
            without = (
                f" ({bare} more came as tensors or are too long to be kept: nobody can label them)" if bare else ""
            )
            return f"{self.terms.ask} sampled items to choose from, {len(samples)} so far since the last round{without}"
        odd = watched.drift.odd(watched.columns(list(samples.values()))["inputs"])
        if self.terms.only_if_changed and not odd.any():
            return f"a change of what is asked: {len(samples)} sampled items are as in training"
        unsure = np.array([sample.uncertainty[0] for sample in samples.values()])
        names = list(samples)
        why = choose(odd, unsure, self.terms.ask, self.terms.shares, self.number)
        items = {names[row]: reason for row, reason in why.items()}
        counts = {reason: list(why.values()).count(reason) for reason in ("drifted", "uncertain", "random")}
        told = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        run = self._run_of(version)
        self._look_at_data(run)
        return {
            "version": version,
            "run": str(run.path.absolute()),
            "since": since,
            "items": items,
            "says": f"{len(items)} of {counted(len(samples), 'sampled item')} of version {version}: {told}",
        }

    def arrivals(self, signature: Any = None) -> Arrivals:
        """Where new items go; told now where there is no place for such items."""
        from deepen.monitoring import windows

        if self._arrivals is None:
            if signature is None:
                signature = windows.Watched(
                    self.live.bundle(self.done["chosen"]["version"]), FALSE_ALARMS, {}
                ).signature
            if len(signature.inputs) > 1:
                takes = ", ".join(encoder.describe() for encoder in signature.inputs.values())
                raise DeepenError("loop.data", str(self.live.path), f"a model of {takes}", "a model of one input")
            self._arrivals = Arrivals(self._path(), next(iter(signature.inputs.values())))
        return self._arrivals

    def _path(self) -> str:
        """Where the data lie, also where a config says it."""
        from deepen.config import from_target

        path = from_target(self.dataset, {}).data.get("path")
        if not isinstance(path, str):
            raise DeepenError("loop.data", self.dataset, "data made up from a seed", "data that more can be put beside")
        if not Path(path).exists():
            raise DeepenError("loop.data", path, "nothing there", "the data that the model was trained on")
        return path

    def _look_at_data(self, run: Run) -> None:
        """Refuse data that are not those of a run, before anything is put beside them."""
        from deepen.training.finished import config_of

        there = set(registry.build("sources", {**config_of(run).data, "path": self._path()}).read().ids)
        split = run.read_json("split.json")
        known = [item for part in ("train", "val", "test") for item in split[part]]
        gone = [item for item in known if item not in there]
        if len(gone) > len(known) / 2:
            raise DeepenError(
                "loop.data", self.dataset, f"{len(gone):,} of {counted(len(known), 'item')} of run {run.id} are not in it",
                "the data that the model was trained on", f"first {gone[0]!r}: was it renamed?",
            )  # fmt: skip

    def _run_of(self, version: str) -> Run:
        """The run a version was exported from."""
        entry = self.live.state().versions[version]
        beside = Path(entry.source).parent.parent
        if (beside / "run.json").is_file() and (found := Run.open(beside)).id == entry.run:
            return found
        return Run.open(entry.run)

    def queued(self) -> dict[str, Any]:
        """The chosen items among the data, without a label."""
        chosen, arrivals = self.done["chosen"], self.arrivals()
        wanted = set(chosen["items"]) - arrivals.known()
        found: dict[str, Any] = {}
        for sample in self.live.samples(chosen["since"]):
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

    # ---------------------------------------------------------------- labels

    def labelled(self) -> dict[str, Any] | str:
        """Enough labels of what was asked."""
        from deepen.data.labels import reading
        from deepen.store.dataset import place

        items = [name for name in self.done["chosen"]["items"] if name not in self.done["queued"]["gone"]]
        if self.terms.labeller is not None:
            self._take(self._answers(self.terms.labeller, items))
        elif self.terms.labels is not None and Path(self.terms.labels).exists():
            about = Path(self.terms.labels).stat()
            if self.seen != (stamp := (about.st_mtime_ns, about.st_size)):
                self._take(Path(self.terms.labels))
                self.seen = stamp
        with reading(place(self._path())) as found:
            given = {} if found is None else found.now().labels()
        count = sum(name in given for name in items)
        if count < self.terms.least:
            run = self.done["chosen"]["run"]
            words = " ".join(f"{key}={value}" for key, value in self._data().items() if key == "data.target")
            return f"{self.terms.least} labels, {count} so far: deepen label {self.dataset} {words} --run {run}"
        return {"labels": count, "says": f"{count} of {len(items)}"}

    def _answers(self, name: str, items: Sequence[str]) -> Path:
        """The file of what a function says of the items; it is asked once."""
        file = self.ledger.place(self.number) / "answers.jsonl"
        if not file.is_file():
            given = labeller_of(name)(self.arrivals().shown(list(items)))
            count = len(given) if hasattr(given, "__len__") else "no"
            if count != len(items):
                raise DeepenError("loop.labeller", name, f"{count} labels of {len(items)} items", "one for each")
            rows = [{"item": item, "label": label, "annotator": name} for item, label in zip(items, given)]
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows if row["label"] is not None]
            durable.replace(file, "".join(lines))
        return file

    def _take(self, file: Path) -> None:
        from deepen.stages.label import label

        given: dict[str, Any] = {"import": str(file)}  # a word of the language: no keyword of a call
        label(self.dataset, **given, **self._data())

    def _data(self) -> dict[str, Any]:
        """How the data are read, as the run in service was configured."""
        from deepen.training.finished import config_of

        data = config_of(Run.open(self.done["chosen"]["run"])).data
        return {f"data.{key}": value for key, value in data.items() if key != "path" and value is not None}

    # ---------------------------------------------------------------- a new run and its proof

    def trained(self) -> dict[str, Any]:
        """A run that begins from the one in service; one that was begun is finished, never a second one begun."""
        from deepen.stages.train import train

        place = self.ledger.place(self.number)
        begun = sorted(place.glob("[!.]*/run.json"))
        if begun:
            run = train(resume=str(begun[0].parent))
        else:
            parent = self.done["chosen"]["run"]
            settings = {"split.test": self.terms.held, "train.new_share": NEW_SHARE, **self.terms.overrides}
            run = train(self.dataset, output=str(place), parent=parent, **settings)
        assert isinstance(run, Run)
        return {"run": str(run.path.absolute()), "says": f"{run.path}, from {Path(self.done['chosen']['run']).name}"}

    def judged(self) -> dict[str, Any]:
        """Export through the gate, then both versions on the same held-out items: the old ones and the new ones."""
        from deepen.stages.export import export

        run = Run.open(self.done["trained"]["run"])
        try:
            bundle = export(str(run.path))["bundle"]
        except Refused as problem:
            raise Over("refused", problem.found) from problem
        found = judge(run, Path(self.done["chosen"]["run"]), self.live.bundle(self.done["chosen"]["version"]), bundle)
        for line in found["table"]:
            say(line)
        if why := against(found, self.terms.drop):
            raise Over("refused", why, **found)
        old, new = found["old"], found["new"]
        told = [
            f"{found['metric']} {digits(part['before'])} -> {digits(part['after'])} on {counted(part['items'], which + ' item')}"
            for which, part in (("old", old), ("new", new))
        ]
        return {**found, "bundle": bundle, "says": "; ".join(told)}

    # ---------------------------------------------------------------- beside, in front, back

    def beside(self) -> dict[str, Any]:
        """The candidate answers as a shadow."""
        from deepen.stages.serve import run_of

        route, version = self.live.state().route, self.done["chosen"]["version"]
        if version not in route.shares:
            raise Over("refused", f"version {version}, which it was compared with, is no longer in service")
        bundle = Path(self.done["judged"]["bundle"])
        new = self.live.add(bundle, run_of(bundle))
        self.live.route(route.shares, new, why=f"loop round {self.number}")
        return {"version": new, "says": f"version {new} answers beside version {version}, for comparison only"}

    def compared(self) -> dict[str, Any] | str:
        """What came of its answers to live items."""
        version, since = self.done["beside"]["version"], self.done["beside"]["time"]
        state = self.live.state()
        if state.versions[version].refused or state.route.shadow != version:
            refusal = state.versions[version].refused or "the route was changed meanwhile"
            raise self._taken_away(f"version {version} is no longer a shadow: {refusal}")
        count: dict[str, float] = {}
        for pulse in self.live.pulse(since):
            for what, number in pulse.shadow.get(version, {}).items():
                count[what] = count.get(what, 0) + number
        compared, failed = int(count.get("compared", 0)), int(count.get("failed", 0))
        figures: dict[str, float] = {"items": compared, "failed": failed, "skipped": int(count.get("skipped", 0))}
        if failed >= FAILED and failed > self.terms.errors * (compared + failed):
            raise self._taken_away(f"{failed} of {compared + failed} live items failed", **figures)
        if compared < self.terms.compare:
            return f"{self.terms.compare} live items compared, {compared} so far"
        equal = 1 - count.get("different", 0) / compared
        figures |= {"agreement": equal, "latency": count.get("seconds", 0.0) / compared}
        if equal < self.terms.agreement:
            raise self._taken_away(f"{equal:.1%} of {compared} live items get the same answer", **figures)
        says = (
            f"{compared} live items: {equal:.1%} equal answers, {failed} failed, {figures['latency'] * 1e3:.1f} ms each"
        )
        return {**figures, "says": says}

    def _taken_away(self, why: str, **figures: Any) -> Over:
        """The end of a candidate that answers beside: it does no longer."""
        route = self.live.state().route
        if route.shadow == self.done["beside"]["version"]:
            self.live.route(route.shares, why=f"loop round {self.number}: {why}")
        return Over("refused", why, **figures)

    def promoted(self) -> dict[str, Any]:
        """The candidate answers all requests, if it still stands beside; once only."""
        version, route = self.done["beside"]["version"], self.live.state().route
        if version not in route.shares:  # else it was promoted before it could be written down
            if route.shadow != version:
                raise Over("refused", f"version {version} is no longer a shadow: the route was changed meanwhile")
            self.live.route({version: 1.0}, why=f"loop round {self.number}")
        return {"says": f"version {version} answers"}

    def kept(self) -> dict[str, Any] | str:
        """Nothing went wrong since; else the version before answers again."""
        version, since = self.done["beside"]["version"], self.done["promoted"]["time"]
        state = self.live.state()
        if version not in state.route.shares:
            refusal = state.versions[version].refused if version in state.versions else ""
            raise Over("rolled back", f"version {version} no longer answers: {refusal or 'the route was changed'}")
        whole = [pulse for pulse in self.live.pulse(since) if pulse.time - pulse.seconds >= since]
        items = sum(pulse.versions.get(version, 0) for pulse in whole)
        requests, failed = sum(pulse.requests for pulse in whole), own_errors(whole)
        if failed >= FAILED and failed > self.terms.errors * requests:
            raise self._back(f"{failed} of {requests} requests failed")
        if alarm := raised(self.live, version, since):
            raise self._back(alarm)
        if items < self.terms.hold:
            return f"{self.terms.hold} live items answered by version {version}, {items} so far"
        return {
            "items": items,
            "failed": failed,
            "says": f"version {version}: {counted(items, 'item')} answered, {counted(failed, 'error')}",
        }

    def _back(self, why: str) -> Over:
        self.live.rollback(f"loop round {self.number}: {why}")
        return Over("rolled back", why)
