"""Texts cut as a checkpoint's tokenizer.json says: byte pairs as GPT-2 joins them, and SentencePiece's unigrams. Torch-free.

    bytelevel  words as bytes; of all neighbours those that were joined first are joined, again and again
               (Sennrich et al. 2016, arXiv:1508.07909; over bytes: Radford et al. 2019)
    unigram    the pieces of a word whose scores add up to most: argmax sum_i log p(x_i), by Viterbi's way
               (Kudo 2018, arXiv:1804.10959, eq. 2 and 3)

The piece that the checkpoint calls i has number i + FIRST. Names that the checkpoint holds apart (<mask>) are found in
a text as they stand; a text is spelled and cut between them.
"""

from __future__ import annotations

import heapq
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

import msgspec

from deepen.content.pieces import ALPHABET, BYTE, FIRST, LOST, MOST_KEPT, UNKNOWN
from deepen.content.spelling import BLANK, Step, speller

MARK = "\u2581"  # a blank, as unigrams show it
FAR = 10.0  # how much less an unknown character counts than the least likely piece


class Added(msgspec.Struct, frozen=True):
    """A piece that is found in a text as it stands; it takes blanks beside it along where said. `spelled`: found later."""

    name: str
    number: int
    left: bool = False
    right: bool = False
    spelled: bool = False


class Rules(msgspec.Struct, frozen=True):
    """What a tokenizer does, beside the names of its pieces.

    before, after  numbers around every text
    unknown        the number of what is not known
    spelling       what is done to a text before it is cut (spelling.py)
    blank          whether a blank is put before a text, or before each of its words where they are `apart`
    split          pieces do not reach over blanks
    merges         neighbours that are joined, the first first
    scores         log p of each piece
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    unknown: int | None = None
    added: tuple[Added, ...] = ()
    spelling: tuple[Step, ...] = ()
    blank: Literal["always", "first", "never"] = "never"
    apart: bool = False
    split: bool = True
    merges: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()


class Given:
    """What both have in common: what is found as it stands, the spelling, and the pieces around."""

    def __init__(self, names: Sequence[str], rules: Rules) -> None:
        self.names, self.rules = names, rules
        self.number = {name: i + FIRST for i, name in enumerate(names) if name}
        self.unknown = UNKNOWN if rules.unknown is None else rules.unknown
        self.behind = len(rules.after)
        self.spell = speller(rules.spelling)
        self.raw = Finder([one for one in rules.added if not one.spelled])
        later = [msgspec.structs.replace(one, name=self.spell(one.name)) for one in rules.added if one.spelled]
        self.later = Finder([one for one in later if one.name])
        self.apart = {one.number for one in rules.added} | {*rules.before, *rules.after}
        self.kept: dict[str, list[int]] = {}

    def numbers(self, text: str) -> list[int]:
        inner: list[int] = []
        for part, number, first in self.raw.parts(text):
            if number is not None:
                inner.append(number)
                continue
            for piece, other, begins in self.later.parts(self.spell(part)):
                inner += self._cut(piece, first and begins) if other is None else [other]
        return [*self.rules.before, *inner, *self.rules.after]

    def text(self, numbers: Sequence[int]) -> str:
        inner = [number for number in numbers if number not in self.apart]
        return self._together([self.names[n - FIRST] if n >= FIRST else LOST for n in inner if n])

    def _cut(self, text: str, first: bool) -> list[int]:
        """Numbers of a part between what is found as it stands; `first`: it begins the text."""
        raise NotImplementedError

    def _together(self, names: list[str]) -> str:
        raise NotImplementedError

    def _remembered(self, chunk: str) -> list[int]:
        found = self.kept.get(chunk)
        if found is None:
            found = self._chunk(chunk)
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()
            self.kept[chunk] = found
        return found

    def _chunk(self, chunk: str) -> list[int]:
        raise NotImplementedError


class ByteLevel(Given):
    """Byte pairs within GPT-2's words."""

    def __init__(self, names: Sequence[str], rules: Rules) -> None:
        super().__init__(names, rules)
        self.rank = {pair: i for i, pair in enumerate(rules.merges)}

    def _cut(self, text: str, first: bool) -> list[int]:
        text = f" {text}" if self.rules.blank == "always" and not text.startswith(" ") else text
        return [number for chunk in words().findall(text) for number in self._remembered(chunk)]

    def _together(self, names: list[str]) -> str:
        return bytes(BYTE[c] for name in names for c in name if c in BYTE).decode("utf-8", "replace")

    def _chunk(self, chunk: str) -> list[int]:
        """What is not known is left out, unless there is a piece for it."""
        number, unknown = self.number, self.rules.unknown
        single = [
            c for c in (ALPHABET[b] for b in chunk.encode("utf-8", "replace")) if c in number or unknown is not None
        ]
        return [number.get(piece, self.unknown) for piece in joined(single, self.rank)]


