"""Table rows: named columns to one vector of numbers and one of category codes. The one deterministic path.

numbers     float32 (n, d), missing is NaN; a date becomes days since 1970, month, weekday and, with a time, hour;
            then for each column of `flags` 1 where it is missing, else 0
            a number may be written 1,234.5 or 12 % or $3; a column of `commas` writes 1.234,5
categories  int64 (n, c), 0 missing, 1 unknown (also what was rare in training), 2... in the order of `categories`
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.content.cells import LARGEST_NUMBER as LARGEST_NUMBER
from deepen.content.cells import MISSING as MISSING
from deepen.content.cells import date_or_none as date_or_none
from deepen.content.cells import number_of as number_of
from deepen.content.cells import number_or_nan as number_or_nan
from deepen.content.cells import plain as plain
from deepen.content.cells import shown as shown
from deepen.content.cells import text_or_none as text_or_none
from deepen.errors import DeepenError, Invalid, counted, listed, nearest, typed
from deepen.tensors import Arrays, Tensor

THERE, MISSED = "(there)", "(missing)"
MOST_CATEGORIES = 1000
RARE = 5  # a category seen less often in training shares the code of unknown ones


class Row(msgspec.Struct, frozen=True):
    """A row of a table. Columns in the order the network takes them."""

    numbers: tuple[str, ...] = ()
    dates: dict[str, bool] = {}  # column -> whether it holds a time of day
    categories: dict[str, tuple[str, ...]] = {}
    flags: tuple[str, ...] = ()
    forms: dict[str, str] = {}  # date column -> "mdy" or "dmy", the order of its parts where they are not ISO
    commas: tuple[str, ...] = ()  # columns whose numbers are written with a decimal comma

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
    def fit(
        cls,
        values: Rows,
        types: Mapping[str, str],
        forms: Mapping[str, str] | None = None,
        commas: Sequence[str] = (),
        flagged: bool = False,
        **_: Any,
    ) -> Row:
        """Known categories from the training rows; `types` says number, date or category per column.

        flagged  every column of numbers has a flag, also one that is always there
        """
        named = {kind: [n for n, k in types.items() if k == kind] for kind in ("number", "date", "category")}
        forms = {name: form for name, form in (forms or {}).items() if form}
        dates = {name: _has_time(values.column(name), forms.get(name, "")) for name in named["date"]}
        categories = {name: _common(values.column(name), len(values)) for name in named["category"]}
        flags = tuple(
            n for n in named["number"] if flagged or np.isnan(_numbers(values.column(n), n, n in commas)).any()
        )
        return cls(tuple(named["number"]), dates, categories, flags, forms, tuple(commas))

    def grow(self, values: Rows, **_: Any) -> Row:
        """New categories behind those known, whose codes stay."""
        found = {name: _common(values.column(name), len(values)) for name in self.categories}
        more = {name: (*known, *(c for c in found[name] if c not in known)) for name, known in self.categories.items()}
        return msgspec.structs.replace(self, categories=more)

    def encode(self, values: Rows | Sequence[Mapping[str, Any]]) -> Arrays:
        """numbers (n, d) and categories (n, c); a value that cannot be read raises Invalid with its row."""
        rows = values if isinstance(values, Rows) else Rows.of(values, self.columns)
        result: Arrays = {}
        parts = [_numbers(rows.column(name), name, name in self.commas)[:, None] for name in self.numbers]
        parts += [_dates(rows.column(n), n, timed, self.forms.get(n, "")) for n, timed in self.dates.items()]
        parts += [np.isnan(parts[self.numbers.index(name)]).astype(float) for name in self.flags]
        if parts:
            with np.errstate(over="ignore"):
                joined = np.concatenate(parts, axis=1).astype(np.float32)
            result["numbers"] = np.where(np.isinf(joined), np.float32(np.nan), joined)  # 1e39 is none in float32
        if self.categories:
            coded = [_codes(rows.column(name), known) for name, known in self.categories.items()]
            result["categories"] = np.stack(coded, axis=1)
        return result

    def parse(self, value: Any) -> dict[str, Any]:
        """A JSON object of columns; unknown columns and wrong types are refused, absent columns count as missing."""
        if not isinstance(value, dict):
            raise Invalid(f"got {typed(value)}", "an object of column: value")
        strange = [name for name in value if name not in self.columns]
        if strange:
            raise Invalid(f"unknown column {strange[0]!r}", nearest(strange[0], self.columns) or self._known)
        for name, cell in value.items():
            if isinstance(cell, (list, dict)):
                raise Invalid(f"column {name!r} holds {typed(cell)}", "one value")
            if isinstance(cell, bool) and name not in self.categories:
                wanted = "a date as text" if name in self.dates else "a number"
                raise Invalid(f"column {name!r} holds {typed(cell)}", f"{wanted}, or null")
            if name in self.numbers and _beyond(cell):
                raise Invalid(f"column {name!r} holds {str(cell)[:40]!r}", "a number of at most 3.4e38, or null")
        if not any(v is not None for v in value.values()):
            raise Invalid("no column has a value", self._known)
        return value

    @property
    def _known(self) -> str:
        return f"columns: {listed(self.columns, 30)}"

    def dump(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """A raw row as `parse` takes it."""
        return {name: plain(value.get(name)) for name in self.columns}

    def cells(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return self.dump(value)

    def place(self, index: Sequence[int]) -> str:
        """What stands in a place of `numbers`, for an error."""
        names = [name for name, width in self._widths() for _ in range(width)]
        return f"column {[*names, *self.flags][index[0]]!r}"

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each row: its numbers and categories. Of a date whether it is there: time goes on."""
        found: dict[str, np.ndarray] = {}
        at = 0
        for name, width in self._widths():
            column = arrays["numbers"][:, at].astype(np.float64)
            at += width
            found[name] = column if width == 1 else np.where(np.isnan(column), MISSED, THERE)
        for i, (name, known) in enumerate(self.categories.items()):
            found[name] = np.array([MISSED, "(new)", *known])[arrays["categories"][:, i]]
        return found

    def extremes(self, arrays: Arrays) -> Arrays:
        """Encoded rows in which each number is missing once and the categories are, from missing to the last, all there are."""
        found = {name: array.copy() for name, array in arrays.items()}
        count = len(next(iter(found.values())))
        for place, name in enumerate(self.numbers):
            found["numbers"][place % count, place] = np.nan
            if name in self.flags:
                found["numbers"][place % count, self.flags.index(name) - len(self.flags)] = 1
        for place, known in enumerate(self.categories.values()):
            found["categories"][:, place] = np.linspace(0, len(known) + 1, count).round()
        return found

    def _widths(self) -> list[tuple[str, int]]:
        """Numbers and dates in order, and how many columns of `numbers` each takes."""
        return [*((name, 1) for name in self.numbers), *((n, 4 if timed else 3) for n, timed in self.dates.items())]

    def describe(self) -> str:
        parts = (self.numbers, "number", ""), (self.dates, "date", ""), (self.categories, "category", "categories")
        return f"rows of {', '.join(counted(len(columns), *noun) for columns, *noun in parts)}"


