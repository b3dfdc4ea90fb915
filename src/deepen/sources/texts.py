"""Texts with a label: a column of a table (CSV, TSV, JSON lines, Parquet), or files in a folder per class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepen.content.scripts import pieces as usual_pieces
from deepen.data import tables
from deepen.data.columns import Column, infer
from deepen.data.items import Bad, Items
from deepen.data.targets import answers_of, kind_of, silent
from deepen.data.vocabulary import read as read_vocabulary
from deepen.errors import DeepenError, command, counted, unknown
from deepen.preprocess import LARGEST_TEXT
from deepen.preprocess.row import Rows, shown
from deepen.preprocess.text import together
from deepen.schema import Count

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
UNLABELLED = {"unlabeled", "unlabelled", "unsup"}
LARGEST_FILE = 4 * LARGEST_TEXT  # bytes: no character takes more than 4
LOST = "\ufffd"  # what stands where a character could not be read


class Texts:
    """Texts from a table, or from reviews/good/1.txt and reviews/train/good/1.txt; those under `unlabeled/` have no label.

    target    the column to predict
    text      the column of texts, or several that are read one after the other; none: all of free text
    test      a second file with the same columns, kept for the test
    pieces    what a text is cut into; none: words, or characters where the language has no blanks between words
    longest   pieces of a text that are looked at, from its beginning
    most      pieces in the vocabulary
    at_least  times that a piece must occur in the training texts to be in it
    lower     capital letters count as small ones
    vocabulary  a folder with a checkpoint's tokenizer, in place of pieces that are learnt
    """

    def __init__(
        self,
        path: str,
        target: str | None = None,
        text: tuple[str, ...] | None = None,
        test: str | None = None,
        kind: Literal["classes", "number", "labels"] | None = None,
        pieces: Literal["word", "character", "bytepair"] | None = None,
        longest: Count = 256,
        most: Count = 20_000,
        at_least: Count = 2,
        lower: bool = True,
        vocabulary: str | None = None,
        delimiter: str | None = None,
    ) -> None:
        self.path, self.target, self.text, self.test = path, target, text, test
        self.kind, self.delimiter = kind, delimiter
        self.options: dict[str, Any] = {
            "pieces": pieces,
            "longest": longest,
            "most": most,
            "at_least": at_least,
            "lower": lower,
        }
        if vocabulary is not None:
            self.options |= read_vocabulary(vocabulary)

    def read(self) -> Items:
        return self._folder() if Path(self.path).is_dir() else self._table()

    # ---------------------------------------------------------------- a table

    def _table(self) -> Items:
        whole, ids, split = tables.read_both(self.path, self.test, self.delimiter)
        table = dict(zip(whole.names, whole.columns))
        target = self.target or self._no_target(whole)
        if target not in whole.names:
            raise tables.absent("target", target, whole)
        names = self._texts(table, target)
        texts = _objects([together(cells) for cells in zip(*(table[name].tolist() for name in names))])
        answer = Column.of(target, table[target])
        kind = self.kind or kind_of(answer, self.path)
        number = infer(answer, "number") if kind == "number" else None
        reasons = [_reason(text) for text in texts]
        if number:
            for row in np.flatnonzero(number.wrong):
                reasons[row] = reasons[row] or f"column {target!r} holds {shown(table[target][row])}, not a number"
        labels, said = answers_of(answer, kind)
        others = [name for name in whole.names if name != target and name not in names]
        notes = [f"column {name!r} left out: only the text is learnt from" for name in others]
        columns = Rows({name: table[name] for name in others})
        bad = whole.bad + [Bad(name, reason) for name, reason in zip(ids, reasons) if reason]
        if kind == "classes" and (several := sum(" " in text.strip() for text in answer.distinct)) > 1:
            notes.append(f"{several} of the classes are several words: to have texts written, data.name=pairs")
        notes = whole.notes + silent(target, table[target]) + said + notes
        given: list[Any] = number.values.tolist() if number else labels
        return self._items(ids, texts, given, kind, reasons, split, columns, bad, notes, target, tuple(names))

    def _no_target(self, whole: tables.RawTable) -> str:
        names = whole.names
        raise DeepenError(
            "data.target",
            self.path,
            "which column to predict is not said",
            f"one of {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}",
            command("train", self.path, f"target={names[0]}"),
        )

    def _texts(self, table: dict[str, np.ndarray], target: str) -> list[str]:
        """The columns that hold the texts."""
        if self.text:
            absent = next((name for name in self.text if name not in table), None)
            if absent is not None:
                raise unknown("data.column", "data.text", absent, table, what="column")
            return list(self.text)
        others = {name: cells for name, cells in table.items() if name != target}
        found = [name for name, cells in others.items() if infer(Column.of(name, cells)).kind == "text"]
        found = found or (list(others) if len(others) == 1 else [])
        if not found:
            raise DeepenError(
                "data.text", self.path, "no column holds free text", f"one of {', '.join(others)}",
                f"say which: text={next(iter(others), 'COLUMN')}",
            )  # fmt: skip
        return found

    # ---------------------------------------------------------------- a folder

    def _folder(self) -> Items:
        root = Path(self.path)
        every = sorted(
            Path(place, name).relative_to(root) for place, _, names in os.walk(root, onerror=_raise) for name in names
        )
        every = [path for path in every if not any(part.startswith(".") for part in path.parts)]
        found = [path for path in every if path.suffix.lower() == ".txt"]
        others = [path.as_posix() for path in every if path.suffix.lower() != ".txt"]
        notes = [f"passed over {counted(len(others), 'file')}, first {others[0]}: no .txt"] if others else []
        top = {name.parts[0] for name in found if len(name.parts) > 2 and name.parts[0].lower() in SPLITS}
        ids, texts, labels, reasons, split = [], [], [], [], []
        for name in found:
            part = SPLITS[name.parts[0].lower()] if name.parts[0] in top else None
            folders = name.parts[1 if part else 0 : -1]
            text, reason = _read(root / name)
            if not folders or (top and part is None and folders[0].lower() not in UNLABELLED):
                reason = "in no class folder" if not folders else f"its folder lies beside {', '.join(sorted(top))}/"
            ids.append(os.fsencode(name.as_posix()).decode("utf-8", "replace"))
            texts.append(text)
            labels.append(None if not folders or folders[0].lower() in UNLABELLED else folders[0])
            reasons.append(reason or _reason(text))
            split.append(part)
        if all(reasons):
            first = f", first {ids[0]}: {reasons[0]}" if ids else ""
            raise DeepenError(
                "data.empty", self.path, f"no text to learn from among {counted(len(ids), '.txt file')}{first}",
                "a folder of .txt files per class", "reviews/good/1.txt, reviews/bad/2.txt, ...",
            )  # fmt: skip
        bad = [Bad(name, reason) for name, reason in zip(ids, reasons) if reason]
        given = split if top else None
        return self._items(
            ids, _objects(texts), labels, "classes", reasons, given, Rows({}), bad, notes, "label", ("text",)
        )

    # ---------------------------------------------------------------- both

    def _items(
        self, ids: list[str], texts: np.ndarray, labels: list[Any], kind: str, reasons: list[str],
        split: list[str | None] | None, columns: Rows, bad: list[Bad], notes: list[str], target: str,
        names: tuple[str, ...],
    ) -> Items:  # fmt: skip
        good = np.flatnonzero([not reason for reason in reasons])
        pieces = self.options["pieces"] or usual_pieces(texts[good])
        lost = sum(LOST in texts[i] for i in good)
        if lost:
            notes = [*notes, f"{counted(lost, 'text')} with characters that were lost before ({LOST}): wrong encoding?"]
        return Items(
            ids=[ids[i] for i in good],
            inputs={"text": texts[good]},
            encoders={"text": ("text", {**self.options, "pieces": pieces, "columns": names})},
            target=[labels[i] for i in good],
            kind=kind,
            target_name=target,
            split=[split[i] for i in good] if split else None,
            columns=columns[good],
            bad=bad,
            notes=notes,
        )


def _raise(problem: OSError) -> None:
    """A folder that cannot be looked into is not passed over in silence."""
    raise problem


def _reason(text: str) -> str:
    """Why a text is set aside, or nothing."""
    if not text.strip():
        return "no text"
    if "\0" in text:
        return "a NUL character: not a text"
    return f"{len(text):,} characters, more than {LARGEST_TEXT:,}" if len(text) > LARGEST_TEXT else ""


def _read(path: Path) -> tuple[str, str]:
    """A file's text, and why there is none."""
    try:
        str(path).encode()
        if path.is_symlink() or not path.is_file():
            return "", "not a plain file"
        if path.stat().st_size > LARGEST_FILE:
            return "", f"{path.stat().st_size >> 20} MB, more than {LARGEST_FILE >> 20}"
        return path.read_bytes().decode("utf-8-sig"), ""
    except UnicodeEncodeError:
        return "", "its name is not UTF-8"
    except UnicodeDecodeError as problem:
        return "", f"not UTF-8 (byte {problem.start})"
    except OSError as problem:
        return "", problem.strerror or "not readable"


def _objects(values: list[str]) -> np.ndarray:
    column = np.empty(len(values), object)
    column[:] = values
    return column
