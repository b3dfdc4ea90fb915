"""Table rows: named columns to one vector of numbers and one of category codes. The one deterministic path.

numbers     float32 (n, d), missing is NaN; a date becomes days since 1970, month, weekday and, with a time, hour;
            then for each column of `flags` 1 where it is missing, else 0
categories  int64 (n, c), 0 missing, 1 unknown (also what was rare in training), 2... in the order of `categories`
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid
from deepen.tensors import Arrays, Tensor

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none", "-"})
MOST_CATEGORIES = 1000
RARE = 5  # a category seen less often in training shares the code of unknown ones


class Row(msgspec.Struct, frozen=True):
    """A row of a table. Columns in the order the network takes them."""

    numbers: tuple[str, ...] = ()
    dates: dict[str, bool] = {}  # column -> whether it holds a time of day
    categories: dict[str, tuple[str, ...]] = {}
    flags: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        width = len(self.numbers) + sum(4 if timed else 3 for timed in self.dates.values()) + len(self.flags)
        found = []
        if width:
            found.append(Tensor("numbers", "float32", ("batch", width)))
        if self.categories:
            found.append(Tensor("categories", "int64", ("batch", len(self.categories))))
        return tuple(found)

    @property
    def columns(self) -> list[str]:
        """The columns a row is read from."""
        return [*self.numbers, *self.dates, *self.categories]

    @classmethod
    def fit(cls, values: Rows, types: Mapping[str, str], **_: Any) -> Row:
        """Known categories from the training rows; `types` says number, date or category per column."""
        numbers = tuple(name for name, kind in types.items() if kind == "number")
        dates = {
            name: any(d is not None and (d.hour or d.minute) for d in map(date_or_none, values.column(name)))
            for name, kind in types.items()
            if kind == "date"
        }
        categories = {}
        for name, kind in types.items():
            if kind == "category":
                counts = Counter(t for t in map(text_or_none, values.column(name)) if t is not None)
                common = [c for c, n in counts.most_common(MOST_CATEGORIES) if n >= RARE or len(values) < 10 * RARE]
                categories[name] = tuple(sorted(common))
        flags = tuple(name for name in numbers if np.isnan(_numbers(values.column(name), name)).any())
        return cls(numbers, dates, categories, flags)

    def encode(self, values: Rows | Sequence[Mapping[str, Any]]) -> Arrays:
        """numbers (n, d) and categories (n, c); a value that cannot be read raises Invalid with its row."""
        rows = values if isinstance(values, Rows) else Rows.of(values, self.columns)
        result: Arrays = {}
        parts = [_numbers(rows.column(name), name)[:, None] for name in self.numbers]
        parts += [_dates(rows.column(name), name, timed) for name, timed in self.dates.items()]
        parts += [np.isnan(parts[self.numbers.index(name)]).astype(float) for name in self.flags]
        if parts:
            result["numbers"] = np.concatenate(parts, axis=1).astype(np.float32)
        if self.categories:
            coded = [_codes(rows.column(name), known) for name, known in self.categories.items()]
            result["categories"] = np.stack(coded, axis=1)
        return result

    def parse(self, value: Any) -> dict[str, Any]:
        """A JSON object of columns; unknown columns are refused, absent ones count as missing."""
        if not isinstance(value, dict):
            raise Invalid(f"got {type(value).__name__}", "an object of column: value")
        strange = [name for name in value if name not in self.columns]
        if strange:
            raise Invalid(f"unknown column {strange[0]!r}", f"columns: {', '.join(self.columns)}")
        nested = [name for name, cell in value.items() if isinstance(cell, (list, dict))]
        if nested:
            raise Invalid(f"column {nested[0]!r} holds a {type(value[nested[0]]).__name__}", "a text, a number or null")
        if not any(v is not None for v in value.values()):
            raise Invalid("no column has a value", f"columns: {', '.join(self.columns)}")
        return value

    def dump(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A raw row as `parse` takes it."""
        return {name: plain(value.get(name)) for name in self.columns}

    def describe(self) -> str:
        return f"rows of {len(self.numbers)} numbers, {len(self.dates)} dates, {len(self.categories)} categories"


class Rows:
    """A table held by columns: each a float64 array (NaN missing) or an object array (text, numbers, None)."""

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = columns

    @classmethod
    def of(cls, items: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Rows:
        columns = {}
        for name in names:
            column = np.empty(len(items), object)
            column[:] = [item.get(name) for item in items]
            columns[name] = column
        return cls(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return {name: plain(column[index]) for name, column in self.columns.items()}
        return Rows({name: column[index] for name, column in self.columns.items()})

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]


def plain(value: Any) -> Any:
    """A cell as JSON has it: NaN is None, NumPy scalars are Python's."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def text_or_none(value: Any) -> str | None:
    """A category as text: stripped; 3.0 is "3"; the usual marks for missing are None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in MISSING else text


def date_or_none(value: Any) -> datetime.datetime | None:
    """An ISO 8601 date or time (also `20141013T000000` and `2014/10/13`); None where missing; ValueError otherwise."""
    text = text_or_none(value)
    if text is None:
        return None
    return datetime.datetime.fromisoformat(text.replace("/", "-")).replace(tzinfo=None)


def _numbers(column: np.ndarray, name: str) -> np.ndarray:
    """float64 (n,); infinite is missing as NaN is."""
    if column.dtype != object:
        values = column.astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)
    result = np.full(len(column), np.nan)
    for row, cell in enumerate(column):
        text = cell if isinstance(cell, (int, float)) and not isinstance(cell, bool) else text_or_none(cell)
        if text is None:
            continue
        try:
            result[row] = float(text)
        except (ValueError, OverflowError):
            raise Invalid(f"column {name!r} holds {cell!r}", "a number or nothing", row) from None
    return np.where(np.isfinite(result), result, np.nan)


def _dates(column: np.ndarray, name: str, timed: bool) -> np.ndarray:
    """float64 (n, 3 or 4): days since 1970, month, weekday, hour."""
    result = np.full((len(column), 4), np.nan)
    for row, cell in enumerate(column):
        try:
            moment = date_or_none(cell)
        except ValueError:
            raise Invalid(
                f"column {name!r} holds {cell!r}", "an ISO date such as 2026-11-20, or nothing", row
            ) from None
        if moment is not None:
            hour = moment.hour + moment.minute / 60
            days = (moment - datetime.datetime(1970, 1, 1)).total_seconds() / 86400
            result[row] = days, moment.month, moment.weekday(), hour
    return result if timed else result[:, :3]


def _codes(column: np.ndarray, known: tuple[str, ...]) -> np.ndarray:
    """int64 (n,): 0 missing, 1 unknown, then the known ones."""
    code = {name: i + 2 for i, name in enumerate(known)}
    texts = map(text_or_none, column.tolist())
    return np.fromiter((0 if t is None else code.get(t, 1) for t in texts), np.int64, len(column))
