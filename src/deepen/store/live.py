"""A model in service: which bundle versions answer with what share, samples of what was asked, events.

live/<alias>/
  live.json            versions, the route (shares and shadow), the routes before it
  bundles/<version>/   the bundles, copied in: what served once can serve again
  references/*.json    what live items were like when a version took over, where a loop wrote it down
  samples/*.jsonl      sampled items with their answers (`Sample`)
  pulse/*.jsonl        one record per stretch of time: how the service did (`Pulse`)
  events.jsonl         what was added, refused, routed, rolled back, erased, restarted
  alerts.jsonl         what the monitor found

A stage changes `live.json` (`add`, `route`, `rollback`); a server that serves the directory sees it and follows.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deepen.errors import DeepenError
from deepen.store import durable, system
from deepen.store.records import Records

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
KEPT = 5  # routes remembered, so bundles too
SAMPLE_DAYS, PULSE_DAYS = 30, 90
LONGEST = 36_500  # days
SAMPLE_BYTES, PULSE_BYTES = 512 << 20, 32 << 20


class Packed(msgspec.Struct, frozen=True):
    """An array in a record: NumPy's name of its dtype, its shape, its bytes (little-endian, base64 in JSON)."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sampled item as it was encoded and answered. `Live.samples()` gives them, oldest first.

    A model whose items cannot be cut out of a request (graphs) has as many `items` in a record as the request had.
    """

    time: float  # Unix seconds when it was answered
    id: str  # of the request, as the client was told in x-request-id
    version: str
    run: str
    inputs: dict[str, Packed]  # the tensors of the signature, of this item alone: (1, ...)
    answers: list[Any]  # as the kind decodes them
    uncertainty: list[float]  # of the kind, per item
    latency: float  # seconds from the whole request to its answer
    share: float  # the chance with which this item was taken: 1 / share of them stand behind it
    items: int = 1
    row: int = 0  # its place among the items of its request, from 0
    of: int = 1  # items of that request
    raw: Any = None  # the item as JSON has it, where what was encoded does not say all of it

    def arrays(self) -> dict[str, np.ndarray]:
        """The encoded inputs."""
        return {name: unpack(packed) for name, packed in self.inputs.items()}


class Beside(msgspec.Struct, frozen=True):
    """A shadow and who answered, each asked for the same items in the same way (serving/shadow.py).

    own, others  step of the scale in serving/pace.py -> requests in this stretch, of the shadow and of who answered
    answers      column of what is watched of answers -> what it was like (shares, or quantiles), of who answered and of the
                 shadow, over so many newest `items`
    """

    own: dict[str, int] = {}
    others: dict[str, int] = {}
    answers: dict[str, tuple[dict[str, float] | list[float], dict[str, float] | list[float]]] = {}
    items: int = 0


class Pulse(msgspec.Struct, frozen=True):
    """How the service did in a stretch of time. `Live.pulse()` gives them, oldest first."""

    time: float  # Unix seconds at its end
    seconds: float  # its length
    requests: int  # answered, with errors
    items: int  # answered well
    errors: dict[str, int]  # error code -> requests
    latency: dict[str, float]  # "p50", "p95", "p99" in seconds, of requests answered well (none: empty)
    versions: dict[str, int]  # version -> items
    waiting: int  # requests accepted and not yet answered
    cpu: float  # cores used
    memory: int  # resident bytes
    shadow: dict[
        str, dict[str, float]
    ] = {}  # version -> "compared", "different", "failed", "skipped": items; "seconds"
    beside: dict[str, Beside] = {}  # version -> how it did as a shadow


class Version(msgspec.Struct, frozen=True):
    """A bundle that was put in. `refused`: why a server would not serve it."""

    run: str
    source: str
    added: float
    refused: str = ""


class Route(msgspec.Struct, frozen=True):
    """Who answers: version -> share of the requests (they add up to 1); `shadow` answers too, to be compared only.

    asked  the share of requests that the shadow is asked too
    """

    shares: dict[str, float]
    shadow: str = ""
    asked: float = 1.0


class State(msgspec.Struct, frozen=True):
    """live.json. `before`: the routes before this one, newest last; `keep`: days that samples stay."""

    format: int
    versions: dict[str, Version] = {}
    route: Route = Route({})
    before: tuple[Route, ...] = ()
    keep: float = SAMPLE_DAYS


class Live:
    """A directory that a server serves from and others watch and steer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._samples = Records(path / "samples", SAMPLE_BYTES, SAMPLE_DAYS)
        self._pulse = Records(path / "pulse", PULSE_BYTES, PULSE_DAYS)

    @classmethod
    def create(cls, path: Path) -> Live:
        """The live directory at a path, made where there is none."""
        if not (path / "live.json").is_file():
            with contextlib.suppress(FileExistsError), durable.publish(path, new=True) as draft:
                (draft / "bundles").mkdir()
                (draft / "live.json").write_bytes(_sealed(State(FORMAT)))
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Live:
        """The live directory at a path."""
        found = cls(Path(path))
        found.state()
        return found

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def folders(self) -> list[Path]:
        return [self.path]

    def state(self) -> State:
        """What live.json says, checked."""
        file = self.path / "live.json"
        if not file.is_file():
            raise DeepenError(
                "live.missing",
                str(self.path),
                "no live.json there",
                "a live directory",
                "deepen serve RUN live=live/NAME",
            )
        rows, _ = durable.lines(file)
        if not rows:
            found = "not one whole line" if file.stat().st_size else "it is empty"
            raise DeepenError("live.damaged", str(file), found, "a live directory's state")
        version = rows[0].get("format") if len(rows) == 1 else None
        if isinstance(version, int) and version > FORMAT:
            raise DeepenError(
                "live.newer", str(file), f"format {version}", f"format {FORMAT} or older", "update deepen"
            )
        try:
            return msgspec.convert(rows[0], State)
        except msgspec.ValidationError as problem:
            raise DeepenError("live.damaged", str(file), str(problem), "a live directory's state") from problem

    def occupy(self) -> int | None:
        """Be the one server of this directory, for as long as the handle returned is open; None where there is one."""
        handle = os.open(self.path / ".serving", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    # ---------------------------------------------------------------- who answers

    def add(self, bundle: Path, run: str = "") -> str:
        """Copy a bundle in; returns its version. It answers nothing before `route` says so.

        One that is there already, and was not refused, is not copied again.
        """
        with self._changing() as state:
            for name, known in state.versions.items():
                if not known.refused and _same(bundle, self.bundle(name)):
                    return name
            name = str(max(map(int, state.versions), default=0) + 1)
            with durable.publish(self.path / "bundles" / name) as draft:  # what a dead writer left there goes
                shutil.copytree(bundle, draft, symlinks=True, dirs_exist_ok=True)
            versions = {**state.versions, name: Version(run, str(bundle), time.time())}
            self._write(msgspec.structs.replace(state, versions=versions))
        self.event("added", version=name, run=run, source=str(bundle))
        return name

    def bundle(self, version: str) -> Path:
        """Where a version's bundle lies."""
        return self.path / "bundles" / version

    def reference(self, version: str) -> Path:
        """What drift of a version is measured against, if it is not what training was like."""
        return self.path / "references" / f"{version}.json"

    def route(self, shares: dict[str, float], shadow: str = "", why: str = "", asked: float = 1.0) -> State:
        """Who answers from now on; shares are brought to a sum of 1. The route before stays known."""
        with self._changing() as state:
            new = checked_route(shares, shadow, state.versions, asked)
            if new == state.route:
                return state
            before = (*state.before, state.route)[-KEPT:] if state.route.shares else state.before
            state = self._prune(msgspec.structs.replace(state, route=new, before=before))
        self.event("routed", shares=new.shares, shadow=new.shadow, why=why)
        return state

    def rollback(self, why: str = "") -> State:
        """The last route before this one that can still serve; those in between are forgotten."""
        with self._changing() as state:
            earlier = earlier_route(state)
            if earlier is None:
                raise DeepenError("live.rollback", str(self.path), "no earlier route to go back to", "one that served")
            self._write(earlier)
        self.event("rolled back", shares=earlier.route.shares, why=why)
        return earlier

    def refuse(self, version: str, why: str) -> State:
        """Mark a version as not fit to serve; the others of the route go on, else the route before it is taken.

        The last one that could serve stays in the route and unmarked: it may be mended.
        """
        with self._changing() as state:
            state = without(state, version, why)
            self._write(state)
        self.event("refused", version=version, why=why)
        return state

    def _prune(self, state: State) -> State:
        """Write a state without the versions that no remembered route names; the newest stay."""
        routes = (*state.before, state.route)
        named = {name for route in routes for name in (*route.shares, route.shadow)}
        newest = sorted(state.versions, key=int)[-KEPT:]
        kept = {name: v for name, v in state.versions.items() if name in named or name in newest}
        self._write(msgspec.structs.replace(state, versions=kept))
        for name in state.versions.keys() - kept.keys():
            system.remove_tree(self.bundle(name))
            with contextlib.suppress(FileNotFoundError):
                system.unlink(self.reference(name))
        return msgspec.structs.replace(state, versions=kept)

    def _write(self, state: State) -> None:
        durable.replace(self.path / "live.json", _sealed(state))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[State]:
        """The state, for the only one who changes it; the kernel frees a dead owner's lock."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError as problem:
            raise durable.failure(self.path, problem) from problem
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self.state()
        finally:
            os.close(handle)

    # ---------------------------------------------------------------- what happened

    def settle(self, days: float) -> None:
        """Keep samples for so many days from now on."""
        if not 0 < days <= LONGEST:
            raise DeepenError("live.keep", str(self.path), f"{days:g} days", f"above 0, at most {LONGEST}")
        with self._changing() as state:
            if state.keep != days:
                self._write(msgspec.structs.replace(state, keep=days))

    def keep(self, samples: Sequence[Sample]) -> None:
        """Append samples, as one durable batch."""
        self._samples.append([msgspec.to_builtins(sample) for sample in samples])

    def samples(self, since: float = 0) -> Iterator[Sample]:
        """Samples from a time (Unix seconds) on, oldest first."""
        return (msgspec.convert(record, Sample) for record in self._samples.read(since))

    def erase(self, which: Callable[[Sample], bool]) -> int:
        """Take samples out for good, for example all of one request id; returns how many."""
        count = self._samples.erase(lambda record: which(msgspec.convert(record, Sample)))
        if count:
            self.event("erased", samples=count)
        return count

    def beat(self, pulse: Pulse) -> None:
        """Append how the service did; samples that have had their days go."""
        self._samples.days = self.state().keep
        self._samples.retire()
        self._pulse.append([msgspec.to_builtins(pulse)])

    def pulse(self, since: float = 0) -> Iterator[Pulse]:
        """How the service did from a time (Unix seconds) on, oldest first."""
        return (msgspec.convert(record, Pulse) for record in self._pulse.read(since))

    def beaten(self) -> Pulse | None:
        """The newest record of how the service did; None where it never ran."""
        found = self._pulse.last()
        return None if found is None else msgspec.convert(found, Pulse)

    def event(self, what: str, **more: Any) -> None:
        """A line in events.jsonl."""
        durable.append(self.path / "events.jsonl", {"time": time.time(), "what": what, **more})

    def events(self) -> list[dict[str, Any]]:
        return durable.lines(self.path / "events.jsonl")[0]


def _same(a: Path, b: Path) -> bool:
    """Whether two bundles have the same manifest, which holds the hashes of all the rest."""
    try:
        return (a / "manifest.json").read_bytes() == (b / "manifest.json").read_bytes()
    except OSError:
        return False


def checked_route(shares: dict[str, float], shadow: str, versions: dict[str, Version], asked: float = 1.0) -> Route:
    """A route among known versions that were not refused, its shares adding up to 1."""
    for name in (*shares, *([shadow] if shadow else [])):
        if name not in versions:
            known = ", ".join(versions) or "none"
            raise DeepenError("live.version", "route", f"no version {name!r}", f"one of {known}")
        if versions[name].refused:
            raise DeepenError(
                "live.refused", "route", f"version {name} was refused ({versions[name].refused})", "another version"
            )
    total = sum(shares.values())
    if not shares or not all(0 < share <= 1e6 for share in shares.values()):
        raise DeepenError("live.shares", "route", f"shares {shares}", "at least one, each above 0")
    if shadow in shares:
        raise DeepenError("live.shadow", "route", f"version {shadow} answers and is a shadow", "one of the two")
    return Route({name: share / total for name, share in shares.items()}, shadow, asked)


def earlier_route(state: State) -> State | None:
    """The state gone back to the newest earlier route that differs, without versions that were refused."""
    for at in range(len(state.before) - 1, -1, -1):
        shares = {v: s for v, s in state.before[at].shares.items() if not state.versions[v].refused}
        if shares and shares != state.route.shares:
            route = checked_route(shares, "", state.versions)
            return msgspec.structs.replace(state, route=route, before=state.before[:at])
    return None


def without(state: State, version: str, why: str) -> State:
    """The state with a version refused; unchanged where nothing else is left that could answer."""
    marked = {**state.versions, version: msgspec.structs.replace(state.versions[version], refused=why)}
    new = msgspec.structs.replace(state, versions=marked)
    shares = {v: s for v, s in state.route.shares.items() if v != version}
    if not shares:
        return earlier_route(new) or state
    shadow = "" if state.route.shadow == version else state.route.shadow
    return msgspec.structs.replace(new, route=checked_route(shares, shadow, marked, state.route.asked))


def pack(array: np.ndarray) -> Packed:
    """An array for a record."""
    return Packed(array.dtype.name, array.shape, array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def unpack(packed: Packed) -> np.ndarray:
    """The array in a record."""
    import numpy as np  # whoever only watches a server does without

    dtype = np.dtype(packed.dtype).newbyteorder("<")
    return np.frombuffer(packed.data, dtype).reshape(packed.shape)


def _sealed(state: State) -> bytes:
    return durable.line(msgspec.to_builtins(state))
