"""Texts cut into pieces, and pieces as numbers: words, characters, byte pairs, WordPieces. Torch-free.

A vocabulary is a list of names; the piece of name i has number i + 2. 0 fills up, 1 is what is not known.

    word       words and marks apart, a tag (<br />) as one word
    character  every character
    bytepair   UTF-8 bytes, joined where they often stand together (Gage 1994; Sennrich et al. 2016, arXiv:1508.07909)
    wordpiece  BERT's: the longest known beginning of a word, then of its rest (Devlin et al. 2019, arXiv:1810.04805)

Differs  byte pairs are joined by what they become, not by where it was cut, so a vocabulary alone says all.
"""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol

UNKNOWN = 1
LOST = "\ufffd"  # stands for a piece that is not known
FIRST = 2  # the number of the vocabulary's first piece
WORD = re.compile(r"<[A-Za-z/][^<>]{0,60}>|\w+(?:['’]\w+)*|[^\w\s]")
CHUNK = re.compile(r" ?\w+| ?[^\w\s]+|\s")  # pairs are joined within these, a blank belongs to what follows it
MOST_KEPT = 50_000  # chunks whose pieces are remembered
LONGEST_WORD = 100  # characters of a word that WordPiece still takes apart


class Cutter(Protocol):
    """Numbers of a text's pieces by a vocabulary; `unknown` stands for one that is not in it, `behind` of them end it."""

    unknown: int
    behind: int

    def numbers(self, text: str) -> list[int]: ...

    def text(self, numbers: Sequence[int]) -> str:
        """The pieces put together again, as far as cutting has kept what stood between them."""


class Learner(Cutter, Protocol):
    """A cutter whose vocabulary comes from texts."""

    def __init__(self, names: Sequence[str]) -> None: ...

    @staticmethod
    def learn(texts: Iterable[str], most: int, at_least: int) -> tuple[str, ...]:
        """A vocabulary of at most `most` pieces that occur `at_least` times in the texts."""


class Words:
    """Words and marks."""

    unknown, behind = UNKNOWN, 0

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.number = names, _numbered(names)

    @staticmethod
    def learn(texts: Iterable[str], most: int, at_least: int) -> tuple[str, ...]:
        return _common(Counter(word for text in texts for word in WORD.findall(text)), most, at_least)

    def numbers(self, text: str) -> list[int]:
        number = self.number
        return [number.get(word, UNKNOWN) for word in WORD.findall(text)]

    def text(self, numbers: Sequence[int]) -> str:
        return " ".join(_named(self.names, numbers))


class Characters:
    """Single characters."""

    unknown, behind = UNKNOWN, 0

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.number = names, _numbered(names)

    @staticmethod
    def learn(texts: Iterable[str], most: int, at_least: int) -> tuple[str, ...]:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        return _common(counts, most, at_least)

    def numbers(self, text: str) -> list[int]:
        number = self.number
        return [number.get(character, UNKNOWN) for character in text]

    def text(self, numbers: Sequence[int]) -> str:
        return "".join(_named(self.names, numbers))


class BytePairs:
    """The 256 bytes and what they were joined to, the earliest join first. Nothing is unknown."""

    unknown, behind = UNKNOWN, 0

    def __init__(self, names: Sequence[str]) -> None:
        self.pieces = [_bytes(name) for name in names]
        self.rank = {piece: i for i, piece in enumerate(self.pieces)}
        self.kept: dict[str, list[int]] = {}

    @staticmethod
    def learn(texts: Iterable[str], most: int, at_least: int) -> tuple[str, ...]:
        """Join again and again what stands together most often (of equals the first in the order of bytes)."""
        chunks = Counter(chunk for text in texts for chunk in CHUNK.findall(text))
        count = list(chunks.values())
        parts = [_single(chunk) for chunk in chunks]
        often: Counter[bytes] = Counter()
        where: dict[bytes, set[int]] = defaultdict(set)
        for at, pieces in enumerate(parts):
            _tally(pieces, count[at], at, often, where)
        known = [bytes([byte]) for byte in range(256)]
        heap = [(-n, whole) for whole, n in often.items()]
        heapq.heapify(heap)
        while heap and len(known) < most:
            n, whole = heapq.heappop(heap)
            if often[whole] != -n:  # counted before other joins took some of them
                if often[whole] > 0:
                    heapq.heappush(heap, (-often[whole], whole))
                continue
            if -n < at_least:
                break
            known.append(whole)
            changed: Counter[bytes] = Counter()
            for at in where.pop(whole):
                _tally(parts[at], -count[at], at, changed, None)
                parts[at] = _join(parts[at], whole)
                _tally(parts[at], count[at], at, changed, where)
            often.update(changed)
            for other, change in changed.items():
                if change > 0:
                    heapq.heappush(heap, (-often[other], other))
        return tuple(map(_name, known))

    def numbers(self, text: str) -> list[int]:
        return [number for chunk in CHUNK.findall(text) for number in self._chunk(chunk)]

    def text(self, numbers: Sequence[int]) -> str:
        return b"".join(self.pieces[number - FIRST] for number in numbers if number >= FIRST).decode("utf-8", "replace")

    def _chunk(self, chunk: str) -> list[int]:
        found = self.kept.get(chunk)
        if found is None:
            pieces = _single(chunk)
            while len(pieces) > 1:
                whole = min((a + b for a, b in pairwise(pieces)), key=lambda p: self.rank.get(p, len(self.rank)))
                if whole not in self.rank:
                    break
                pieces = _join(pieces, whole)
            found = [self.rank[piece] + FIRST for piece in pieces]
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()
            self.kept[chunk] = found
        return found


