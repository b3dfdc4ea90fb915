"""Texts as sequences of numbers: cut into pieces (pieces.py), with a vocabulary from the training texts or a checkpoint.

tokens  int64 (n, length): 0 fills up, 1 is an unknown piece, 2... in the order of `words`
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np

from deepen.content.given import GIVEN, Rules
from deepen.content.pieces import CUTTERS, FIRST, UNKNOWN, Cutter, without_accents
from deepen.errors import Invalid
from deepen.preprocess import cut, written
from deepen.tensors import Arrays, Columns, Ragged, Tensor

Pieces = Literal["word", "character", "bytepair", "wordpiece", "bytelevel", "unigram"]
FEW_UNKNOWN, FEW_CUT = 0.01, 0.01  # shares of pieces and of texts that are worth no word


class Text(msgspec.Struct, frozen=True, dict=True):
    """A text, cut after `longest` pieces.

    words    the vocabulary
    columns  where in a row of a table, or in an object, the text stands; several are read one after the other
    lower    capital letters count as small ones
    newest   of a longer text the last pieces are looked at, not the first
    rules    how a checkpoint cuts beside its names, where it does not cut into WordPieces
    """

    words: tuple[str, ...]
    longest: int = 256
    pieces: Pieces = "word"
    columns: tuple[str, ...] = ("text",)
    lower: bool = True
    newest: bool = False
    rules: Rules | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("tokens", "int64", ("batch", "length"), join="pad"),)

    @property
    def count(self) -> int:
        """How many different numbers there are."""
        return len(self.words) + FIRST

    @property
    def unknown(self) -> int:
        """The number of a piece that is not in the vocabulary."""
        return self._cutter.unknown

    @property
    def noun(self) -> str:
        names = {"bytepair": "byte pairs", "bytelevel": "byte pairs", "wordpiece": "WordPieces"}
        return names.get(self.pieces, f"{self.pieces}s")

    @property
    def shift(self) -> int | None:
        """By how much numbers are above a checkpoint's own; none where they are not a checkpoint's."""
        return FIRST if self.rules is not None else 0 if self.pieces == "wordpiece" else None

    @classmethod
    def fit(
        cls,
        values: Sequence[str],
        most: int = 20_000,
        at_least: int = 2,
        longest: int = 256,
        pieces: Pieces = "word",
        columns: tuple[str, ...] = ("text",),
        lower: bool = True,
        words: tuple[str, ...] | None = None,
        newest: bool = False,
        rules: Rules | None = None,
    ) -> Text:
        """`words`: a given vocabulary, which is then not learnt."""
        if words is None:
            words = CUTTERS[pieces].learn((_case(value, lower) for value in values), most, at_least)
        return cls(words, longest, pieces, columns, lower, newest, rules)

    def grow(self, values: Sequence[str], most: int = 20_000, at_least: int = 2, **_: Any) -> Text:
        """New words or characters behind those known, whose numbers stay; other pieces can spell whatever comes."""
        if self.pieces not in {"word", "character"}:
            return self
        known = set(self.words)
        found = CUTTERS[self.pieces].learn((_case(value, self.lower) for value in values), most, at_least)
        return msgspec.structs.replace(self, words=(*self.words, *(piece for piece in found if piece not in known)))

    @cached_property
    def _cutter(self) -> Cutter:
        if self.rules is not None:
            return GIVEN[self.pieces](self.words, self.rules)
        return CUTTERS[self.pieces](self.words)

    def encode(self, values: Sequence[Any]) -> Arrays:
        rows = []
        for row, value in enumerate(values):
            try:
                rows.append(self.numbers(self.parse(value)))
            except Invalid as problem:
                raise problem.at(row) from None
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for i, numbers in enumerate(rows):
            tokens[i, : len(numbers)] = numbers
        return {"tokens": tokens}

    def numbers(self, text: str) -> list[int]:
        """The pieces of a text that are looked at."""
        if self.pieces == "wordpiece":
            text = without_accents(text) if self.lower else text
        elif self.rules is None:
            text = _case(text, self.lower)
        found, behind = self._cutter.numbers(text), self._cutter.behind
        if behind and len(found) > self.longest:
            return [*found[: max(self.longest - behind, 0)], *found[-behind:]]
        return (found[-self.longest :] if self.newest else found[: self.longest]) or [UNKNOWN]

    def extremes(self, arrays: Arrays) -> Arrays:
        """Encoded texts as long as they are, of other pieces: from the unknown one to the last."""
        tokens = arrays["tokens"].copy()
        tokens[tokens > 0] = np.linspace(UNKNOWN, self.count - 1, int((tokens > 0).sum())).round()
        return {"tokens": tokens}

    def text(self, numbers: Sequence[int]) -> str:
        """Pieces put together again."""
        return self._cutter.text(numbers)

    def parse(self, value: Any) -> str:
        """A text, or an object (a row) with the columns that hold it."""
        if isinstance(value, dict):
            absent = next((name for name in self.columns if name not in value), None)
            if absent is not None:
                raise Invalid(f"no {absent!r}", f"an object with {', '.join(self.columns)}")
            value = together([value[name] for name in self.columns])
        return written(value)

    def dump(self, value: Any) -> str:
        return self.parse(value)

    @property
    def ending(self) -> str:
        return ".txt"

    def file(self, value: Any) -> bytes:
        return self.parse(value).encode()

    def cells(self, value: Any) -> dict[str, str]:
        """One text is one cell, however many columns it was read from."""
        return {self.columns[0]: self.parse(value)}

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each text: its length, the share of unknown words, and the word in its middle.

        Words of one text go together; one of each is a sample that a test may take at its word.
        """
        tokens = arrays["tokens"]
        length = (tokens != 0).sum(1)
        middle = np.maximum(tokens[np.arange(len(tokens)), length // 2], 1)
        names = ("(unknown)", *self.words)
        unknown = (tokens == self.unknown).sum(1) / np.maximum(length, 1)
        return {
            "words": length.astype(np.float64),
            "unknown words": unknown,
            "a word": np.array([names[i - 1] for i in middle.tolist()]),
        }

    def remarks(self, columns: Columns, held: np.ndarray, values: Sequence[Any]) -> list[str]:
        """How much of the held-out texts the vocabulary lacks, and how many texts are too long to be read whole."""
        column = columns["tokens"]
        assert isinstance(column, Ragged)
        notes = []
        unknown = float((column[held] == self.unknown).mean())
        if unknown > FEW_UNKNOWN:
            notes.append(f"{unknown:.1%} of the held-out {self.noun} are not in the vocabulary")
        beyond = 0.0 if self.newest else cut(self, np.diff(column.starts), values)
        if beyond > FEW_CUT:
            notes.append(
                f"{beyond:.0%} of the texts are longer than the {self.longest} {self.noun} that are read "
                f"(data.longest={2 * self.longest} reads more, and takes longer)"
            )
        return notes

    def describe(self) -> str:
        return f"texts of up to {self.longest} {self.noun}, {len(self.words)} known"


def together(parts: Sequence[Any]) -> str:
    """The texts of several columns as one."""
    return "\n".join(part for part in parts if isinstance(part, str) and part.strip())


def _case(text: str, lower: bool) -> str:
    return text.lower() if lower else text
