"""A table in a CSV, TSV, JSON lines or Parquet file (also .gz, .xz): one row per item, one column to predict."""

from __future__ import annotations

from typing import Literal

import numpy as np

from deepen.data import tables
from deepen.data.columns import TYPES, Column, Found, infer, options
from deepen.data.giveaways import giveaways
from deepen.data.items import Bad, Items
from deepen.data.targets import answers_of, kind_of, silent
from deepen.errors import DeepenError, command, counted
from deepen.preprocess.row import Rows, shown

SUMMED = 10  # numbers above one that is their sum, so that this is no chance


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
        whole, ids, split = tables.read_both(self.path, self.test, self.delimiter)
        self._check_names(whole)
        table = dict(zip(whole.names, whole.columns))
        rows = _with_values(table)
        if not rows.all():
            whole.notes.append(f"{counted(int((~rows).sum()), 'row')} without any value passed over")
            table = {name: column[rows] for name, column in table.items()}
        columns = {name: Column.of(name, cells) for name, cells in table.items()}
        if self.target is None:
            stays = np.flatnonzero(rows)
            parts = [split[i] for i in stays] if split else None
            return self._without(whole, table, columns, [ids[i] for i in stays], parts)
        target = self.target
        answer = columns.pop(target)
        kind = self._kind(answer)
        whole.notes += silent(target, table[target])
        found = self._types(columns, whole.notes)
        given = infer(answer, "number") if kind == "number" else None
        stays = np.flatnonzero(rows)
        good, bad = _set_aside(table, found, [ids[i] for i in stays], target, given)
        codes = _codes(answer, given)
        texts, notes = answers_of(answer, kind)
        whole.notes += notes
        leaks = giveaways(columns, found, np.where(good, codes, np.nan), kind)
        if given:
            whole.notes += [f"target {target!r}: {note}" for note in given.notes]
        return Items(
            ids=[ids[i] for i in stays[good]],
            inputs={"row": Rows({n: (f.values if f.kind == "number" else table[n])[good] for n, f in found.items()})},
            encoders={"row": ("row", options(found))},
            target=codes[good].tolist() if given else _take(texts, good),
            kind=kind,
            target_name=target,
            split=[split[i] for i in stays[good]] if split else None,
            columns=Rows({name: column[good] for name, column in table.items() if name != target}),
            bad=whole.bad + bad,
            notes=whole.notes,
            leaks=leaks,
        )

    def _without(
        self, whole: tables.RawTable, table: dict[str, np.ndarray], columns: dict[str, Column], ids: list[str],
        split: list[str | None] | None,
    ) -> Items:  # fmt: skip
        """All columns and none to predict, for what learns without labels."""
        found = self._types(columns, whole.notes)
        good, bad = _set_aside(table, found, ids, "", None)
        kept = {n: (f.values if f.kind == "number" else table[n])[good] for n, f in found.items()}
        return Items(
            ids=[ids[i] for i in np.flatnonzero(good)],
            inputs={"row": Rows(kept)},
            encoders={"row": ("row", options(found))},
            target=[None] * int(good.sum()),
            kind="",
            split=_take(split, good) if split else None,
            columns=Rows({name: column[good] for name, column in table.items()}),
            bad=whole.bad + bad,
            notes=whole.notes,
            missing=DeepenError(
                "data.target",
                self.path,
                "which column to predict is not said",
                f"one of {', '.join(whole.names[:30])}{', ...' if len(whole.names) > 30 else ''}",
                command("train", self.path, f"target={whole.names[-1]}"),
            ),
        )

    def _check_names(self, whole: tables.RawTable) -> None:
        target = [] if self.target is None else [self.target]
        for field, given in (("target", target), ("drop", self.drop), ("types", self.types)):
            for column in given:
                if column not in whole.names:
                    raise tables.absent(field, column, whole)
        for column, wanted in self.types.items():
            if wanted not in TYPES:
                raise DeepenError("data.types", f"data.types.{column}", f"got {wanted!r}", f"one of {', '.join(TYPES)}")

    def _kind(self, answer: Column) -> str:
        if not answer.distinct and not self.kind:
            raise DeepenError(
                "data.target", f"{self.path}: column {answer.name!r}", "every row lacks it", "the answers to learn from"
            )
        return self.kind or kind_of(answer, self.path)

    def _types(self, columns: dict[str, Column], notes: list[str]) -> dict[str, Found]:
        """What each column to learn from holds; what was left out is noted with the reason."""
        found = {}
        for name, column in columns.items():
            if name in self.drop:
                continue
            what = infer(column, self.types.get(name))
            if what.kind in {"drop", "text"}:
                if what.reason:
                    notes.append(f"column {name!r} left out: {what.reason}")
                continue
            found[name] = what
            notes += [f"column {name!r}: {note}" for note in what.notes]
        if not found:
            raise DeepenError(
                "data.columns",
                self.path,
                "no column to learn from is left" + "".join(f"; {n}" for n in notes[:3]),
                "at least one beside the target",
                "say what a column is: data.types={name: number} (or category, date, text, image, audio)",
            )
        return found


def read_table(path: str, delimiter: str | None) -> tuple[list[str], list[np.ndarray], list[Bad]]:
    """Column names, columns (object arrays of text or values), rows that do not fit."""
    table = tables.read(path, delimiter)
    return table.names, table.columns, table.bad


def _with_values(table: dict[str, np.ndarray]) -> np.ndarray:
    """Rows in which any cell is filled: spreadsheets leave empty ones behind."""
    some: np.ndarray = np.zeros(len(next(iter(table.values()))), bool)
    for column in table.values():
        some |= (column != "") & (column != None)  # noqa: E711  (element by element)
        if some.all():
            break
    return some


def _set_aside(
    table: dict[str, np.ndarray], found: dict[str, Found], ids: list[str], target: str, given: Found | None
) -> tuple[np.ndarray, list[Bad]]:
    """Which rows stay, and the others with the cell that does not fit."""
    good = np.ones(len(ids), bool)
    bad = []
    everything = {**found, target: given} if given else found
    for name, what in everything.items():
        if not len(what.wrong):
            continue
        wanted = "a number" if what.kind == "number" else "a date"
        for row in np.flatnonzero(what.wrong & good):
            bad.append(Bad(ids[row], f"column {name!r} holds {shown(table[name][row])}, not {wanted}"))
        good &= ~what.wrong
    total = next((name for name, what in everything.items() if what.kind == "number" and _sums_up(what.values)), None)
    if total is not None and good[-1]:
        good[-1] = False
        bad.append(Bad(ids[-1], f"a row of totals: column {total!r} holds the sum of the rows above"))
    return good, bad


def _sums_up(values: np.ndarray) -> bool:
    """Whether the last of a column's numbers is the sum of all before it, which no item's is."""
    known = values[:-1][np.isfinite(values[:-1])]
    last = values[-1]
    return len(known) >= SUMMED and bool(last > np.abs(known).max() and abs(last - known.sum()) <= 1e-6 * last)


def _codes(answer: Column, given: Found | None) -> np.ndarray:
    """float64 (n,): numbers, or a code per class; NaN where there is no answer."""
    if given:
        return given.values
    return np.where(answer.there[answer.codes], answer.codes, np.nan).astype(np.float64)


def _take(values: list[str | None], which: np.ndarray) -> list[str | None]:
    return [values[i] for i in np.flatnonzero(which)]
