"""What deepen adds to a user's data: what the answers are, and the labels people gave, in a directory of its own.

photos/.deepen/  or  table.csv.deepen/
    dataset.json   the kind of answer, its names, how many items there were and their fingerprint
    labels.db      every act of every annotator, in order; nothing in it is ever changed or removed

An act is `label`, `skip` or `undo`. What stands for an item and an annotator is their last act on it that was not
undone. An act carries the content of its item, so that it is never taken for the label of something else, and a key
chosen by whoever sends it: the same key a second time adds nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deepen.errors import DeepenError
from deepen.store import durable
from deepen.store.queue import Queue
from deepen.store.table import Table

FORMAT = 1
PATIENCE = 120.0  # seconds without a sign of life after which an item that somebody looked at is free again
SCHEMA = """
CREATE TABLE acts (
    serial INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, item TEXT NOT NULL, content TEXT NOT NULL,
    annotator TEXT NOT NULL, action TEXT NOT NULL CHECK (action IN ('label', 'skip', 'undo')),
    value TEXT, undoes INTEGER UNIQUE REFERENCES acts (serial), at TEXT NOT NULL
);
CREATE INDEX acts_of_items ON acts (item);
CREATE TABLE leases (holder TEXT PRIMARY KEY, item TEXT NOT NULL, beat INTEGER NOT NULL)
"""
COLUMNS = "serial, item, content, annotator, action, value, undoes, at"


class Act(NamedTuple):
    """`value` is a raw label as the kind takes it; `at` the writer's clock, for people only."""

    serial: int
    item: str
    content: str
    annotator: str
    action: str
    value: Any
    undoes: int | None
    at: str


class New(NamedTuple):
    """An act to be written."""

    key: str
    item: str
    content: str
    annotator: str
    value: Any
    action: str = "label"


class Standing:
    """What stands after the acts seen so far."""

    def __init__(self) -> None:
        self.serial = 0
        self.of: dict[str, dict[str, list[Act]]] = {}  # item -> annotator -> acts that were not undone, oldest first
        self.by: dict[str, list[Act]] = {}  # annotator -> such acts
        self.touched: list[str] = []  # the item of each act, one after the other

    def see(self, act: Act) -> None:
        self.serial = act.serial
        self.touched.append(act.item)
        mine, here = (
            self.by.setdefault(act.annotator, []),
            self.of.setdefault(act.item, {}).setdefault(act.annotator, []),
        )
        if act.action != "undo":
            mine.append(act)
            here.append(act)
            return
        mine[:] = [old for old in mine if old.serial != act.undoes]
        here[:] = [old for old in here if old.serial != act.undoes]

    def last(self, item: str, content: str | None = None) -> dict[str, Act]:
        """The last act of each annotator on an item; only where it is about that content, if one is given."""
        last = {name: acts[-1] for name, acts in self.of.get(item, {}).items() if acts}
        return {name: act for name, act in last.items() if content in {None, act.content}}

    def acts(self) -> Iterator[Act]:
        """The last act of each annotator on each item."""
        return (acts[-1] for each in self.of.values() for acts in each.values() if acts)

    def labels(self) -> dict[str, list[Act]]:
        """The labels of each item, one per annotator who gave one."""
        found: dict[str, list[Act]] = {}
        for act in self.acts():
            if act.action == "label":
                found.setdefault(act.item, []).append(act)
        return found


def place(path: str | Path) -> Path:
    """Where the additions to the data at a path lie."""
    path = Path(path)
    return path / ".deepen" if path.is_dir() else path.with_name(f"{path.name}.deepen")


