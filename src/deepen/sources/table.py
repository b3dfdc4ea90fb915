"""A table in a CSV, TSV or Parquet file (also .gz, .xz): one row per item, one column to predict."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, missing_extra, unknown
from deepen.preprocess.row import MISSING, Rows, date_or_none, text_or_none

FEW = 20  # a whole-number target with at most this many values counts as classes
LARGEST_CELL = 1 << 20


class Table:
    """Column types are inferred and shown; `types` overrules them ({zip: category}), `drop` leaves columns out.

    target  the column to predict
    test    a second file with the same columns, kept for the test
    """

    def __init__(
        self,
        path: str,
        target: str | None = None,
        test: str | None = None,
        kind: Literal["classes", "number", "labels"] | None = None,
        types: dict[str, str] | None = None,
        drop: tuple[str, ...] = (),
        delimiter: str | None = None,
    ) -> None:
        self.path, self.target, self.test, self.kind = path, target, test, kind
        self.types, self.drop, self.delimiter = types or {}, drop, delimiter

    def read(self) -> Items:
        names, columns, bad = read_table(self.path, self.delimiter)
        first = len(columns[0]) if columns else 0
        if self.test:
            more_names, more, more_bad = read_table(self.test, self.delimiter)
            if set(more_names) != set(names):
                odd = sorted(set(names) ^ set(more_names))
                raise DeepenError(
                    "data.columns", self.test, f"columns differ: {', '.join(odd[:5])}", f"the columns of {self.path}"
                )
            columns = [np.concatenate([c, more[more_names.index(n)]]) for n, c in zip(names, columns)]
            bad += more_bad
        table = dict(zip(names, columns))
        if self.target is None:
            raise DeepenError(
                "data.target",
                f"{self.path}",
                "which column to predict is not said",
                f"one of {', '.join(names)}",
                f"deepen train {self.path} target={names[-1]}",
            )
        for column in (self.target, *self.drop, *self.types):
            if column not in table:
                raise unknown(
                    "data.column",
                    f"data.{'target' if column == self.target else 'types or drop'}",
                    column,
                    names,
                    what="column",
                )
        target = table.pop(self.target)
        for column in self.drop:
            del table[column]
        kind = self.kind or target_kind(target)
        types, notes = self._types(table)
        if not types:
            raise DeepenError(
                "data.columns", self.path, "no column to learn from is left", "at least one beside the target"
            )
        notes += giveaways(table, types, target, kind)
        rows = {name: as_number(table[name]) if types[name] == "number" else table[name] for name in types}
        total = len(target)
        ids = [
            f"{Path(self.path).name}:{i + 2}" if i < first else f"{Path(str(self.test)).name}:{i - first + 2}"
            for i in range(total)
        ]
        return Items(
            ids=ids,
            inputs={"row": Rows(rows)},
            encoders={"row": ("row", {"types": types})},
            target=[text_or_none(v) for v in target] if kind != "number" else target.tolist(),
            kind=kind,
            target_name=self.target,
            split=[None if i < first else "test" for i in range(total)] if self.test else None,
            columns=Rows(table),
            bad=bad,
            notes=notes,
        )

    def _types(self, table: dict[str, np.ndarray]) -> tuple[dict[str, str], list[str]]:
        """Type per column, and what was left out with the reason."""
        types, notes = {}, []
        for name, column in table.items():
            found = self.types.get(name) or infer(column)
            if found not in {"number", "date", "category", "drop"} and name not in self.types:
                notes.append(f"column {name!r} left out: {found}")
                continue
            if found not in {"number", "date", "category", "drop"}:
                raise DeepenError(
                    "data.types", f"data.types.{name}", f"got {found!r}", "number, date, category or drop"
                )
            if found != "drop":
                types[name] = found
        return types, notes


def read_table(path: str, delimiter: str | None) -> tuple[list[str], list[np.ndarray], list[Bad]]:
    """Column names, columns (object arrays of text or values), rows that do not fit."""
    file = Path(path)
    if not file.is_file():
        raise DeepenError("data.path", path, "no such file", "a table (.csv, .tsv, .parquet)")
    if file.stat().st_size == 0:
        raise DeepenError("data.empty", path, "the file is empty", "a header line and rows")
    if file.name.lower().endswith(".parquet"):
        return _read_parquet(path)
    opener = gzip.open if path.endswith(".gz") else lzma.open if path.endswith(".xz") else open
    try:
        with opener(path, "rb") as stream:
            data = stream.read()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DeepenError(
            "data.encoding", path, f"byte {problem.start} is not UTF-8", "a text file in UTF-8", "save it as UTF-8"
        ) from problem
    except (OSError, EOFError, lzma.LZMAError) as problem:
        raise DeepenError("data.path", path, str(problem), "a readable file") from problem
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DeepenError("data.table", f"{path}:{line}", "a NUL byte", "text", "export the table again as CSV")
    return _parse(path, text, delimiter)


def _parse(path: str, text: str, delimiter: str | None) -> tuple[list[str], list[np.ndarray], list[Bad]]:
    head = text[: text.find("\n")] if "\n" in text else text
    delimiter = delimiter or max(",\t;|", key=head.count)
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as problem:
        raise DeepenError("data.table", f"{path}:{reader.line_num}", str(problem), "CSV") from problem
    names = [name.strip() for name in rows[0][1]] if rows else []
    if len(names) < 2:
        raise DeepenError(
            "data.table",
            f"{path}:1",
            f"one column ({head[:60]!r})",
            "a header line with at least two columns",
            "another delimiter? data.delimiter=';'",
        )
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or "" in names:
        raise DeepenError(
            "data.table",
            f"{path}:1",
            f"column {twice[0]!r} stands twice" if twice and twice[0] else "a column without a name",
            "a name of its own for each column",
        )
    good = [row for _, row in rows[1:] if len(row) == len(names)]
    place = Path(path).name
    bad = [
        Bad(f"{place}:{line}", f"{len(row)} cells where the header has {len(names)}")
        for line, row in rows[1:]
        if len(row) != len(names)
    ]
    if not good:
        raise DeepenError(
            "data.empty", path, "a header without rows" if not bad else bad[0].reason, "rows that fit the header"
        )
    columns = []
    for cells in zip(*good):
        column = np.empty(len(cells), object)
        column[:] = cells
        columns.append(column)
    return names, columns, bad


def _read_parquet(path: str) -> tuple[list[str], list[np.ndarray], list[Bad]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_extra("pyarrow", "tabular", "for Parquet files") from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as problem:
        raise DeepenError("data.table", path, str(problem).split("\n")[0], "a Parquet file") from problem
    columns = []
    for values in table.columns:
        column = np.empty(len(values), object)
        column[:] = [v.isoformat() if hasattr(v, "isoformat") else v for v in values.to_pylist()]
        columns.append(column)
    return table.column_names, columns, []


def infer(column: np.ndarray) -> str:
    """number, date, category; or the reason why a column cannot be learnt from."""
    texts = [text_or_none(v) for v in column]
    known = [t for t in texts if t is not None]
    if not known:
        return "all values are missing"
    distinct = set(known)
    if len(distinct) == 1:
        return (
            f"constant ({known[0]!r})" if len(known) == len(texts) else "category"
        )  # missing or not may say something
    if _all(float, distinct):
        return "number"
    if all(len(t) >= 8 and t[0].isdigit() for t in distinct) and _all(date_or_none, distinct):
        return "date"
    if len(distinct) > 0.5 * len(known) and len(distinct) > 50:
        return f"nearly every value is different ({len(distinct)} in {len(known)} rows), like a name or a number plate"
    return "category"


def target_kind(column: np.ndarray) -> str:
    """classes or number: text is classes, so are few whole numbers."""
    known = {t for t in map(text_or_none, column) if t is not None}
    if not known or not _all(float, known):
        return "classes"
    whole = all(float(t).is_integer() for t in known)
    return "classes" if whole and len(known) <= FEW else "number"


def as_number(column: np.ndarray) -> np.ndarray:
    """float64, NaN where missing."""
    return np.array([np.nan if (t := text_or_none(v)) is None else float(t) for v in column])


def giveaways(table: dict[str, np.ndarray], types: dict[str, str], target: np.ndarray, kind: str) -> list[str]:
    """Columns that all but name the answer: in real use they are seldom known beforehand."""
    notes = []
    truth = [text_or_none(v) for v in target]
    for name in types:
        pairs = [(text_or_none(v), t) for v, t in zip(table[name], truth) if t is not None]
        values = {v for v, _ in pairs}
        answers = {t for _, t in pairs}
        if kind == "number":
            same = sum(v == t for v, t in pairs)
            if same > 0.99 * len(pairs):
                notes.append(f"column {name!r} equals the target: it gives the answer away")
        elif 1 < len(values) <= max(2 * len(answers), 10) and len(set(pairs)) == len(values) and len(answers) > 1:
            notes.append(
                f"column {name!r} names the target ({len(values)} values, each with one answer): it gives the answer away"
            )
    return notes


def _all(convert: Any, texts: set[str]) -> bool:
    try:
        for text in texts:
            convert(text)
    except ValueError:
        return False
    return not any(t.lower() in MISSING for t in texts)
