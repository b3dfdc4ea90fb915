"""Who had what and when: a table of events, to say what comes next for somebody.

Every event is an item: what its user had before goes in, its thing is the answer. In the order of time the first events
are to learn from, the next to validate with, the last for the test; nothing later than an event goes into it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from deepen.content.cells import seconds_of
from deepen.data import about, tables
from deepen.data.columns import Column, infer
from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, counted, unknown
from deepen.preprocess.row import Rows, number_or_nan, shown, text_or_none
from deepen.schema import Count, Share

SAYS = {"user": "who", "item": "what", "time": "when"}
MOST_SHOWN = 30  # columns in an error
AGAIN = 0.1  # share of events that repeat one of their user's, above which things may come again


class Interactions:
    """Events of users with things, in the order of time.

    user    column of who
    item    column of what
    time    column of when: numbers or dates
    rating  column of how much it was liked
    least   events with a lower rating do not count
    users   a second table with what is known of the users, by the column of the same name; it goes in beside the events
    items   a table with what is known of the things, likewise: those that nobody had yet are proposed by it too
    longest events of somebody that are looked at, the latest
    val     share of the events, by time, that validate
    held    share of the events, the last by time, that are for the test
    """

    def __init__(
        self,
        path: str,
        user: str = "user",
        item: str = "item",
        time: str = "time",
        rating: str | None = None,
        least: float | None = None,
        users: str | None = None,
        items: str | None = None,
        longest: Count = 200,
        val: Share = 0.1,
        held: Share = 0.2,
        delimiter: str | None = None,
    ) -> None:
        self.path, self.user, self.item, self.time, self.rating, self.least = path, user, item, time, rating, least
        self.users, self.items, self.longest = users, items, longest
        self.val, self.held, self.delimiter = val, held, delimiter

    def read(self) -> Items:
        table = tables.read(self.path, self.delimiter)
        cells = self._known(table)
        form = infer(Column.of(self.time, cells[self.time]), "date").form
        moments = [_moment(cell, form) for cell in cells[self.time].tolist()]
        who = [text_or_none(cell) for cell in cells[self.user].tolist()]
        what = [text_or_none(cell) for cell in cells[self.item].tolist()]
        place = self.path.rsplit("/", 1)[-1]
        bad, rows = list(table.bad), []
        for i, (user, item, moment) in enumerate(zip(who, what, moments)):
            reason = (
                "no user" if user is None else "no item" if item is None else moment if isinstance(moment, str) else ""
            )
            if reason:
                bad.append(Bad(f"{place}:{table.lines[i]}", reason))
            else:
                rows.append(i)
        rows = self._liked(cells, rows, table.notes)
        order = sorted(rows, key=lambda i: (moments[i], i))
        if order != rows:
            table.notes.append("the events are not in the order of time: sorted")
        events = [(i, str(who[i]), str(what[i])) for i in order]
        return self._items(table, events, bad, place)

    def _known(self, table: tables.RawTable) -> dict[str, np.ndarray]:
        cells = dict(zip(table.names, table.columns))
        for field in ("user", "item", "time", "rating"):
            name = getattr(self, field)
            if name == field in SAYS and name not in cells:
                raise self._unsaid(field, table.names)
            if name is not None and name not in cells:
                raise unknown("data.column", f"data.{field}", name, table.names, what="column")
        if (self.rating is None) != (self.least is None):
            said, other = ("least", "rating") if self.rating is None else ("rating", "least")
            raise DeepenError("data.rating", f"data.{said}", "said alone", "both or none", f"say data.{other} too")
        return cells

    def _unsaid(self, field: str, names: list[str]) -> DeepenError:
        """The error where nobody said which column is of who, what or when, and none bears that name."""
        left = [name for name in names if name not in (self.user, self.item, self.time, self.rating)]
        says = SAYS[field]
        fix = (
            f"say data.{field}={left[0] if len(left) == 1 else 'COLUMN'}" if left else f"a table that has one of {says}"
        )
        if field == "time":
            fix += (
                "; without times there is no order in which to learn what comes next: data.name=table learns a column"
            )
        expected = f"the column that says {says}" + (f": one of {', '.join(left[:MOST_SHOWN])}" if left else "")
        return DeepenError(
            "data.column", f"data.{field}", f"not said, and no column is called {field!r}", expected, fix
        )

    def _liked(self, cells: dict[str, np.ndarray], rows: list[int], notes: list[str]) -> list[int]:
        """Rows whose rating is high enough."""
        if self.rating is None or self.least is None:
            return rows
        kept = [i for i in rows if _number(cells[self.rating][i]) >= self.least]
        notes.append(
            f"{counted(len(rows) - len(kept), 'event')} with a {self.rating} below {self.least:g} do not count"
        )
        return kept

    def _items(self, table: tables.RawTable, events: list[tuple[int, str, str]], bad: list[Bad], place: str) -> Items:
        if not events:
            raise DeepenError("data.empty", self.path, "no events", "rows with who, what and when")
        known = self._about(table.notes)
        had = {item for *_, item in events}
        if known.keys() - had:
            table.notes.append(f"{counted(len(known.keys() - had), 'thing')} that nobody had yet can be proposed")
        things = tuple(sorted(had | known.keys()))
        none = (0.0,) * len(next(iter(known.values()), ()))
        told = tuple(known.get(thing, none) for thing in things) if none else ()
        said = self._side(table.notes)
        pairs = Counter((user, item) for _, user, item in events)
        again = sum(pairs.values()) - len(pairs) > AGAIN * len(events)
        steps = _steps(events, again, self.longest)
        if passed := len(events) - len(steps):
            table.notes.append(
                f"{counted(passed, 'event')} with what the user had before: known, and nothing to predict"
            )
        if again:
            table.notes.append("what somebody has had may come again")
        users, histories = [step.user for step in steps], [step.history for step in steps]
        inputs: dict[str, Any] = {"events": histories}
        encoders: dict[str, tuple[str, dict[str, Any]]] = {
            "events": ("history", {"items": things, "longest": self.longest})
        }
        if said is not None:
            columns, types = said
            inputs["user"] = Rows({name: _objects([by.get(u) for u in users]) for name, by in columns.items()})
            encoders["user"] = ("row", {"types": types})
        return Items(
            ids=[f"{place}:{table.lines[step.row]}" for step in steps],
            inputs=inputs,
            encoders=encoders,
            target=[step.item for step in steps],
            kind="ranking",
            options={"items": things, "again": again, "about": told},
            target_name=self.item,
            split=self._split(len(steps)),
            columns=Rows(
                {"user": _objects(users), "known events": np.array([min(len(h), 20) for h in histories], float)}
            ),
            hashes=[step.hash for step in steps],
            bad=bad,
            notes=table.notes,
            crossed=False,  # later histories hold what a fold is tested on
        )

    def _split(self, count: int) -> list[str | None]:
        """By time: the last steps are tested on, those before them validate."""
        first, last = math.ceil(count * (1 - self.val - self.held)), math.ceil(count * (1 - self.held))
        return ["train" if i < first else "val" if i < last else "test" for i in range(count)]

    def _side(self, notes: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]] | None:
        """What is known of the users: by column their cells, and the columns' types."""
        if self.users is None:
            return None
        keys, cells, types = about.columns(self.users, self.user, "user", "users", self.delimiter, notes)
        columns = {
            name: {key: cell for key, cell in zip(keys, column.tolist()) if key} for name, column in cells.items()
        }
        return (columns, types) if columns else None

    def _about(self, notes: list[str]) -> dict[str, tuple[float, ...]]:
        """What is known of the things, as numbers."""
        if self.items is None:
            return {}
        return about.numbers(*about.columns(self.items, self.item, "item", "things", self.delimiter, notes))