class Unigram(Given):
    """The likeliest pieces of each word."""

    def __init__(self, names: Sequence[str], rules: Rules) -> None:
        super().__init__(names, rules)
        self.score = dict(zip(names, rules.scores))
        self.begins = {name[:end] for name in self.score for end in range(1, len(name) + 1)}
        self.least = min(rules.scores) - FAR

    def _cut(self, text: str, first: bool) -> list[int]:
        rules, found = self.rules, []
        spans = ((m.start(), m[0]) for m in WORD.finditer(text)) if rules.apart else [(0, text)]
        for start, word in spans:
            word = word.replace(" ", MARK)
            wanted = rules.blank == "always" or (rules.blank == "first" and first and start == 0)
            word = MARK + word if wanted and not word.startswith(MARK) else word
            for chunk in MARKED.findall(word) if rules.split else [word]:
                found += self._remembered(chunk)
        return found

    def _together(self, names: list[str]) -> str:
        return "".join(names).replace(MARK, " ").strip()

    def _chunk(self, chunk: str) -> list[int]:
        """By Viterbi's way; characters that are not known one after the other are one unknown piece."""
        n = len(chunk)
        best, came = [0.0, *[-float("inf")] * n], [(0, False)] * (n + 1)
        for start in range(n):
            for end in range(start + 1, n + 1):
                piece = chunk[start:end]
                if piece not in self.begins:
                    break
                score = self.score.get(piece)
                if score is not None and best[start] + score > best[end]:
                    best[end], came[end] = best[start] + score, (start, True)
            if best[start] + self.least > best[start + 1]:
                best[start + 1], came[start + 1] = best[start] + self.least, (start, False)
        found: list[int] = []
        end, before = n, True
        while end:
            start, known = came[end]
            if known or before:  # what is unknown goes together with the unknown behind it
                found.append(self.number[chunk[start:end]] if known else self.unknown)
            end, before = start, known
        return found[::-1]


class Finder:
    """Names found in a text as they stand: the first, of those the longest."""

    def __init__(self, added: Sequence[Added]) -> None:
        self.by = {one.name: one for one in added}
        names = sorted(self.by, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, names))) if names else None

    def parts(self, text: str) -> Iterator[tuple[str, int | None, bool]]:
        """Parts of a text, the number of one that was found, and whether it begins the text."""
        at = 0
        for match in self.pattern.finditer(text) if self.pattern else ():
            one, (start, stop) = self.by[match[0]], match.span()
            if one.left:
                start = at + len(text[at:start].rstrip(BLANK))
            if one.right:
                stop = BLANKS.match(text, stop).end()  # type: ignore[union-attr]
            if start > at:
                yield text[at:start], None, at == 0
            yield match[0], one.number, start == 0
            at = stop
        if at < len(text):
            yield text[at:], None, at == 0


def joined(pieces: list[str], rank: dict[tuple[str, str], int]) -> list[str]:
    """Neighbours joined by rank, of equals the first from the left, until none has one."""
    pieces, ahead, behind = list(pieces), [*range(1, len(pieces) + 1)], [*range(-1, len(pieces) - 1)]
    heap = [(rank[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in rank]
    heapq.heapify(heap)
    while heap:
        place, at = heapq.heappop(heap)
        then = ahead[at]
        if not pieces[at] or then == len(pieces) or rank.get((pieces[at], pieces[then])) != place:
            continue  # one of them was joined to another
        pieces[at] += pieces[then]
        pieces[then] = ""
        ahead[at] = ahead[then]
        if ahead[at] < len(pieces):
            behind[ahead[at]] = at
        for left, right in ((behind[at], at), (at, ahead[at])):
            if left >= 0 and right < len(pieces) and (pieces[left], pieces[right]) in rank:
                heapq.heappush(heap, (rank[pieces[left], pieces[right]], left))
    return [piece for piece in pieces if piece]


WORD = re.compile(f"[^{BLANK}]+")
BLANKS = re.compile(f"[{BLANK}]*")
MARKED = re.compile(f"{MARK}[^{MARK}]*|[^{MARK}]+")


@cache
def words() -> re.Pattern[str]:
    """GPT-2's: endings behind an apostrophe, letters, numbers, or others with the blank before them, other blanks.

    Python's own letters take numbers such as \u00bd along, and its blanks four control characters.
    """
    others = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in {"Nl", "No"})
    letter = rf"(?:(?![{others}])[^\W\d_])"
    return re.compile(
        rf"'(?:s|t|re|ve|m|ll|d)| ?{letter}+| ?[\d{others}]+| ?(?:[^\w{BLANK}]|_)+|[{BLANK}]+(?![^{BLANK}])|[{BLANK}]+"
    )


GIVEN: dict[str, type[Given]] = {"bytelevel": ByteLevel, "unigram": Unigram}