class WordPieces:
    """BERT's pieces between [CLS] and [SEP]; what goes on within a word begins with ##. The vocabulary is a given one."""

    behind = 1

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.number = names, _numbered(names)
        self.unknown = self.number.get("[UNK]", UNKNOWN)

    @staticmethod
    def learn(texts: Iterable[str], most: int, at_least: int) -> tuple[str, ...]:
        raise NotImplementedError("it comes with a checkpoint")

    def numbers(self, text: str) -> list[int]:
        inner = [number for word in bert_words(text) for number in self._word(word)]
        return [self.number["[CLS]"], *inner, self.number["[SEP]"]]

    def text(self, numbers: Sequence[int]) -> str:
        inner = (name for name in _named(self.names, numbers) if name not in {"[CLS]", "[SEP]", "[PAD]"})
        return " ".join(inner).replace(" ##", "")

    def _word(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        found, start = [], 0
        while start < len(word):
            before = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.number.get(before + word[start:end])
                if number is not None:
                    break
            else:
                return [self.unknown]
            found.append(number)
            start = end
        return found


def bert_words(text: str) -> list[str]:
    """Words as BERT's own code parts them: control characters gone, each mark and Chinese character a word."""
    spaced = []
    for character in text:
        code, category = ord(character), unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            spaced.append(" ")
        elif code in (0, 0xFFFD) or category[0] == "C":
            continue
        elif category[0] == "P" or _ascii_mark(code) or _chinese(code):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    return "".join(spaced).split()


def without_accents(text: str) -> str:
    """Small letters without their accents, as uncased BERT wants them."""
    return "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")


def _ascii_mark(code: int) -> bool:
    return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126


def _chinese(code: int) -> bool:
    ranges = (
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
    )  # fmt: skip
    return any(low <= code <= high for low, high in ranges)


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: i + FIRST for i, name in enumerate(names)}


def _named(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The pieces' names without what fills up; one that is not known shows as such."""
    return [names[number - FIRST] if number >= FIRST else LOST for number in numbers if number]


def _common(counts: Counter[str], most: int, at_least: int) -> tuple[str, ...]:
    """The commonest, sorted; of equals the first in the alphabet, so that the order of the texts decides nothing."""
    order = sorted(counts, key=lambda piece: (-counts[piece], piece))
    return tuple(sorted(piece for piece in order[:most] if counts[piece] >= at_least))


def _single(chunk: str) -> list[bytes]:
    return [bytes([byte]) for byte in chunk.encode("utf-8", "replace")]


def _join(pieces: list[bytes], whole: bytes) -> list[bytes]:
    """The pieces with every neighbours that make `whole` joined, from the left."""
    result: list[bytes] = []
    at = 0
    while at < len(pieces):
        both = at + 1 < len(pieces) and pieces[at] + pieces[at + 1] == whole
        result.append(whole if both else pieces[at])
        at += 2 if both else 1
    return result


def _tally(
    pieces: list[bytes], count: int, at: int, often: Counter[bytes], where: dict[bytes, set[int]] | None
) -> None:
    for a, b in pairwise(pieces):
        often[a + b] += count
        if where is not None:
            where[a + b].add(at)


def _alphabet() -> str:
    """A character for each byte that can be shown and stored, itself where it can be."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return "".join(chr(byte if byte in shown else next(others)) for byte in range(256))


ALPHABET = _alphabet()
BYTE = {character: byte for byte, character in enumerate(ALPHABET)}


def _name(piece: bytes) -> str:
    return "".join(ALPHABET[byte] for byte in piece)


def _bytes(name: str) -> bytes:
    return bytes(BYTE[character] for character in name)


CUTTERS: dict[str, type[Learner]] = {
    "word": Words,
    "character": Characters,
    "bytepair": BytePairs,
    "wordpiece": WordPieces,
}