class Step(NamedTuple):
    """An event to be foretold: what its user had before, newest last, and what came."""

    row: int
    user: str
    history: list[str]
    item: str
    hash: str


def _steps(events: list[tuple[int, str, str]], again: bool, longest: int) -> list[Step]:
    """The events in their order as steps; unless things come `again`, those are left out that the user had before."""
    past: dict[str, list[str]] = {}
    steps = []
    for row, user, item in events:
        before = past.setdefault(user, [])
        if again or item not in before:
            digest = hashlib.blake2b(repr((user, item, len(before))).encode(), digest_size=16).hexdigest()
            steps.append(Step(row, user, before[-longest:], item, digest))
        before.append(item)
    return steps


def _moment(cell: Any, form: str) -> float | str:
    """Seconds or whatever the numbers count; why there is none."""
    try:
        number = number_or_nan(cell)
    except (ValueError, OverflowError, TypeError):
        try:
            number = seconds_of(cell, form)
        except (ValueError, OverflowError, TypeError):
            return f"{shown(cell)} is no time"
    return number if math.isfinite(number) else "no time"


def _number(cell: Any) -> float:
    """A rating; what is none counts as the lowest."""
    try:
        number = number_or_nan(cell)
    except (ValueError, OverflowError, TypeError):
        return -math.inf
    return number if not math.isnan(number) else -math.inf


def _objects(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), object)
    column[:] = values
    return column
