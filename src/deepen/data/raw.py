"""A table as it was read: what every form of file becomes. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deepen.data.items import Bad


@dataclass
class RawTable:
    """Columns as they stand in the file: object arrays of text (CSV) or of values (Parquet); `lines` where rows lie.

    vectors  columns in which each cell is a list of as many numbers, or nothing; they are not among the columns
    """

    names: list[str]
    columns: list[np.ndarray]
    lines: list[int]
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vectors: dict[str, list[list[float] | None]] = field(default_factory=dict)


def objects(cells: tuple[object, ...] | list[object]) -> np.ndarray:
    column = np.empty(len(cells), object)
    column[:] = cells
    return column