class Dataset:
    """The additions to one user's data. `clock` counts seconds; it need not agree with anybody else's."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.clock = path, clock
        self.table = Table(path / "labels.db", SCHEMA, FORMAT)
        self.standing = Standing()
        self.beats: dict[str, tuple[int, float]] = {}  # holder -> its last sign of life, and when it was noticed here

    @classmethod
    def open(cls, path: Path) -> Dataset | None:
        """What is there already, or nothing."""
        return cls(path) if (path / "labels.db").is_file() else None

    @classmethod
    def create(cls, path: Path, **info: Any) -> Dataset:
        """What is there, or a new one; `info` is put into dataset.json."""
        try:
            path.mkdir(exist_ok=True)
            durable.sync(path.parent)
        except OSError as problem:
            raise durable.failure(path, problem) from problem
        found = cls(path)
        try:
            found.declare(**info)
        except BaseException:
            found.close()
            raise
        return found

    def close(self) -> None:
        self.table.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------- dataset.json

    @property
    def info(self) -> dict[str, Any]:
        """dataset.json as it is now."""
        file = self.path / "dataset.json"
        try:
            info = json.loads(file.read_bytes())
            version = int(info["format"])
        except FileNotFoundError:
            return {"format": FORMAT}
        except (ValueError, KeyError, TypeError, OSError) as problem:
            found = f"{type(problem).__name__}: {problem}"
            raise DeepenError(
                "dataset.damaged", str(file), found, "what deepen wrote there", "restore the file"
            ) from problem
        if version > FORMAT:
            raise DeepenError(
                "dataset.newer", str(file), f"format {version}", f"format {FORMAT} or older", "update deepen"
            )
        return info

    def declare(self, **info: Any) -> dict[str, Any]:
        """Change dataset.json; one process at a time. Names of the same kind that others added meanwhile stay."""
        with self.table.writing():
            before = self.info
            after = {**before, **info}
            if "names" in info and before.get("kind") == after.get("kind"):
                after["names"] = list(dict.fromkeys([*before.get("names", []), *info["names"]]))
            if after != before or not (self.path / "dataset.json").exists():
                durable.replace(self.path / "dataset.json", json.dumps(after, indent=1, ensure_ascii=False) + "\n")
        return after

    def add_names(self, *more: str) -> list[str]:
        """More classes, at the end; all of them."""
        with self.table.writing():
            info = self.info
            names = list(dict.fromkeys([*info.get("names", []), *more]))
            if names != info.get("names", []):
                document = json.dumps({**info, "names": names}, indent=1, ensure_ascii=False)
                durable.replace(self.path / "dataset.json", document + "\n")
        return names

    # ---------------------------------------------------------------- acts

    def write(self, acts: Sequence[New]) -> int:
        """Put acts on the disk, all or none; what was written under its key before is left out. How many were new."""
        with self.table.writing():
            return sum(self._insert(act) for act in acts)

    def _insert(self, act: New, undoes: int | None = None) -> int:
        value = None if act.value is None else json.dumps(act.value, ensure_ascii=False, allow_nan=False)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return len(
            self.table.rows(
                "INSERT INTO acts (key, item, content, annotator, action, value, undoes, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING serial",
                *(act.key, act.item, act.content, act.annotator, act.action, value, undoes, now),
            )
        )

    def undo(self, key: str, annotator: str, among: Mapping[str, str] | None = None) -> Act | None:
        """Take back the annotator's last act that stands; returns it. Nothing where there is none.

        among  only acts on these items, each with the content it has now
        """
        with self.table.writing():
            done = self.table.rows("SELECT undoes FROM acts WHERE key = ?", key)
            if done:
                return next((act for act in self.history() if act.serial == done[0][0]), None)
            mine = reversed(self.now().by.get(annotator, []))
            last = next((act for act in mine if among is None or among.get(act.item) == act.content), None)
            if last is None:
                return None
            self._insert(New(key, last.item, last.content, annotator, None, "undo"), last.serial)
            return last

    def history(self, item: str | None = None, after: int = 0, upto: int | None = None) -> list[Act]:
        """All acts in order; those on one item, after a serial number, or up to one."""
        rows = self.table.rows(
            f"SELECT {COLUMNS} FROM acts WHERE serial > ? AND serial <= ? AND (? IS NULL OR item = ?) ORDER BY serial",  # noqa: S608
            *(after, 2**62 if upto is None else upto, item, item),
        )
        acts = [Act(*row) for row in rows]
        return [act if act.value is None else act._replace(value=json.loads(act.value)) for act in acts]

    def now(self) -> Standing:
        """What stands, all processes' acts among it."""
        for act in self.history(after=self.standing.serial):
            self.standing.see(act)
        return self.standing

    def then(self, serial: int) -> Standing:
        """What stood after an act."""
        result = Standing()
        for act in self.history(upto=serial):
            result.see(act)
        return result

    @property
    def serial(self) -> int:
        """The number of the last act; 0 before the first."""
        return self.table.rows("SELECT coalesce(max(serial), 0) FROM acts")[0][0]

    # ---------------------------------------------------------------- who looks at what

    def reserve(self, queue: Queue, holder: str, annotator: str, skipped: bool = False) -> str | None:
        """The first item that still needs an answer from this annotator and that nobody else looks at.

        holder   one open page; it holds one item at a time, the last it was given
        skipped  also what the annotator skipped
        """
        with self.table.writing():
            item = queue.next(self.now(), self._held(holder), annotator, skipped)
            if item is None:
                self.release(holder)
            else:
                self.hold(item, holder)
            return item

    def hold(self, item: str, holder: str) -> None:
        """Say that a page shows an item, or that it still does."""
        self.table.rows(
            "INSERT INTO leases VALUES (?, ?, 1) ON CONFLICT (holder) DO UPDATE SET item = ?, beat = beat + 1",
            *(holder, item, item),
        )

    def release(self, holder: str) -> None:
        self.table.rows("DELETE FROM leases WHERE holder = ?", holder)

    def _held(self, holder: str) -> dict[str, int]:
        """How many others look at each item.

        A lease is over once its count of beats has not moved for PATIENCE seconds of this process's own clock: no
        clock of another machine, and no time of day, is ever compared.
        """
        found: dict[str, int] = {}
        now = self.clock()
        for other, item, beat in self.table.rows("SELECT holder, item, beat FROM leases WHERE holder <> ?", holder):
            seen, since = self.beats.get(other, (None, now))
            if seen != beat:
                self.beats[other] = (beat, now)
            elif now - since >= PATIENCE:
                self.release(other)
                del self.beats[other]
                continue
            found[item] = found.get(item, 0) + 1
        return found


@contextlib.contextmanager
def reading(path: Path | None) -> Iterator[Dataset | None]:
    """The additions at a place, closed afterwards; None where there are none."""
    found = Dataset.open(path) if path is not None else None
    try:
        yield found
    finally:
        if found is not None:
            found.close()
