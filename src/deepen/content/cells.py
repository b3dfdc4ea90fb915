"""What a cell of a table holds: a number, a date, a text, or one of the many ways to write that nothing is there. Torch-free."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

import numpy as np

LARGEST_NUMBER = 3.4e38  # float32
MISSING = frozenset(
    {"", "?", "na", "n/a", "n.a.", "nan", "nat", "nil", "null", "none", "<na>", "-", "--"}
    | {"#n/a", "#na", "#null!", "#div/0!", "#value!", "#ref!", "#num!", "#name?"}  # what spreadsheets leave behind
)


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


_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:([,'  ])\d{3})(?:\1\d{3})*(\.\d+)?")  # 1,234,567.8, not 0,123
_COMMA = re.compile(r"[-+]?([1-9]\d{0,2}(?:([.'  ])\d{3})(?:\2\d{3})*|\d*)(,\d+)?")  # 1.234.567,8
_SYMBOL = re.compile(r"^([-+]?)\s*[$€£¥]\s*|\s*[$€£¥]$")


def number_of(text: str, comma: bool = False) -> float:
    """The number a text stands for: `1e-3`, `1,234.5`, `12 %` (0.12), `$3`; ValueError where it is none.

    comma  the decimal sign is a comma: `1.234,5` is 1234.5
    """
    if not comma and "_" not in text:  # Python would take 1_2 for 12
        try:
            return float(text)
        except ValueError:
            pass
    body = _SYMBOL.sub(r"\1", text.strip())
    percent = body.endswith("%")
    body = body.rstrip("% ")
    if comma and _COMMA.fullmatch(body):
        body = re.sub(r"[.'  ]", "", body).replace(",", ".")
    elif not comma and _GROUPED.fullmatch(body):
        body = re.sub(r"[,'  ]", "", body)
    elif "_" in body:
        raise ValueError(text)
    return float(body) / (100 if percent else 1)


_PARTS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?:[ T]+(.+))?")
_NAMED = re.compile(r"(?:(\d{1,2})[-/. ]+([a-z]{3})[a-z]*|([a-z]{3})[a-z]*[. ]+(\d{1,2}))[-/., ]+(\d{4}|\d{2})", re.I)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:\s*([ap])\.?m\.?)?", re.I)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def date_or_none(value: Any, form: str = "") -> datetime.datetime | None:
    """A date or time as the clock on the wall shows it, whatever its zone; None where missing. See `_moment`."""
    found = _moment(value, form)
    return None if found is None else found.replace(tzinfo=None)


def seconds_of(value: Any, form: str = "") -> float:
    """A date or time in seconds, NaN where missing: of one with an offset (`+02:00`, `Z`) those in UTC."""
    found = _moment(value, form)
    if found is None:
        return math.nan
    offset = found.utcoffset() or datetime.timedelta()
    return (found.replace(tzinfo=None) - datetime.datetime.min - offset).total_seconds()


def _moment(value: Any, form: str) -> datetime.datetime | None:
    """A date or time in ISO 8601 (also `20141013T000000`, `2014/10/13`) or `1-Jan-1995`; None where missing.

    form  "mdy" reads `10/13/2014`, "dmy" `13/10/2014` and `13.10.2014`, both also with `9:30` or `9:30 pm` after it
    ValueError where it is none of these.
    """
    text = text_or_none(value)
    if text is None:
        return None
    if form and (found := _PARTS.fullmatch(text)):
        first, _, second, year, clock = found.groups()
        day, month = (second, first) if form == "mdy" else (first, second)
        return datetime.datetime(_year(year), int(month), int(day), *_clock(clock))
    if text[:1].isalpha() or "-" in text[1:3] or " " in text[1:3]:
        if not (found := _NAMED.fullmatch(text)):
            raise ValueError(f"no date: {text!r}")
        day, month, month_first, day_second, year = found.groups()
        name = (month or month_first).lower()
        return datetime.datetime(_year(year), _MONTHS.index(name) + 1, int(day or day_second))
    return datetime.datetime.fromisoformat(text.replace("/", "-"))


def _year(text: str) -> int:
    """69 is 1969, 68 is 2068, as POSIX has it."""
    return int(text) if len(text) == 4 else int(text) + (1900 if int(text) >= 69 else 2000)


def _clock(text: str | None) -> tuple[int, int, int]:
    if text is None:
        return 0, 0, 0
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        raise ValueError(f"no time: {text!r}")
    hour, minute, second, half = found.groups()
    if half and not 1 <= int(hour) <= 12:
        raise ValueError(f"no time: {text!r}")
    hours = int(hour) % 12 + (12 if half.lower() == "p" else 0) if half else int(hour)
    return hours, int(minute), int(second or 0)


def number_or_nan(cell: Any, comma: bool = False) -> float:
    """A cell as a number, NaN where it is missing; ValueError, OverflowError or TypeError where it is none."""
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return float(cell)
    text = text_or_none(cell)
    return math.nan if text is None else number_of(text, comma)


def shown(cell: Any) -> str:
    """A cell for an error, cut where it is long."""
    text = repr(cell)
    return text if len(text) <= 60 else text[:57] + "..."