def _beyond(cell: Any) -> bool:
    """Whether a cell is a number too large for float32: it would be answered as if it were missing."""
    try:
        return abs(float(cell)) > LARGEST_NUMBER
    except OverflowError:
        return True
    except (ValueError, TypeError):
        return False  # not a number written plainly: encode judges it


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
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise DeepenError(
                "data.column", f"column {name!r}", "not in the table", f"the columns trained on; here: {known}"
            )
        return self.columns[name]


def _once(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`convert`, called once for each different text: columns repeat themselves."""
    known: dict[str, Any] = {}

    def remembered(cell: Any) -> Any:
        if type(cell) is not str:
            return convert(cell)
        if cell not in known:
            known[cell] = convert(cell)
        return known[cell]

    return remembered


def _numbers(column: np.ndarray, name: str, comma: bool = False) -> np.ndarray:
    """float64 (n,); infinite is missing as NaN is."""
    if column.dtype != object:
        values = column.astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)
    result = np.full(len(column), np.nan)
    read = _once(lambda cell: number_or_nan(cell, comma))
    for row, cell in enumerate(column.tolist()):
        try:
            result[row] = read(cell)
        except (ValueError, OverflowError, TypeError):
            raise Invalid(f"column {name!r} holds {shown(cell)}", "a number or nothing", row) from None
    return np.where(np.isfinite(result), result, np.nan)


def _has_time(column: np.ndarray, form: str) -> bool:
    """Whether any moment has a time of day."""
    read = _once(lambda cell: date_or_none(cell, form))
    return any(d is not None and bool(d.hour or d.minute) for d in map(read, column.tolist()))


def _dates(column: np.ndarray, name: str, timed: bool, form: str = "") -> np.ndarray:
    """float64 (n, 3 or 4): days since 1970, month, weekday, hour."""
    result = np.full((len(column), 4), np.nan)
    read = _once(lambda cell: _moment(date_or_none(cell, form)))
    for row, cell in enumerate(column.tolist()):
        try:
            moment = read(cell)
        except (ValueError, OverflowError, TypeError):
            like = {"mdy": "11/20/2026", "dmy": "20/11/2026"}.get(form, "2026-11-20")
            raise Invalid(f"column {name!r} holds {shown(cell)}", f"a date such as {like}, or nothing", row) from None
        if moment is not None:
            result[row] = moment
    return result if timed else result[:, :3]


def _moment(moment: datetime.datetime | None) -> tuple[float, ...] | None:
    if moment is None:
        return None
    days = (moment - datetime.datetime(1970, 1, 1)).total_seconds() / 86400
    return days, moment.month, moment.weekday(), moment.hour + moment.minute / 60


def _common(column: np.ndarray, count: int) -> tuple[str, ...]:
    """The categories seen often enough to learn something about them, sorted."""
    counts: Counter[str] = Counter()
    for cell, n in Counter(column.tolist()).items():
        text = text_or_none(cell)
        if text is not None:
            counts[text] += n
    return tuple(sorted(c for c, n in counts.most_common(MOST_CATEGORIES) if n >= RARE or count < 10 * RARE))


def _codes(column: np.ndarray, known: tuple[str, ...]) -> np.ndarray:
    """int64 (n,): 0 missing, 1 unknown, then the known ones."""
    code = {category: i + 2 for i, category in enumerate(known)}

    def read(cell: Any) -> int:
        text = text_or_none(cell)
        if isinstance(cell, bool) and text not in code:
            text = str(cell).lower()  # JSON's true is the table's True, true or TRUE
            text = text if text in code else text.upper()
        return 0 if text is None else code.get(text, 1)

    return np.fromiter(map(_once(read), column.tolist()), np.int64, len(column))
