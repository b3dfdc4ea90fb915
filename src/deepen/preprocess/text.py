"""Texts as sequences of word numbers: lower case, words and marks apart, a vocabulary from the training texts.

tokens  int64 (n, length): 0 fills up, 1 an unknown word, 2... in the order of `words`
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid, typed
from deepen.tensors import Arrays, Tensor

WORD = re.compile(r"\w+|[^\w\s]")


class Text(msgspec.Struct, frozen=True):
    """A text, cut after `longest` words."""

    words: tuple[str, ...]
    longest: int = 256

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("tokens", "int64", ("batch", "length"), join="pad"),)

    @classmethod
    def fit(cls, values: Sequence[str], most: int = 20_000, at_least: int = 2, longest: int = 256, **_: Any) -> Text:
        counts = Counter(word for value in values for word in WORD.findall(value.lower()))
        common = [word for word, n in counts.most_common(most) if n >= at_least]
        return cls(tuple(sorted(common)), longest)

    def encode(self, values: Sequence[str]) -> Arrays:
        odd = next((i for i, value in enumerate(values) if not isinstance(value, str)), None)
        if odd is not None:
            raise Invalid(f"got {typed(values[odd])}", "a text", odd)
        code = self._codes()
        rows = [[code.get(word, 1) for word in WORD.findall(value.lower())[: self.longest]] or [1] for value in values]
        tokens = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
        return {"tokens": tokens}

    def _codes(self) -> dict[str, int]:
        kept = _CODES.get(id(self.words))
        if kept is None or kept[0] is not self.words:
            kept = self.words, {word: i + 2 for i, word in enumerate(self.words)}
            if len(_CODES) >= 16:
                _CODES.clear()
            _CODES[id(self.words)] = kept
        return kept[1]

    def parse(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise Invalid("no text", "a text that is not empty")
        return value

    def dump(self, value: str) -> str:
        return value

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each text: its length, the share of unknown words, and the word in its middle.

        Words of one text go together; one of each is a sample that a test may take at its word.
        """
        tokens = arrays["tokens"]
        length = (tokens != 0).sum(1)
        middle = np.maximum(tokens[np.arange(len(tokens)), length // 2], 1)
        names = np.array(["(unknown)", *self.words])
        unknown = (tokens == 1).sum(1) / np.maximum(length, 1)
        return {"words": length.astype(np.float64), "unknown words": unknown, "a word": names[middle - 1]}

    def describe(self) -> str:
        return f"texts of up to {self.longest} words, {len(self.words)} known"


# The codes of vocabularies in use, each with the vocabulary it belongs to: a frozen struct keeps no cache of its own,
# and several threads encode at once.
_CODES: dict[int, tuple[tuple[str, ...], dict[str, int]]] = {}
