"""What the columns of a table hold: their types. Torch-free.

Cells repeat themselves, so every question is asked of a column's distinct texts and answered for its rows by index.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from deepen.content import scripts
from deepen.errors import counted
from deepen.preprocess.row import MISSING, date_or_none, number_of, shown, text_or_none

FEW = 20  # a whole-number target with at most this many values counts as classes
STRAY = 0.02  # up to this share of a column's cells may be no number (no date): their rows are set aside
FREE_TEXT = 4  # words on average above which a column is no name but a text
TYPES = ("number", "date", "category", "drop")
_ID = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|index|idx|rowid|row[\W_]?(nr|no|num|number)|nr|key)$|^unnamed: ?\d+$|^column 1$)|[a-z](Id|ID)$"
)
GROUP = re.compile(
    r"(?i:(^|[\W_])(patient|subject|person|user|customer|client|session|group|device|sensor|household|speaker|store|batch|site)$)"
)


@dataclass
class Column:
    """A column by its distinct texts: row i holds texts[codes[i]], None where it is missing."""

    name: str
    texts: list[str | None]
    codes: np.ndarray

    @classmethod
    def of(cls, name: str, cells: np.ndarray) -> Column:
        listed = cells.tolist()
        seen = {cell: place for place, cell in enumerate(dict.fromkeys(listed))}
        raw = np.fromiter(map(seen.__getitem__, listed), np.int64, len(listed))
        merged: dict[str | None, int] = {}
        places = np.array([merged.setdefault(_text(cell), len(merged)) for cell in seen], np.int64)
        return cls(name, list(merged), places[raw] if len(raw) else raw)

    @cached_property
    def counts(self) -> np.ndarray:
        return np.bincount(self.codes, minlength=len(self.texts))

    @cached_property
    def there(self) -> np.ndarray:
        """Which distinct texts are values (not missing)."""
        return np.array([t is not None for t in self.texts], bool)

    @property
    def known(self) -> int:
        """Rows with a value."""
        return int(self.counts[self.there].sum()) if len(self.texts) else 0

    @cached_property
    def distinct(self) -> list[str]:
        return [t for t in self.texts if t is not None]

    def numbers(self, comma: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Per distinct text its number (NaN where missing or none), and whether it is no number."""
        return self._with_comma if comma else self._plain

    @cached_property
    def _plain(self) -> tuple[np.ndarray, np.ndarray]:
        values = np.full(len(self.texts), np.nan)
        if not any("_" in text for text in self.distinct):  # Python would take 1_2 for 12
            with contextlib.suppress(ValueError):  # the common case in one call
                values[self.there] = list(map(float, self.distinct))
                return values, np.zeros(len(values), bool)
        return self._each(lambda text: math.nan if text is None else number_of(text))

    @cached_property
    def _with_comma(self) -> tuple[np.ndarray, np.ndarray]:
        return self._each(lambda text: math.nan if text is None else number_of(text, comma=True))

    def dates(self, form: str) -> np.ndarray:
        """Per distinct text whether it is no date."""
        return self._each(lambda text: math.nan if date_or_none(text, form) is None else 0.0)[1]

    def _each(self, convert: Any) -> tuple[np.ndarray, np.ndarray]:
        values, wrong = np.full(len(self.texts), np.nan), np.zeros(len(self.texts), bool)
        for i, text in enumerate(self.texts):
            try:
                values[i] = convert(text)
            except (ValueError, OverflowError):
                wrong[i] = True
        return values, wrong

    def share(self, which: np.ndarray) -> float:
        """The share of the known rows that `which` of the distinct texts take up."""
        return float(self.counts[which].sum()) / max(self.known, 1)


def _text(cell: Any) -> str | None:
    """As text_or_none; for text, which most cells are, without its questions about numbers."""
    if type(cell) is not str:
        return text_or_none(cell)
    text = cell.strip()
    return None if text.lower() in MISSING else text


@dataclass
class Found:
    """What a column turned out to be. Kinds "drop" and "text" come with the reason; `wrong` marks rows that do not fit."""

    kind: str
    reason: str = ""
    form: str = ""  # of dates
    comma: bool = False
    wrong: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of numbers, per row
    notes: list[str] = field(default_factory=list)


def infer(column: Column, wanted: str | None = None) -> Found:
    """The type of a column; `wanted` is what the user says it is."""
    distinct = column.distinct
    if wanted in {"category", "drop"}:
        return Found(wanted)
    if wanted == "number":
        return _number(column)
    if wanted == "date":
        return _date(column)
    if not distinct:
        return Found("drop", "all values are missing")
    if len(distinct) == 1:  # whether it is missing or not may say something
        whole = column.known == len(column.codes)
        return Found("drop", f"constant ({shown(distinct[0])})") if whole else Found("category")
    return _infer(column, distinct)


