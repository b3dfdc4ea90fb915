"""The last rows of a series: some columns over `history` steps, the newest last. Missing numbers are the last known ones.

A raw item is rows, or columns, or an array (C, L); of more rows than are looked at the newest are taken:

    [{"date": "2018-02-20 00:00:00", "OT": 8.9, ...}, ...]        {"OT": [8.9, ...], ...}

series  float32 (n, C, L); NaN where nothing is known before it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.content.cells import LARGEST_NUMBER, number_or_nan, seconds_of, shown, text_or_none
from deepen.content.clock import never_set
from deepen.errors import Invalid, counted, typed
from deepen.tensors import Arrays, Tensor, Windows

NEAR = 0.2  # a step that differs by less than this share is still a step: months are of unequal length


class Series(msgspec.Struct, frozen=True):
    """Columns over `history` rows.

    mean, scale  of each column's training rows
    time         the column of times, which are looked at where they are sent; `form` is the order of day and month
    step         between two rows, in seconds or in the unit of numbers; 0: not regular
    group        the column that tells several series of one table apart
    commas       columns whose numbers are written with a decimal comma
    """

    columns: tuple[str, ...]
    history: int
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    time: str | None = None
    form: str = ""
    step: float = 0.0
    group: str | None = None
    commas: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("series", "float32", ("batch", len(self.columns), self.history)),)

    @classmethod
    def fit(cls, values: Windows, **options: Any) -> Series:
        """The scale of each column from the rows of the training windows, each once."""
        mean, scale = moments(values.seen())
        return cls(mean=mean, scale=scale, **options)

    def encode(self, values: Any) -> dict[str, Any]:
        """Windows of a stored series stay as they are."""
        if isinstance(values, Windows):
            return {"series": values}
        found = np.empty((len(values), len(self.columns), self.history), np.float32)
        for row, value in enumerate(values):
            try:
                found[row] = value if isinstance(value, np.ndarray) else self.parse(value)
            except Invalid as problem:
                raise problem.at(row) from None
        return {"series": found}

    def parse(self, value: Any) -> np.ndarray:
        """float32 (C, L) from rows or columns as JSON or a table has them."""
        if isinstance(value, list):
            value = self._by_column(value)
        if not isinstance(value, Mapping):
            raise Invalid(f"got {typed(value)}", self._wanted)
        absent = next((name for name in self.columns if name not in value), None)
        if absent is not None:
            raise Invalid(f"no column {absent!r}", f"columns {', '.join(self.columns)}")
        wanted = [*self.columns, *([self.time] if self.time and self.time in value else [])]
        lists = {name: value[name] for name in wanted}
        if not all(isinstance(cells, list) for cells in lists.values()):
            raise Invalid("a column that is no list", self._wanted)
        counts = {len(cells) for cells in lists.values()}
        if len(counts) > 1:
            raise Invalid(f"columns of {' and '.join(map(str, sorted(counts)))} values", "as many in each")
        if min(counts) < self.history:
            raise Invalid(counted(min(counts), "row"), self._wanted)
        if self.time is not None and self.time in lists:
            self._check_times(lists.pop(self.time)[-self.history :])
        rows = np.array([self._numbers(name, cells[-self.history :]) for name, cells in lists.items()])
        return filled(rows.T).T.astype(np.float32)

    @property
    def _wanted(self) -> str:
        return f"at least {counted(self.history, 'row')} of {', '.join(self.columns)}, the newest last"

    def _by_column(self, rows: list[Any]) -> dict[str, list[Any]]:
        if not rows or not all(isinstance(row, Mapping) for row in rows):
            raise Invalid("an empty list" if not rows else "a list of what are no rows", self._wanted)
        return {name: [row.get(name) for row in rows] for name in rows[-1]}

    def _numbers(self, name: str, cells: list[Any]) -> list[float]:
        try:
            found = [number_or_nan(cell, name in self.commas) for cell in cells]
        except (ValueError, TypeError, OverflowError):
            odd = next(cell for cell in cells if not _is_number(cell, name in self.commas))
            raise Invalid(f"column {name!r} holds {shown(odd)}", "numbers, null where one is missing") from None
        odd = next((cell for cell, number in zip(cells, found) if abs(number) > LARGEST_NUMBER), None)
        if odd is not None:
            raise Invalid(f"column {name!r} holds {shown(odd)}", "numbers of at most 3.4e38")
        return found

    def _check_times(self, cells: list[Any]) -> None:
        """Rows out of order, or rows that are not there, would get the answer to another question."""
        times = np.array([_moment(cell, self.form) for cell in cells])
        if np.isnan(times).any():
            odd = cells[int(np.flatnonzero(np.isnan(times))[0])]
            raise Invalid(f"column {self.time!r} holds {shown(odd)}", "times as in the data trained on")
        steps = np.diff(never_set(times)[0])
        wrong = steps <= 0 if not self.step else np.abs(steps / self.step - 1) > NEAR
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            wanted = "rows in the order of time" if steps[at] <= 0 else "a row for every step"
            raise Invalid(f"{shown(cells[at])} is followed by {shown(cells[at + 1])}", wanted)

    def together(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
        """Which rows of a table are of each series: its name (of one series nothing) to their places."""
        found: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            found.setdefault((text_or_none(row.get(self.group)) or "") if self.group else "", []).append(place)
        return found

    def mended(self, rows: list[Mapping[str, Any]], ids: list[str]) -> tuple[list[Mapping[str, Any]], list[str]]:
        """Rows of a table as training reads them, and what there is to say of that; those it would refuse stay as they are.

        They are put in the order of time, those without one left out. One wrong time between two rows that are two steps
        apart is the time between them. What is no number is missing.
        """
        notes: list[str] = []
        if self.time is not None and any(self.time in row for row in rows):
            rows = self._in_time(self.time, rows, ids, notes)
        seen = rows[-self.history :]
        for name in self.columns:
            odd = [i for i, row in enumerate(seen) if not _is_number(row.get(name), name in self.commas)]
            if 0 < len(odd) <= len(seen) / 2:
                notes.append(
                    f"column {name!r}: {counted(len(odd), 'cell')} no number, such as {shown(seen[odd[0]][name])}: taken as missing"
                )
                seen = [{**row, name: None} if i in odd else row for i, row in enumerate(seen)]
        return seen, notes

    def _in_time(
        self, column: str, rows: list[Mapping[str, Any]], ids: list[str], notes: list[str]
    ) -> list[Mapping[str, Any]]:
        given = np.array([_moment(row.get(column), self.form) for row in rows])
        if np.isfinite(given).mean() <= 0.5:
            return rows
        given, _ = never_set(given)
        times = _placed(given, self.step)
        left, moved = np.isnan(times), np.isfinite(times) & (times != given)
        kept = np.flatnonzero(~left)
        order = kept[np.argsort(times[kept], kind="stable")]
        twice = np.r_[False, np.diff(times[order]) == 0]
        back = np.r_[False, np.diff(times[kept]) < 0]
        for what, which in (
            ("without a time: left out", np.flatnonzero(left)),
            ("with another time than the one between its neighbours, which is taken", np.flatnonzero(moved)),
            ("earlier than the row before: sorted", kept[back]),
            ("with a time that stands twice: left out", order[twice]),
        ):
            if len(which):
                held = f"{ids[which[0]]} {shown(rows[which[0]].get(column))}"
                notes.append(f"column {column!r}: {counted(len(which), 'row')} {what} (first: {held})")
        return [{**rows[i], column: times[i]} if moved[i] else rows[i] for i in order[~twice].tolist()]

    def dump(self, value: Any) -> dict[str, Any]:
        """A raw item as `parse` takes it."""
        array = value if isinstance(value, np.ndarray) else self.parse(value)
        return {name: [None if np.isnan(v) else float(v) for v in row] for name, row in zip(self.columns, array)}

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each item: its newest row."""
        newest = arrays["series"][:, :, -1].astype(np.float64)
        return {name: newest[:, i] for i, name in enumerate(self.columns)}

    def describe(self) -> str:
        return f"series of {', '.join(self.columns)}, the last {counted(self.history, 'row')}"


