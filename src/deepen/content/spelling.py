"""How a checkpoint spells a text before it is cut: Unicode's forms, case, accents, a table of replacements. Torch-free.

A step is a name with what it needs: ("NFKC",), ("Replace", "``", '"'), ("Precompiled", table in base64).

The table is SentencePiece's (Kudo and Richardson 2018, arXiv:1808.06226): a double array over UTF-8 bytes, and behind it
the replacements. Characters that are seen as one are looked up together where they have fewer than 6 bytes.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

BLANK = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
SHORT = 6  # bytes from which characters that are seen as one are looked up one by one
PATTERNS = {
    " {2,}": " {2,}",
    r"\s{2,}|[\n\r\t]": f"[{BLANK}]{{2,}}|[\n\r\t]",
}  # those checkpoints use, in Python's words
ALONE = frozenset(  # marks that nothing is joined to, among those that it usually is (Unicode's annex 29, table 2)
    map(chr, [0x102B, 0x102C, 0x1038, *range(0x1062, 0x1065), *range(0x1067, 0x106E), 0x1083, *range(0x1087, 0x108D), 0x108F,
     *range(0x109A, 0x109D), 0x1A61, 0x1A63, 0x1A64, 0xAA7B, 0xAA7D, 0x11720, 0x11721])
)  # fmt: skip
JOINED = frozenset(
    map(chr, [0x0E33, 0x0EB3, 0x200C, 0x200D, 0xFF9E, 0xFF9F, *range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080)])
)
AHEAD = frozenset(
    map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0xD4E, 0x110BD, 0x110CD, 0x111C2, 0x111C3, 0x1193F,
     0x11941, 0x11A3A, *range(0x11A84, 0x11A8A), 0x11D46])
)  # fmt: skip

Step = tuple[str, ...]


def speller(steps: Sequence[Step]) -> Callable[[str], str]:
    """A function that takes all steps in their order."""
    each = [_step(*step) for step in steps]

    def spell(text: str) -> str:
        for change in each:
            text = change(text)
        return text

    return spell


def _step(name: str, *given: str) -> Callable[[str], str]:
    match name:
        case "NFC" | "NFD" | "NFKC" | "NFKD":
            return lambda text: unicodedata.normalize(name, text)
        case "Lowercase":  # by character: Python's own looks at what stands around a sigma
            return lambda text: "".join(map(str.lower, text))
        case "StripAccents":
            return lambda text: "".join(c for c in text if unicodedata.category(c)[0] != "M")
        case "Strip":
            left, right = given
            return lambda text: (
                text.strip(BLANK) if left and right else text.lstrip(BLANK) if left else text.rstrip(BLANK)
            )
        case "Prepend":
            return lambda text: given[0] + text if text else text
        case "Replace":
            return lambda text: text.replace(given[0], given[1])
        case "Pattern":
            pattern = re.compile(PATTERNS[given[0]])
            return lambda text: pattern.sub(given[1].replace("\\", r"\\"), text)
        case "Precompiled":
            return Table(base64.b64decode(given[0])).spelled
    raise ValueError(f"the normalizer {name}")


class Table:
    """Replacements of beginnings of texts."""

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:4], "little")
        if len(data) < 8 or size % 4 or size > len(data) - 4:
            raise ValueError("a table of replacements that is cut off")
        self.units = np.frombuffer(data, "<u4", size // 4, 4).tolist()
        self.found = data[4 + size :]
        self.known: dict[str, str | None] = {}

    def spelled(self, text: str) -> str:
        parts = []
        for cluster in clusters(text):
            whole = self.replaced(cluster) if len(cluster.encode("utf-8", "surrogatepass")) < SHORT else None
            parts.append("".join(map(self.character, cluster)) if whole is None else whole)
        return "".join(parts)

    def character(self, character: str) -> str:
        found = self.replaced(character)
        return character if found is None else found

    def replaced(self, text: str) -> str | None:
        if text not in self.known:
            self.known[text] = self._replaced(text.encode("utf-8", "surrogatepass"))
        return self.known[text]

    def _replaced(self, text: bytes) -> str | None:
        """What stands for the shortest beginning that the table has."""
        place = _offset(self.units[0])
        for byte in text:
            place ^= byte
            if byte == 0 or place >= len(self.units) or self.units[place] & 0x800000FF != byte:
                return None
            unit = self.units[place]
            place ^= _offset(unit)
            if unit >> 8 & 1:
                start = self.units[place] & 0x7FFFFFFF
                return self.found[start : self.found.find(b"\0", start)].decode("utf-8", "replace")
        return None


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 1 << 9) >> 6)


def clusters(text: str) -> Iterator[str]:
    """Characters with what is joined to them; those of 6 bytes and more may be parted further."""
    start = 0
    for i in range(1, len(text)):
        if not _together(text[i - 1], text[i]):
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _together(first: str, second: str) -> bool:
    if second < "\u0300" and first < "\u0300":
        return first == "\r" and second == "\n"
    if first in AHEAD:
        return not _breaks(second)
    return _joined(second) and not _breaks(first)


@cache
def _joined(character: str) -> bool:
    return character in JOINED or (unicodedata.category(character)[0] == "M" and character not in ALONE)


@cache
def _breaks(character: str) -> bool:
    control = unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"}
    return control and character not in JOINED and character not in AHEAD