FILES = {  # encoder -> how names of such files end
    "image": (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm"),
    "audio": (".wav", ".wave"),
}
MOSTLY = 0.9  # share of a column's cells that end so


def files_in(column: Column) -> str | None:
    """What sort of files a column names, `image` or `audio`; None where it names none."""
    names = [text if text is None else text.lower() for text in column.texts]
    for sort, ends in FILES.items():
        named = np.array([name is not None and name.endswith(ends) for name in names], bool)
        if len(named) and column.known and column.share(named) >= MOSTLY:
            return sort
    return None


def _infer(column: Column, distinct: list[str]) -> Found:
    padded = any(t[0] == "0" and len(t) > 1 and t.isdigit() for t in distinct)  # 00123 is a code, not a number
    number = None if padded else _number(column)
    strays = column.share(column.numbers(number.comma)[1]) if number else 1.0
    if len(distinct) > 0.9 * column.known and _ID.search(column.name) and (strays == 0 or column.known > FEW):
        return Found("drop", "a value of its own for nearly every row, like an ID")
    if number and strays == 0:
        if not np.isfinite(number.values).any():
            return Found("drop", "all values are infinite")
        if _counts_rows(number.values):
            return Found("drop", "it numbers the rows")
        if len(distinct) > 10 and all(len(t) == 8 and t.isdigit() for t in distinct) and not column.dates("").any():
            return Found("date")
        return number
    date = _date(column)
    if column.share(column.dates(date.form)) <= STRAY:
        return date
    many = len(distinct) > 50 and len(distinct) > 0.5 * column.known
    if number and strays <= STRAY and len(distinct) > FEW:
        return number
    if many and strays < 0.5:
        stray = next(t for t, w in zip(column.texts, column.numbers(bool(number and number.comma))[1]) if w)
        return Found("drop", f"numbers and text mixed ({strays:.0%} are no numbers, such as {shown(stray)})")
    words = float(np.mean([scripts.words(t) for t in distinct[:1000]]))
    if many and words >= FREE_TEXT:
        return Found("text", f"free text ({words:.0f} words on average) is not learnt from in a table")
    if many:
        found = f"{len(distinct)} in {column.known} rows"
        return Found("drop", f"nearly every value is different ({found}), like a name or a number plate")
    return Found("category")


def _number(column: Column) -> Found:
    values, wrong = column.numbers()
    comma = False
    if wrong.any() and any("," in t for t in column.distinct):
        with_comma, wrong_with = column.numbers(comma=True)
        if wrong_with.sum() < wrong.sum():
            values, wrong, comma = with_comma, wrong_with, True
    notes = _commas([t for t, w in zip(column.texts, wrong) if t is not None and not w], comma)
    infinite = int(column.counts[np.isinf(values)].sum())
    if infinite:
        notes.append(f"{counted(infinite, 'infinite value')} taken as missing")
    values = np.where(np.isfinite(values), values, np.nan)
    return Found("number", comma=comma, wrong=wrong[column.codes], values=values[column.codes], notes=notes)


def _commas(texts: list[str], decimal: bool) -> list[str]:
    """How the commas in numbers are read, where that is not plain from the numbers themselves."""
    written = [text for text in texts if "," in text]
    if not decimal:
        plain = any("." in text or text.count(",") > 1 for text in written)
        return ["its commas are read as parting thousands"] if written and not plain else []
    pointed = next((text for text in texts if "." in text and "," not in text), None)
    other = "" if pointed is None else f", and {shown(pointed)} as {number_of(pointed, comma=True):g}"
    return [f"its numbers are read with a decimal comma{other}"]


def _date(column: Column) -> Found:
    """Dates in the order of day and month that fits most of them."""
    distinct = column.distinct
    if not all(t[0].isdigit() or t[0].isalpha() for t in distinct[:100]):
        return Found("date", wrong=np.ones(len(column.codes), bool))
    orders = ("", "dmy", "mdy") if any("." in t[:4] for t in distinct[:100]) else ("", "mdy", "dmy")
    wrong = {form: column.dates(form) for form in orders}
    form = min(orders, key=lambda f: column.counts[wrong[f]].sum())
    notes = []
    if form and not wrong["mdy"].any() and not wrong["dmy"].any():
        other = {"mdy": "month first", "dmy": "day first"}[form]
        notes.append(f"its dates fit month/day and day/month: read as {other}")
    return Found("date", form=form, wrong=wrong[form][column.codes], notes=notes)


def _counts_rows(values: np.ndarray) -> bool:
    """Whether a column of numbers just counts: 1, 2, 3, ..."""
    return len(values) >= 100 and bool((np.diff(values) == 1).all())


def options(found: dict[str, Found]) -> dict[str, object]:
    """What the encoder of rows is told of their columns."""
    return {
        "types": {name: what.kind for name, what in found.items()},
        "forms": {name: what.form for name, what in found.items() if what.form},
        "commas": tuple(name for name, what in found.items() if what.comma),
    }
