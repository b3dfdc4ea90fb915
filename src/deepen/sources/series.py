"""A series, or several, in a table with a column of times: what comes next is learnt from windows of what was before.

    rows t - history + 1 ... t  ->  the target columns at t + 1 ... t + horizon

Items are windows, named by the time of the newest row they see, and cut from the rows when a batch asks for them. They
are split by time: an answer lies in one part as a whole, and training ends before validation begins. What a held-out
window looks back on may lie before the border, as it will in use.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from deepen.content.cells import shown
from deepen.data import tables
from deepen.data.columns import Column, infer
from deepen.data.items import Items
from deepen.data.series import Timeline, moment, season, timeline
from deepen.errors import DeepenError, command, counted, listed, unknown
from deepen.preprocess.row import Rows
from deepen.preprocess.series import filled
from deepen.schema import Count
from deepen.tensors import Windows

MANY = 4  # seasons, or horizons, that are looked back on
SHARE = 6  # at most one in so many rows of a series
PARTS = ("train", "val", "test")


class Series:
    """Forecasts from a table with a column of times: columns of numbers are looked at, those of the target are forecast.

    target    the column to forecast, or several
    time      the column of times; none: the first that holds dates, else rows are taken in their order
    horizon   steps ahead that are forecast
    history   rows that are looked back on; none: four seasons or horizons, at most a sixth of a series
    season    rows after which a series repeats itself; none: a day, a week or a year, by its step
    group     the column that tells several series apart
    columns   further columns that are looked at; none: the past of the target alone
    relative  windows are seen from their newest values, and answers are changes from those
    borders   times at which validation begins, the test begins and, if wanted, the data ends; none: by split
    """

    def __init__(
        self,
        path: str,
        target: tuple[str, ...] | None = None,
        time: str | None = None,
        horizon: Count = 1,
        history: Count | None = None,
        season: Count | None = None,
        group: str | None = None,
        columns: tuple[str, ...] = (),
        relative: bool = True,
        borders: tuple[str, ...] = (),
        delimiter: str | None = None,
    ) -> None:
        self.path, self.target, self.time, self.group = path, target or (), time, group
        self.horizon, self.history, self.season, self.columns = horizon, history, season, columns
        self.relative, self.borders, self.delimiter = relative, borders, delimiter

    def read(self) -> Items:
        whole = tables.read(self.path, self.delimiter)
        self._check(whole.names)
        table = {name: Column.of(name, cells) for name, cells in zip(whole.names, whole.columns)}
        ids = [f"{Path(self.path).name}:{line}" for line in whole.lines]
        time = table.get(self._time(table, whole.notes) or "")
        group = table[self.group].codes if self.group else np.zeros(len(ids), np.int64)
        line = timeline(time, group, ids)
        numbers, commas = self._numbers({n: c for n, c in table.items() if c is not time}, whole.notes)
        values = _float32(np.stack([column[line.rows] for column in numbers.values()], 1))  # (T, C)
        history, every = self._sizes(line)
        starts = self._starts(line, history)
        newest = starts + history - 1
        answered = line.moments[newest[:, None] + [1, self.horizon]]
        kept, split = self._declared(answered, line, whole.notes)
        starts, newest = starts[kept], line.rows[newest[kept]]
        groups = Rows({self.group: whole.columns[whole.names.index(self.group)][newest]} if self.group else {})
        places = [list(numbers).index(name) for name in self.target]
        encoder = {"columns": tuple(numbers), "history": history, "time": time and time.name, "form": line.form}
        encoder |= {"step": line.step if time else 0.0, "group": self.group, "commas": commas}
        return Items(
            ids=self._names(time, table, newest, ids),
            inputs={"series": Windows(self._whole(values, line, list(numbers), whole.notes), starts, history)},
            encoders={"series": ("series", encoder)},
            target=Windows(values[:, places], starts + history - every, every + self.horizon),  # type: ignore[arg-type]
            kind="series",
            options={"columns": self.target, "horizon": self.horizon, "season": every, "relative": self.relative},
            target_name=", ".join(self.target),
            split=split,
            columns=groups,
            hashes=_places(values, starts),
            spans=None if split else answered[kept],
            bad=whole.bad + line.bad,
            notes=[*whole.notes, *line.notes],
        )

    # ---------------------------------------------------------------- columns

    def _check(self, names: list[str]) -> None:
        if not self.target:
            raise DeepenError(
                "data.target", self.path, "which column to forecast is not said", f"one of {listed(names, 30)}",
                command("train", self.path, f"horizon={self.horizon}", f"target={names[-1]}"),
            )  # fmt: skip
        said = {"time": [self.time] if self.time else [], "group": [self.group] if self.group else []}
        for field, given in {"target": self.target, **said, "columns": self.columns}.items():
            for column in given:
                if column not in names:
                    raise unknown("data.column", f"data.{field}", column, names, what="column")
                if field != "target" and column in self.target:
                    raise DeepenError(
                        "data.column", f"data.{field}", f"{column!r} is the target", "another column", "leave it out"
                    )

    def _time(self, table: dict[str, Column], notes: list[str]) -> str | None:
        """The column of times: the one that is named, else the first that holds dates."""
        if self.time:
            return self.time
        others = [name for name in table if name not in (*self.target, self.group)]
        found = next((name for name in others if infer(table[name]).kind == "date"), None)
        said = f"times are read from column {found!r}" if found else "no column of dates: rows are taken in their order"
        notes.append(f"{said} (data.time=... says another)")
        return found

    def _numbers(self, table: dict[str, Column], notes: list[str]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """float64 (n,) of each column that is looked at, NaN where missing; and those with a decimal comma."""
        found, commas = {}, []
        for name in (*self.target, *self.columns):
            column, what = table[name], infer(table[name], "number")
            wrong = column.numbers(what.comma)[1]
            found[name] = np.where(what.wrong, np.nan, what.values)
            if column.share(wrong) > 0.5 or not np.isfinite(found[name]).any():
                odd = shown(next(iter(column.distinct), ""))
                raise DeepenError("data.column", f"column {name!r}", f"holds {odd}", "numbers", "name another column")
            if wrong.any():
                stray = next(text for text, w in zip(column.texts, wrong) if w)
                notes.append(
                    f"column {name!r}: {column.share(wrong):.1%} are no numbers, such as {shown(stray)}: taken as missing"
                )
            notes += [f"column {name!r}: {note}" for note in what.notes]
            commas += [name] * what.comma
        others = [n for n, column in table.items() if n not in (*found, self.group) and infer(column).kind == "number"]
        if others:
            notes.append(f"not looked at: {listed(others)} (data.columns=[{others[0]}, ...])")
        return found, tuple(commas)

    def _whole(self, values: np.ndarray, line: Timeline, names: list[str], notes: list[str]) -> np.ndarray:
        """The values as windows see them: what is missing is what was known last."""
        missing = np.isnan(values).sum(0)
        if missing.any():
            each = ", ".join(f"{name} {count}" for name, count in zip(names, missing) if count)
            notes.append(
                f"missing numbers ({each}): windows see the last known one in their place, no answer is learnt"
            )
        return filled(values, line.begin).astype(np.float32)

    # ---------------------------------------------------------------- windows

    def _sizes(self, line: Timeline) -> tuple[int, int]:
        """Rows looked back on, and rows of a season."""
        most = self.history or max(line.longest // SHARE, 1)
        every = self.season or season(line.step, line.dated, most)
        history = self.history or min(MANY * max(every, self.horizon), max(most, every))
        if every > history:
            raise DeepenError(
                "data.history", "data.history", f"{history} where a season is {every}", "at least a season",
                f"data.history={every}",
            )  # fmt: skip
        return history, every

    def _starts(self, line: Timeline, history: int) -> np.ndarray:
        found = line.windows(history + self.horizon)
        if not len(found):
            raise DeepenError(
                "data.windows", self.path, f"the longest stretch without a gap has {counted(line.longest, 'row')}",
                f"at least {history + self.horizon}: {history} to look back on and {self.horizon} to forecast",
                "a smaller data.horizon or data.history",
            )  # fmt: skip
        return found

    def _declared(
        self, answered: np.ndarray, line: Timeline, notes: list[str]
    ) -> tuple[np.ndarray, list[str | None] | None]:
        """Which windows stay, and the part of each, where borders are given."""
        if not self.borders:
            return np.arange(len(answered)), None
        marks = [moment(text, line) for text in self.borders]
        if len(marks) not in (2, 3) or marks != sorted(marks):
            raise DeepenError(
                "data.borders", "data.borders", listed(self.borders),
                "two times, at which validation and test begin, and if wanted a third, at which the data ends",
            )  # fmt: skip
        edges = [-np.inf, *marks[:2], marks[2] if len(marks) > 2 else np.inf]
        part = np.full(len(answered), -1)
        for i in range(3):
            part[(answered[:, 0] >= edges[i]) & (answered[:, 1] < edges[i + 1])] = i
        for i, name in enumerate(PARTS):
            if not (part == i).any():
                raise DeepenError("data.borders", "data.borders", f"no window answers within {name}", "other times")
        kept = np.flatnonzero(part >= 0)
        if len(kept) < len(part):
            notes.append(f"{counted(len(part) - len(kept), 'window')} across or beyond the borders left out")
        return kept, [PARTS[i] for i in part[kept]]

    def _names(self, time: Column | None, table: dict[str, Column], newest: np.ndarray, ids: list[str]) -> list[str]:
        """Each window by its newest row: the time, behind the name of its series where there are several."""
        said = [str(time.texts[code]) for code in time.codes[newest]] if time else [ids[row] for row in newest]
        if not self.group:
            return said
        group = table[self.group]
        return [f"{group.texts[code] or ''} {name}" for code, name in zip(group.codes[newest], said)]


def _float32(values: np.ndarray) -> np.ndarray:
    """What float32 cannot hold is missing."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    return np.where(np.isfinite(found), found, np.float32(np.nan))


def _places(values: np.ndarray, starts: np.ndarray) -> list[str]:
    """A window's content is where it lies in which rows: stretches that look alike are no copies."""
    whole = hashlib.blake2b(values.tobytes(), digest_size=12).hexdigest()
    return [f"{whole}:{start}" for start in starts.tolist()]
