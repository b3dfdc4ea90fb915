"""Reading a table as it lies: CSV, TSV, JSON lines (also .gz, .xz) and Parquet. Torch-free.

A row that does not fit is set aside with its line and the reason. What is guessed (delimiter, encoding) is said.
"""

from __future__ import annotations

import codecs
import datetime
import decimal
import gzip
import json
import lzma
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from deepen.data.arrivals import arrived
from deepen.data.delimited import parse, sniff
from deepen.data.items import Bad
from deepen.data.raw import RawTable, objects
from deepen.errors import DeepenError, counted, missing_extra, unknown

NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
JSON_LINES = (".jsonl", ".ndjson")
PLAIN = (str, int, float, type(None))
BINARY = 0.01  # a share of NUL characters above which a file is no text


def read(path: str, delimiter: str | None = None, most: int = -1) -> RawTable:
    """The table in a file; `most`: bytes of it that are looked at, -1 for all (of Parquet always)."""
    file = Path(path)
    if not file.is_file():
        raise DeepenError(
            "data.path", path, "no such file" if not file.exists() else "not a file", "a table (.csv, .tsv, .parquet)"
        )
    if file.stat().st_size == 0:
        raise DeepenError("data.empty", path, "the file is empty", "a header line and rows")
    if file.name.lower().endswith(".parquet"):
        return _read_parquet(path)
    delimiter = NAMED.get(delimiter, delimiter) if delimiter else None
    if delimiter is not None and len(delimiter) != 1:
        raise DeepenError(
            "data.delimiter", "data.delimiter", f"got {delimiter!r}", f"one character, or one of {', '.join(NAMED)}"
        )
    text, notes = _decode(path, _bytes(path, most))
    if file.name.lower().removesuffix(".gz").removesuffix(".xz").endswith(JSON_LINES):
        table = _parse_json(path, text)
    else:
        table = parse(path, text, delimiter or sniff(text))
    table.notes[:0] = notes
    return table


def read_both(
    path: str, test: str | None, delimiter: str | None
) -> tuple[RawTable, list[str], list[str | None] | None]:
    """A file with what came to it from service, a test file below it, an id per row, and which rows are for the test."""
    whole = read(path, delimiter)
    own = Path(path).name
    ids = [f"{own}:{line}" for line in whole.lines]
    if more_rows := arrived(Path(path)):
        cells = {name: objects([row.get(name) for row in more_rows.values()]) for name in whole.names}
        whole.columns = [np.concatenate([c, cells[n]]) for n, c in zip(whole.names, whole.columns)]
        whole.notes.append(f"{counted(len(more_rows), 'row')} that came from service")
        ids += more_rows
    if not test:
        return whole, ids, None
    more = read(test, delimiter)
    absent = ", ".join(sorted(set(whole.names) - set(more.names))[:5])
    if absent:
        raise DeepenError("data.columns", test, f"columns differ: no {absent}", f"the columns of {path}")
    split: list[str | None] = [None] * len(ids) + ["test"] * len(more.lines)
    whole.vectors = {n: [*v, *more.vectors[n]] for n, v in whole.vectors.items() if n in more.vectors}
    whole.columns = [np.concatenate([c, more.columns[more.names.index(n)]]) for n, c in zip(whole.names, whole.columns)]
    name = Path(test).name if Path(test).name != own else test
    ids += [f"{name}:{line}" for line in more.lines]
    whole.bad += [Bad(f"{name}:{b.id.rpartition(':')[2]}", b.reason) for b in more.bad]
    whole.notes += [f"{name}: {note}" for note in more.notes]
    whole.notes += [
        f"{name}: column {extra!r} left out: not in {own}" for extra in more.names if extra not in whole.names
    ]
    return whole, ids, split


def _bytes(path: str, most: int) -> bytes:
    """A file's content unpacked; cut after whole lines where it is longer than `most`."""
    lower = path.lower()
    opener = gzip.open if lower.endswith(".gz") else lzma.open if lower.endswith(".xz") else open
    try:
        with opener(path, "rb") as stream:
            data = stream.read(most)
            return data[: data.rfind(b"\n") + 1] if len(data) == most else data
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as problem:
        raise DeepenError(
            "data.path", path, getattr(problem, "strerror", None) or str(problem), "a readable file"
        ) from problem


