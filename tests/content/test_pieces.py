"""Texts cut into pieces: by hand, and byte pairs against the same thing done slowly."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from deepen.content.pieces import (
    CHUNK,
    FIRST,
    UNKNOWN,
    BytePairs,
    Characters,
    WordPieces,
    Words,
    _bytes,
    without_accents,
)

TEXTS = [
    "low low low low low lower lower newest newest newest newest newest newest widest widest widest",
    "the lowest of the low, the newest of the new; the widest of the wide!",
    "naïve café — 日本語 \N{GRINNING FACE} lowlow  wide\tnew\n",
]


def test_words_marks_tags_and_apostrophes():
    names = Words.learn(["I don't.<br />It's <b>x</b>, isn't it?"], 100, 1)
    assert set(names) == {"I", "don't", ".", "<br />", "It's", "<b>", "x", "</b>", ",", "isn't", "it", "?"}
    assert names == tuple(sorted(names))
    known = Words(("bad", "good"))
    assert known.numbers("good bad ugly, 2 < 3") == [3, 2, 1, 1, 1, 1, 1]


def test_the_commonest_are_kept_whatever_the_order_of_texts():
    texts = ["c c c a", "b b a d"]
    assert Words.learn(texts, 2, 1) == Words.learn(texts[::-1], 2, 1) == ("a", "c")
    assert Words.learn(texts, 9, 3) == ("c",)
    assert Words.learn(texts, 9, 2) == ("a", "b", "c")


def test_characters():
    names = Characters.learn(["ab\na"], 9, 1)
    assert names == ("\n", "a", "b")
    assert Characters(names).numbers("ba\nx") == [4, 3, 2, 1]


def slowly(texts: list[str], most: int, at_least: int) -> list[bytes]:
    """Byte pairs by counting everything again before each join."""
    words = Counter(chunk for text in texts for chunk in CHUNK.findall(text))
    parts = {word: [bytes([b]) for b in word.encode()] for word in words}
    known = [bytes([b]) for b in range(256)]
    while len(known) < most:
        often: Counter[bytes] = Counter()
        for word, pieces in parts.items():
            for a, b in pairwise(pieces):
                often[a + b] += words[word]
        if not often or max(often.values()) < at_least:
            break
        whole = min(often, key=lambda w: (-often[w], w))
        known.append(whole)
        parts = {word: joined(pieces, whole) for word, pieces in parts.items()}
    return known


def joined(pieces: list[bytes], whole: bytes) -> list[bytes]:
    done: list[bytes] = []
    for piece in pieces:
        if done and done[-1] + piece == whole and done[-1] != whole:
            done[-1] = whole
        else:
            done.append(piece)
    return done


@pytest.mark.parametrize("most", [256, 262, 300, 1000])
def test_byte_pairs_are_those_of_counting_all_again(most):
    names = BytePairs.learn(TEXTS, most, 2)
    assert [_bytes(name) for name in names] == slowly(TEXTS, most, 2)
    assert len(names) <= most


def test_byte_pairs_of_random_texts():
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list("abc "), 60)) for _ in range(30)]
    assert [_bytes(name) for name in BytePairs.learn(texts, 330, 3)] == slowly(texts, 330, 3)


def test_byte_pairs_lose_nothing_and_join_the_earliest_first():
    names = BytePairs.learn(TEXTS, 300, 2)
    cutter = BytePairs(names)
    for text in [*TEXTS, "unseen \N{SNOWMAN} words", ""]:
        numbers = cutter.numbers(text)
        assert b"".join(_bytes(names[n - FIRST]) for n in numbers) == text.encode()
        assert cutter.numbers(text) == numbers  # remembered or not
    assert len(cutter.numbers("low low low")) < len("low low low") / 2
    by_hand = BytePairs([*names[:256], "bc", "ab"])
    assert by_hand.numbers("abc") == [ord("a") + FIRST, 256 + FIRST]  # a, bc: bc came first


def test_wordpieces_by_hand():
    names = ("[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "##a", ",", "日")
    cutter = WordPieces(names)
    named = [names[n - FIRST] for n in cutter.numbers("unaffable, un日 affun\0")]
    assert named == ["[CLS]", "un", "##aff", "##able", ",", "un", "日", "[UNK]", "[SEP]"]
    assert cutter.numbers("un" + "a" * 99)[1:-1] == [cutter.unknown]  # more than 100 characters are not taken apart
    assert len(cutter.numbers("un" + "a" * 98)[1:-1]) == 99
    assert cutter.unknown == FIRST
    assert Words(()).unknown == UNKNOWN


def test_accents_go_with_capital_letters():
    assert without_accents("ÀÉîõü Łódź") == "aeiou łodz"
