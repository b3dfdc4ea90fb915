"""Languages written without blanks between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Literal

UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
LETTER = re.compile(r"\w")
OF_A_WORD = 2  # characters, about
MANY = 1000  # texts that are looked at


def words(text: str) -> int:
    """How many words a text has: what stands between blanks, or as many as its characters make."""
    return max(len(text.split()), len(UNSPACED.findall(text)) // OF_A_WORD)


def pieces(texts: Iterable[str]) -> Literal["word", "character"]:
    """What texts are cut into where nobody says: characters where most letters of the first are of such a language."""
    some = list(islice(texts, MANY))
    own, letters = (sum(len(sort.findall(text)) for text in some) for sort in (UNSPACED, LETTER))
    return "character" if own > letters / 2 else "word"