def moments(rows: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each column of rows (T, C), missing ones left out; 1 where nothing varies."""
    known = np.isfinite(rows)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, rows, 0).sum(0, dtype=np.float64) / count
    deviation = np.sqrt((np.where(known, rows - mean, 0) ** 2).sum(0, dtype=np.float64) / count)
    scale = np.where(deviation > 1e-8 * np.abs(mean), np.maximum(deviation, 1e-30), 1.0)
    return tuple(mean.tolist()), tuple(scale.tolist())


def filled(rows: np.ndarray, begin: np.ndarray | int = 0) -> np.ndarray:
    """Rows (T, C) with the last known number of its column in the place of each missing one; NaN before the first.

    begin  int (T,): where the stretch begins that a row is of; nothing is taken from another
    """
    place = np.where(np.isfinite(rows), np.arange(len(rows))[:, None], np.reshape(begin, (-1, 1)))
    found = np.take_along_axis(rows, np.maximum.accumulate(place, 0), 0)
    return np.where(np.isfinite(found), found, np.nan)


def _moment(cell: Any, form: str) -> float:
    """A time as a number; NaN where it is none."""
    try:
        return number_or_nan(cell)
    except (ValueError, TypeError, OverflowError):
        pass
    try:
        return seconds_of(cell, form)
    except (ValueError, TypeError, OverflowError):
        return np.nan


def _placed(times: np.ndarray, step: float) -> np.ndarray:
    """Times (n,), each that cannot be read or lies elsewhere than its neighbours, which are two steps apart, between those."""
    if not step or len(times) < 3:
        return times
    before, after = times[:-2], times[2:]
    apart = np.abs(np.abs(after - before) / (2 * step) - 1) <= NEAR / 2
    inside = (times[1:-1] > np.minimum(before, after)) & (times[1:-1] < np.maximum(before, after))
    return np.r_[times[0], np.where(apart & ~inside, (before + after) / 2, times[1:-1]), times[-1]]


def _is_number(cell: Any, comma: bool) -> bool:
    try:
        number_or_nan(cell, comma)
    except (ValueError, TypeError, OverflowError):
        return False
    return True
