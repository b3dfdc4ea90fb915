"""Rows in a text file, their cells parted by a delimiter, which is guessed where it is not said. Torch-free.

A row that does not fit the header is set aside with its line and the reason; so are rows within a quote that is not closed.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from pathlib import Path

from deepen.data.items import Bad
from deepen.data.raw import RawTable, objects
from deepen.errors import DeepenError, counted

LARGEST_CELL = 1 << 20  # characters
DELIMITERS = (",", ";", "\t", "|")
SAID = re.compile(r"sep=(.)\r?\n")
SWALLOWED = 3  # lines in one cell that each look like a row


def sniff(text: str) -> str:
    """The delimiter a spreadsheet says in a first line of its own, else that under which the first rows have the same
    number of cells, the more the better."""
    if said := SAID.match(text):
        return said[1]
    head = text[: 1 << 16].splitlines(keepends=True)[:50]
    best, delimiter = 0.0, ","
    for candidate in DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(head, delimiter=candidate) if row]
        except csv.Error:
            continue
        width = widths[0] if widths else 0
        score = widths.count(width) / len(widths) * width if width > 1 else 0
        if score > best:
            best, delimiter = score, candidate
    return delimiter


def parse(path: str, text: str, delimiter: str) -> RawTable:
    place = Path(path).name
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] = []
    notes: list[str] = []
    good: list[list[str]] = []
    lines: list[int] = []
    bad: list[Bad] = []
    whole = functools.cache(lambda: io.StringIO(text, newline="").readlines())
    last = 0
    ends = False  # whether rows end with a delimiter that the header lacks
    while True:
        try:
            row = next(reader, None)
            if row and names and len(row) == len(names) + 1 and not row[-1] and (ends or not (good or bad)):
                ends = True
                row.pop()
            reason = "" if row is None or not names else _misfit(row, names, reader.line_num - last, delimiter)
        except csv.Error:
            row, reason = [""], "a cell of more than a million characters: a quote that is not closed?"
        if row is None:
            break
        start, last = last + 1, reader.line_num
        if not row or (start == 1 and SAID.match(text)):
            continue
        if not names:
            names, notes = _header(path, row, start)
        elif reason:
            bad.append(Bad(f"{place}:{start}", reason))
            bad += _swallowed(place, whole() if last > start else [], start, last, len(names) - 1, delimiter)
        else:
            good.append(row)
            lines.append(start)
    if good and last > lines[-1] == start and _unclosed(text, start, delimiter):
        good.pop()
        bad.append(Bad(f"{place}:{lines.pop()}", f"a quote that is not closed takes up lines {start} to {last}"))
        bad += _swallowed(place, whole(), start, last, len(names) - 1, delimiter)
    if not names:
        raise DeepenError("data.empty", path, "only empty lines", "a header line and rows")
    if not good:
        found = f"{bad[0].reason} (line {bad[0].id.rpartition(':')[2]})" if bad else "a header without rows"
        raise DeepenError("data.empty", path, found, "rows that fit the header")
    notes += ["its rows end with a delimiter, its header does not"] * ends
    return RawTable(names, [objects(cells) for cells in zip(*good)], lines, bad, notes)


def _misfit(row: list[str], names: list[str], height: int, delimiter: str) -> str:
    """Why a row over `height` lines does not fit, or nothing."""
    if row and len(row) != len(names):
        over = f" over {height} lines: a quote that is not closed?" if height > 1 else ""
        return f"{counted(len(row), 'cell')} where the header has {len(names)}{over}"
    for cell in row if height > SWALLOWED + 1 else ():  # a quote may close by chance where the cells fit again
        inside = cell.split("\n")[1:-1]
        if len(inside) >= SWALLOWED and all(line.count(delimiter) == len(names) - 1 for line in inside):
            return f"{len(inside)} lines inside a quote look like rows: a quote that is not closed?"
    if row == names:
        return "the header once more"
    if "\0" in "".join(row):
        return "a NUL byte"
    return ""


def _swallowed(place: str, lines: list[str], start: int, last: int, delimiters: int, delimiter: str) -> list[Bad]:
    """The rows that a bad one from line `start` to `last` holds within a quote: each is lost, and counts."""
    found = [n for n in range(start + 1, last + 1) if lines[n - 1].count(delimiter) == delimiters]
    return [Bad(f"{place}:{n}", "within a quote that is not closed") for n in found] if len(found) >= SWALLOWED else []


def _unclosed(text: str, line: int, delimiter: str) -> bool:
    """Whether the record that begins in `line` ends with the file inside a quote."""
    rest = "".join(io.StringIO(text, newline="").readlines()[line - 1 :])
    try:
        for _ in csv.reader(io.StringIO(rest, newline=""), delimiter=delimiter, strict=True):
            pass
    except csv.Error as problem:
        return "unexpected end" in str(problem)
    return False


def _header(path: str, row: list[str], line: int) -> tuple[list[str], list[str]]:
    """Column names; one without a name is called by its number."""
    names = [re.sub(r"\s*[\r\n]+\s*", " ", name.strip()) for name in row]  # spreadsheets break long ones
    if len(names) < 2:
        raise DeepenError(
            "data.table",
            f"{path}:{line}",
            f"one column ({row[0][:60]!r})",
            "a header line with at least two columns",
            "another delimiter? data.delimiter=';'",
        )
    notes = [f"column {i} has no name: called 'column {i}'" for i, name in enumerate(names, 1) if not name]
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DeepenError(
            "data.table", f"{path}:{line}", f"column {twice!r} stands twice", "a name of its own for each column"
        )
    if all(name.replace(".", "", 1).lstrip("+-").isdigit() for name in names):
        notes.append("the header holds only numbers: does the file begin with its column names?")
    return names, notes
