"""A text, and what has been written to it so far: both cut into pieces (pieces.py) of one vocabulary.

    source  int64 (n, S): 0 fills up, 1 is an unknown piece, 2... in the order of `words`
    so_far  int64 (n, L): the mark, then what is written; in training all of it, and the mark again at its end

A raw item is a text; in training (text, what is to be written). What is asked in service begins with the mark alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np

from deepen.content.pieces import CUTTERS, FIRST, UNKNOWN, Cutter
from deepen.errors import Invalid
from deepen.preprocess import cut, written
from deepen.tensors import Arrays, Columns, Ragged, Tensor

FEW = 0.01  # a share of pieces or texts that is worth no word


class Pair(msgspec.Struct, frozen=True, dict=True):
    """Texts of at most `longest` pieces.

    words    the vocabulary of both sides
    columns  where in a row of a table, or in an object, the text stands
    lower    capital letters count as small ones
    """

    words: tuple[str, ...]
    longest: int = 64
    pieces: Literal["word", "character", "bytepair"] = "word"
    columns: tuple[str, ...] = ("text",)
    lower: bool = False

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("source", "int64", ("batch", "length"), join="pad"),
            Tensor("so_far", "int64", ("batch", "written"), join="pad"),
        )

    @property
    def mark(self) -> int:
        """The number of the mark that stands at the beginning and at the end of what is written."""
        return len(self.words) + FIRST

    @property
    def count(self) -> int:
        """How many different numbers there are."""
        return self.mark + 1

    @classmethod
    def fit(cls, values: Sequence[tuple[str, str]], most: int = 20_000, at_least: int = 1, **options: Any) -> Pair:
        cutter, lower = CUTTERS[options.get("pieces", "word")], options.get("lower", False)
        texts = (_case(text, lower) for pair in values for text in pair)
        return cls(cutter.learn(texts, most, at_least), **options)

    @cached_property
    def _cutter(self) -> Cutter:
        return CUTTERS[self.pieces](self.words)

    def encode(self, values: Sequence[Any]) -> Arrays:
        sources, written = [], []
        for row, value in enumerate(values):
            text, answer = value if isinstance(value, tuple) else (value, None)
            try:
                sources.append(self.numbers(self.parse(text)) or [UNKNOWN])
            except Invalid as problem:
                raise problem.at(row) from None
            written.append([self.mark] if answer is None else [self.mark, *self.numbers(answer), self.mark])
        return {"source": _padded(sources), "so_far": _padded(written)}

    def numbers(self, text: str) -> list[int]:
        """The pieces of a text that are looked at."""
        return self._cutter.numbers(_case(text, self.lower))[: self.longest]

    def text(self, numbers: Sequence[int]) -> str:
        """Pieces put together again."""
        return self._cutter.text(numbers)

    def parse(self, value: Any) -> str:
        """A text, or an object (a row) with the column that holds it."""
        value = value[0] if isinstance(value, tuple) else value
        if isinstance(value, dict):
            if self.columns[0] not in value:
                raise Invalid(f"no {self.columns[0]!r}", f"an object with {self.columns[0]}")
            value = value[self.columns[0]]
        return written(value)

    def dump(self, value: Any) -> str:
        return self.parse(value)

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each text: its length, and the share of pieces that are not known."""
        length = (arrays["source"] > 0).sum(1).astype(np.float64)
        unknown = (arrays["source"] == UNKNOWN).sum(1) / np.maximum(length, 1)
        return {"pieces": length, "unknown pieces": unknown}

    def remarks(self, columns: Columns, held: np.ndarray, values: Sequence[Any]) -> list[str]:
        """How much of the held-out texts the vocabulary lacks, and how many texts are cut off."""
        source, written = columns["source"], columns["so_far"]
        assert isinstance(source, Ragged)
        assert isinstance(written, Ragged)
        notes = []
        for column, what in ((source, "texts"), (written, "answers")):
            unknown = float((column[held] == UNKNOWN).mean())
            if unknown > FEW:
                notes.append(f"{unknown:.1%} of the pieces in held-out {what} are not in the vocabulary")
        beyond = cut(self, np.diff(source.starts), values)
        if beyond > FEW:
            notes.append(
                f"{beyond:.0%} of the texts are cut off after {self.longest} pieces (data.longest={2 * self.longest})"
            )
        return notes

    def describe(self) -> str:
        noun = {"bytepair": "byte pairs"}.get(self.pieces, f"{self.pieces}s")
        return f"texts of up to {self.longest} {noun} with their answers, {len(self.words)} known"


def _padded(rows: list[list[int]]) -> np.ndarray:
    result = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for i, numbers in enumerate(rows):
        result[i, : len(numbers)] = numbers
    return result


def _case(text: str, lower: bool) -> str:
    return text.lower() if lower else text
