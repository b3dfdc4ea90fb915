"""The column of a table that is to be predicted: what kind of answer it holds, and the answer of each row. Torch-free."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from deepen.data.columns import FEW, STRAY, Column, infer
from deepen.errors import DeepenError, counted
from deepen.preprocess.row import shown, text_or_none

MARKS = re.compile("[;|]")  # what parts several labels in one text
PARTED = 0.8  # share of parts that stand in several texts, from which on they are labels of their own


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


def answers_of(column: Column, kind: str) -> tuple[list[str | None], list[str]]:
    """A class or the labels of each row as text, and what is to be said of them."""
    texts = _classes(column) if kind == "classes" else column.texts
    notes: list[str] = []
    if kind == "labels" and (parted := _parted(column)):
        texts, name = parted
        notes = [f"target {column.name!r}: its labels are parted by {name}"]
    unsaid = int(column.counts[~column.there].sum()) if kind == "labels" else 0
    if unsaid:
        notes.append(f"target {column.name!r}: {counted(unsaid, 'row')} without a label; where none applies, write ';'")
    return [texts[code] for code in column.codes.tolist()], notes


def _classes(column: Column) -> list[str | None]:
    """The class of each distinct text; 1 and 1.0 in one column are the same class, 01 is a code and stays."""
    values, wrong = column.numbers()
    whole = not wrong.any() and bool(np.isfinite(values[column.there]).all())
    whole = whole and bool((values[column.there] == np.round(values[column.there])).all())
    if not (whole and any("." in t for t in column.distinct)):
        return column.texts
    return [t if t is None or (t[0] == "0" and t.isdigit()) else str(int(v)) for t, v in zip(column.texts, values)]


def _parted(column: Column) -> tuple[list[str | None], str] | None:
    """The texts with `;` for the commas or blanks that part their labels: most parts stand in other texts too."""
    if any(MARKS.search(text) for text in column.distinct):
        return None
    for mark, name in ((",", "commas"), (" ", "blanks")):
        parts = [{part.strip() for part in text.split(mark)} - {""} for text in column.distinct]
        often = Counter(part for each in parts for part in each)
        together = {part for each in parts if len(each) > 1 for part in each}
        if together and sum(often[part] > 1 for part in together) >= PARTED * len(together):
            return [None if text is None else text.replace(mark, ";") for text in column.texts], name
    return None
