"""What is known of things or people beside what happens: a table of its own, its columns by the key they are kept under.

As numbers: (value - mean) / deviation, 0 where there is none; of a category one number for each value that two rows have.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deepen.content.cells import number_or_nan, text_or_none
from deepen.data import tables
from deepen.data.columns import Column, infer
from deepen.errors import counted, unknown

MOST = 50  # values of a category, the commonest
LARGEST = 5.0  # a number's deviations from the mean, at most


def columns(
    path: str, key: str, field: str, whose: str, delimiter: str | None, notes: list[str]
) -> tuple[list[str | None], dict[str, np.ndarray], dict[str, str]]:
    """The keys of a table's rows, its columns of numbers and categories, and what each is; the others are noted."""
    table = tables.read(path, delimiter)
    if key not in table.names:
        raise unknown("data.column", f"{path}: data.{field}", key, table.names, what="column")
    cells = dict(zip(table.names, table.columns))
    keys = [text_or_none(cell) for cell in cells.pop(key).tolist()]
    known = [name for name in keys if name]
    if again := len(known) - len({*known}):
        notes.append(f"{counted(again, 'row')} of the table of {whose} for one that has a row: the last of each counts")
    types = {}
    for name, column in cells.items():
        what = infer(Column.of(name, column))
        if what.kind in {"number", "category"} and not what.wrong.any():
            types[name] = what.kind
        else:
            notes.append(f"column {name!r} of the {whose} left out: {what.reason or 'not numbers or categories'}")
    return keys, {name: cells[name] for name in types}, types


def numbers(
    keys: list[str | None], cells: dict[str, np.ndarray], types: dict[str, str]
) -> dict[str, tuple[float, ...]]:
    """Of each key the numbers of its row; of a key that comes again the last."""
    parts = [_number(cells[name]) if kind == "number" else _values(cells[name]) for name, kind in types.items()]
    rows = np.concatenate(parts, 1).round(4).tolist() if parts else [[] for _ in keys]
    return {key: tuple(row) for key, row in zip(keys, rows) if key is not None}


def _number(column: np.ndarray) -> np.ndarray:
    values = np.array([number_or_nan(cell) for cell in column.tolist()], np.float64)
    values[~np.isfinite(values)] = np.nan
    scale = np.nanstd(values)
    return np.nan_to_num(np.clip((values - np.nanmean(values)) / (scale if scale > 0 else 1), -LARGEST, LARGEST))[
        :, None
    ]


def _values(column: np.ndarray) -> np.ndarray:
    texts: list[Any] = [text_or_none(cell) for cell in column.tolist()]
    known, count = np.unique([text for text in texts if text is not None], return_counts=True)
    order = np.argsort(-count, kind="stable")[:MOST]
    code = {known[i]: place for place, i in enumerate(order) if count[i] > 1}
    result = np.zeros((len(texts), len(code)))
    for row, text in enumerate(texts):
        if text in code:
            result[row, code[text]] = 1
    return result