def _decode(path: str, data: bytes) -> tuple[str, list[str]]:
    """The file's text, and what had to be assumed."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), ["the file is UTF-16"]
    if data[: 1 << 20].count(0) > BINARY * min(len(data), 1 << 20):
        raise DeepenError(
            "data.table", path, "NUL bytes throughout: not a text file", "CSV in UTF-8", "export the table as CSV"
        )
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        return text, [
            f"line {line} is not UTF-8: the file is read as Windows-1252 (Latin-1); save it as UTF-8 if wrong"
        ]


def _parse_json(path: str, text: str) -> RawTable:
    """An object a line; what an object lacks is missing in its row."""
    place = Path(path).name
    rows: list[dict[str, object]] = []
    lines: list[int] = []
    bad: list[Bad] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as problem:
            bad.append(Bad(f"{place}:{number}", f"not JSON: {str(problem)[:100]}"))
            continue
        if not isinstance(row, dict):
            bad.append(Bad(f"{place}:{number}", "no JSON object"))
        else:
            rows.append(row)
            lines.append(number)
    if not rows:
        found = f"{bad[0].reason} (line {bad[0].id.rpartition(':')[2]})" if bad else "only empty lines"
        raise DeepenError("data.empty", path, found, 'an object a line: {"text": "...", "label": "..."}')
    nested = {name for row in rows for name, value in row.items() if isinstance(value, (list, dict))}
    notes = [no_lists(name) for name in sorted(nested)]
    cells: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in sorted(nested)}
    vectors = {name: numbers for name, values in cells.items() if (numbers := _vector(values))}
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in nested]
    return RawTable(names, [objects([row.get(name) for row in rows]) for name in names], lines, bad, notes, vectors)


def no_lists(name: str) -> str:
    """The note on a column that is left out."""
    return f"column {name!r} left out: lists and objects are not read"


def absent(field: str, name: str, table: RawTable) -> DeepenError:
    """The error for a column that a table lacks, or that holds what is not read."""
    if no_lists(name) not in table.notes:
        return unknown("data.column", f"data.{field}", name, table.names, what="column")
    wanted = "one value in each row; several labels as one text, such as 'cat; odd', with kind=labels"
    return DeepenError("data.column", f"data.{field}", f"column {name!r} holds lists or objects", wanted)


def _vector(values: list[Any]) -> list[list[float] | None] | None:
    """The values where each is a list of as many numbers or missing, else None."""
    known = [value for value in values if value is not None]
    if not known or not all(isinstance(value, list) and len(value) == len(known[0]) for value in known):
        return None
    numbers = all(type(x) in (int, float) for value in known for x in value)
    return values if numbers and known[0] else None


def _read_parquet(path: str) -> RawTable:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("pyarrow", "tabular", "for Parquet files") from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        raise DeepenError("data.table", path, str(problem).split("\n")[0], "a Parquet file") from problem
    if not table.num_rows:
        raise DeepenError("data.empty", path, "columns without rows", "rows")
    names, columns, notes = [], [], []
    vectors: dict[str, list[list[float] | None]] = {}
    for name, values in zip(table.column_names, table.columns):
        kind = str(values.type)
        if kind.startswith(("list", "struct", "map", "large_list", "fixed_size_list", "binary", "large_binary")):
            if "list" in kind and (numbers := _vector(values.to_pylist())):
                vectors[name] = numbers
            other = f"column {name!r} left out: {kind.partition('<')[0]} values are not read"
            notes.append(no_lists(name) if name in vectors else other)
            continue
        if name in names:
            raise DeepenError("data.table", path, f"column {name!r} stands twice", "a name of its own for each column")
        names.append(name)
        columns.append(objects([_plain(v) for v in _in_microseconds(values, pyarrow).to_pylist()]))
    return RawTable(names, columns, list(range(1, table.num_rows + 1)), notes=notes, vectors=vectors)


def _in_microseconds(values: Any, pyarrow: Any) -> Any:
    """Times that Python can hold: it knows no nanoseconds."""
    kind = values.type
    if getattr(kind, "unit", "") != "ns":
        return values
    known = pyarrow.types
    other = pyarrow.duration if known.is_duration(kind) else pyarrow.time64
    return values.cast(pyarrow.timestamp("us", kind.tz) if known.is_timestamp(kind) else other("us"), safe=False)


def _plain(value: object) -> object:
    """Dates as ISO text, decimals and spans of time (seconds) as numbers; what CSV could hold too stays."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value if isinstance(value, PLAIN) else str(value)
