"""What the columns of a table hold: their types, and which of them give the answer away. Torch-free.

Cells repeat themselves, so every question is asked of a column's distinct texts and answered for its rows by index.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from deepen.errors import DeepenError, counted
from deepen.preprocess.row import MISSING, date_or_none, number_of, shown, text_or_none

FEW = 20  # a whole-number target with at most this many values counts as classes
STRAY = 0.02  # up to this share of a column's cells may be no number (no date): their rows are set aside
LEAK = 0.01  # a column that leaves less than this share of the mistakes of always guessing the commonest answer
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
    words = float(np.mean([len(t.split()) for t in distinct[:1000]]))
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
    notes = ["its numbers are read with a decimal comma"] if comma else []
    infinite = int(column.counts[np.isinf(values)].sum())
    if infinite:
        notes.append(f"{counted(infinite, 'infinite value')} taken as missing")
    values = np.where(np.isfinite(values), values, np.nan)
    return Found("number", comma=comma, wrong=wrong[column.codes], values=values[column.codes], notes=notes)


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


def target_kind(column: Column) -> str:
    """classes or number: text is classes, so are few whole numbers."""
    values, wrong = column.numbers()
    if not column.distinct or column.share(wrong) > STRAY or (wrong.any() and len(column.distinct) <= FEW):
        comma_wrong = column.numbers(comma=True)[1]
        return "number" if column.distinct and len(column.distinct) > FEW and not comma_wrong.any() else "classes"
    known = values[np.isfinite(values)]
    return "classes" if bool((known == np.round(known)).all()) and len(known) <= FEW else "number"


def kind_of(column: Column, path: str) -> str:
    """target_kind, where the column is one that can be learnt."""
    count = len(column.distinct)
    kind = target_kind(column)
    if kind == "classes" and count > 50 and count > 0.5 * column.known:
        raise DeepenError(
            "data.target",
            f"{path}: column {column.name!r}",
            f"{count} different texts in {column.known} rows, such as {shown(column.distinct[0])}",
            "classes that repeat, or numbers",
            "another target, data.kind=classes if it is meant, or data.name=pairs to have such texts written",
        )
    if kind == "classes" and count > FEW and infer(column).kind == "date":
        raise DeepenError(
            "data.target",
            f"{path}: column {column.name!r}",
            f"{count} different dates, such as {shown(column.distinct[0])}: each would be a class of its own",
            "classes, or numbers",
            "a column that counts days or hours in its place, or data.kind=classes if it is meant",
        )
    return kind


def silent(name: str, cells: np.ndarray) -> list[str]:
    """Which texts in the target count as no answer: one of them may have been meant as a class."""
    marks = Counter(
        cell for cell in cells.tolist() if isinstance(cell, str) and cell.strip() and not text_or_none(cell)
    )
    return [f"target {name!r}: {shown(mark)} counts as no label ({counted(n, 'row')})" for mark, n in marks.items()]


def class_names(column: Column) -> list[str | None]:
    """A class per row; 1 and 1.0 in one column are the same class."""
    values, wrong = column.numbers()
    whole = not wrong.any() and bool(np.isfinite(values[column.there]).all())
    whole = whole and bool((values[column.there] == np.round(values[column.there])).all())
    if whole and any("." in t for t in column.distinct):
        texts = [None if t is None else str(int(v)) for t, v in zip(column.texts, values)]
    else:
        texts = list(column.texts)
    return [texts[code] for code in column.codes.tolist()]


# ---------------------------------------------------------------- columns that give the answer away


def giveaways(columns: dict[str, Column], found: dict[str, Found], answers: np.ndarray, kind: str) -> list[str]:
    """Columns that all but name the answer: in real use they are seldom known beforehand.

    answers  float64 (n,): the number, or the class's code; NaN where there is none
    """
    known = np.isfinite(answers)
    if known.sum() < 20 or kind == "labels":
        return []
    notes = []
    for name, what in found.items():
        if kind == "number":
            gives = _gives_number(columns[name], what, answers, known)
        else:
            gives = _gives_class(columns[name], what, answers, known)
        if gives:
            notes.append(f"column {name!r} gives the answer away: {gives}")
    return notes


def _gives_number(column: Column, what: Found, answers: np.ndarray, known: np.ndarray) -> str:
    if what.kind == "number":
        both = known & np.isfinite(what.values)
        x, y = what.values[both], answers[both]
        if len(x) < 20 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return ""
        if np.mean(x == y) > 0.99:
            return "it equals the target"
        if len(np.unique(x)) > FEW and abs(np.corrcoef(_ranks(x), _ranks(y))[0, 1]) > 0.9999:
            return "it rises and falls with the target, item by item"
        return ""
    codes, y = column.codes[known], answers[known]
    count = np.bincount(codes, minlength=len(column.texts))
    if len(column.texts) > len(y) / 5 or len(np.unique(y)) < 3:
        return ""
    mean = np.bincount(codes, y, len(column.texts)) / np.maximum(count, 1)
    within = float(((y - mean[codes]) ** 2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-300))
    return "each of its values has one answer" if within < 1e-6 else ""


def _gives_class(column: Column, what: Found, answers: np.ndarray, known: np.ndarray) -> str:
    labels = answers[known].astype(np.int64)
    classes = int(labels.max()) + 1
    mistakes = len(labels) - int(np.bincount(labels).max())  # of always guessing the commonest class
    if mistakes < 5:
        return ""
    ordered = what.kind == "number"
    if ordered:
        values = np.where(np.isfinite(what.values[known]), what.values[known], -np.inf)
        groups = np.unique(values, return_inverse=True)[1]
    else:
        groups = column.codes[known]
    size = int(groups.max()) + 1
    if not ordered and size > len(labels) / 5:
        return ""
    pairs, count = np.unique(groups * classes + labels, return_counts=True)
    most = np.zeros(size, np.int64)
    np.maximum.at(most, pairs // classes, count)
    wrong = len(labels) - int(most.sum())
    if ordered and size > len(labels) / 5:  # hardly any value repeats: how often does the answer change along it?
        best = np.zeros(size, np.int64)
        best[pairs // classes] = pairs % classes
        wrong += max(0, int((np.diff(best) != 0).sum()) - classes + 1)
    if wrong > LEAK * mistakes:
        return ""
    return f"it alone tells the class in {1 - wrong / len(labels):.2%} of the rows"


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].astype(np.float64)
