"""Texts with the texts that answer them: two columns of a table, such as sentences and their translations."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from deepen.data import tables
from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, command, counted, listed, unknown
from deepen.preprocess.row import Rows, text_or_none
from deepen.schema import Count


class Pairs:
    """A table with a column of texts and a column of what is to be written to each.

    target    the column of what is to be written
    text      the column of texts; none: the only other one
    test      a second file with the same columns, kept for the test
    pieces    what texts are cut into; none: characters where the texts are single words
    longest   pieces of a text, and of an answer
    most      pieces in the vocabulary, which both sides share
    at_least  times that a piece must occur in the training part to be in it
    lower     capital letters count as small ones
    beams     answers that are followed side by side; 1: always the likeliest piece
    """

    method = "next_token"

    def __init__(
        self,
        path: str,
        target: str | None = None,
        text: str | None = None,
        test: str | None = None,
        pieces: Literal["word", "character", "bytepair"] | None = None,
        longest: Count = 64,
        most: Count = 20_000,
        at_least: Count = 1,
        lower: bool = False,
        beams: Count = 1,
        delimiter: str | None = None,
    ) -> None:
        self.path, self.target, self.text, self.test = path, target, text, test
        self.pieces, self.beams, self.delimiter = pieces, beams, delimiter
        self.options: dict[str, Any] = {"longest": longest, "most": most, "at_least": at_least, "lower": lower}

    def read(self) -> Items:
        whole, ids, split = tables.read_both(self.path, self.test, self.delimiter)
        table = dict(zip(whole.names, whole.columns))
        text, target = self._columns(whole.names)
        found = list(zip(table[text].tolist(), table[target].tolist()))
        good, bad = [], list(whole.bad)
        for row, (given, answer) in enumerate(found):
            if text_or_none(given) is None:
                bad.append(Bad(ids[row], f"no text in column {text!r}"))
            elif "\0" in f"{given}{answer}":
                bad.append(Bad(ids[row], "a NUL character: not a text"))
            else:
                good.append(row)
        pairs = [
            (str(found[row][0]), None if text_or_none(found[row][1]) is None else str(found[row][1])) for row in good
        ]
        known = [pair for pair in pairs if pair[1] is not None]
        if not known:
            raise DeepenError(
                "data.target", f"{self.path}: column {target!r}", "no answer at all", "texts to learn from"
            )
        options = {**self.options, "pieces": self.pieces or _pieces(known)}
        column = np.empty(len(pairs), object)
        column[:] = pairs
        others = [name for name in whole.names if name not in (text, target)]
        return Items(
            ids=[ids[row] for row in good],
            inputs={"text": column},
            encoders={"text": ("pair", {**options, "columns": (text,)})},
            target=[pair if pair[1] is not None else None for pair in pairs],
            kind="text",
            options={**options, "beams": self.beams},
            target_name=target,
            split=[split[row] for row in good] if split else None,
            columns=Rows({name: table[name][good] for name in others}),
            bad=bad,
            notes=whole.notes,
        )

    def _columns(self, names: list[str]) -> tuple[str, str]:
        if self.target is None:
            raise DeepenError(
                "data.target", self.path, "which column is to be written is not said", f"one of {listed(names, 30)}",
                command("train", self.path, f"text={names[0]}", f"target={names[-1]}"),
            )  # fmt: skip
        for field, name in (("target", self.target), ("text", self.text)):
            if name is not None and name not in names:
                raise unknown("data.column", f"data.{field}", name, names, what="column")
        others = [name for name in names if name != self.target]
        if self.text is None and len(others) != 1:
            raise DeepenError(
                "data.text", self.path, f"{counted(len(others), 'other column')}", f"one of {listed(others, 30)}",
                f"say which: text={others[0] if others else 'COLUMN'}",
            )  # fmt: skip
        return self.text or others[0], self.target


def _pieces(pairs: list[tuple[str, str | None]]) -> Literal["word", "character"]:
    """Words, unless most texts are a single one."""
    single = sum(len(str(answer).split()) < 2 for _, answer in pairs)
    return "character" if single > len(pairs) / 2 else "word"
