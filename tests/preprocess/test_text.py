"""Texts as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import Invalid
from deepen.preprocess import LARGEST_TEXT
from deepen.preprocess.text import Text
from deepen.signature import Signature

TEXTS = ["A good film", "a bad, bad film", "Good"]


def test_numbers_in_the_order_of_the_vocabulary():
    text = Text.fit(TEXTS)
    assert text.words == ("a", "bad", "film", "good")
    assert text.count == 6
    np.testing.assert_array_equal(
        text.encode(["good bad FILM", "very good", "!"])["tokens"], [[5, 3, 4], [1, 5, 0], [1, 0, 0]]
    )


def test_capital_letters_can_count():
    text = Text.fit(TEXTS, at_least=1, lower=False)
    assert {"A", "a", "Good", "good"} <= set(text.words)
    assert Text.fit(["aB"], pieces="character", at_least=1).words == ("a", "b")


def test_a_long_text_is_cut():
    text = Text.fit(TEXTS, longest=2)
    assert text.encode(["a film a film"])["tokens"].tolist() == [[2, 4]]
    given = Text(("[UNK]", "[CLS]", "[SEP]", "a", "é"), 4, "wordpiece")
    assert given.encode(["A a a a a"])["tokens"].tolist() == [[3, 5, 5, 4]]  # its end mark stays
    assert given.encode(["É"])["tokens"].tolist() == [[3, 2, 4]]  # e is not known
    cased = Text(given.words, 4, "wordpiece", lower=False)
    assert cased.encode(["é"])["tokens"].tolist() == [[3, 6, 4]]


def test_an_object_gives_its_columns_one_after_the_other():
    text = Text(("a", "b"), columns=("title", "body"))
    assert text.parse({"title": "a", "body": "b", "more": 1}) == "a\nb"
    assert text.parse({"title": None, "body": "b"}) == "b"
    assert text.parse("b") == "b"
    assert text.encode([{"title": "a", "body": "b"}])["tokens"].tolist() == [[2, 3]]
    assert text.dump({"title": "a", "body": "b"}) == "a\nb"


@pytest.mark.parametrize(
    ("value", "reason"),
    [("", "no text"), (" \n", "no text"), (None, "no text"), (3, "no text but a number"), ({"texts": "a"}, "no 'text'"),
     ("a" * (LARGEST_TEXT + 1), "1,048,577 characters")],
)  # fmt: skip
def test_what_is_no_text_is_refused_with_its_row(value, reason):
    with pytest.raises(Invalid, match=reason) as caught:
        Text(("a",)).encode(["a", value])
    assert caught.value.row == 1


@pytest.mark.parametrize("pieces", ["word", "character", "bytepair"])
def test_it_survives_the_signature(pieces):
    text = Text.fit(TEXTS, pieces=pieces, at_least=1, most=300, columns=("a", "b"))
    before = text.encode(["Good, bad"])["tokens"].tolist()
    back = next(iter(Signature.from_json(Signature({"text": text}, {}).to_json()).inputs.values()))
    assert back == text
    assert back.encode(["Good, bad"])["tokens"].tolist() == before


@pytest.mark.parametrize("pieces", ["word", "character"])
def test_it_grows_behind_what_it_knows(pieces):
    text = Text.fit(TEXTS, pieces=pieces, at_least=1)
    more = text.grow([*TEXTS, "Ö zoo", "zoo"], at_least=2)
    assert more.words[: len(text.words)] == text.words
    assert set(more.words[len(text.words) :]) == ({"zoo"} if pieces == "word" else {"z"})
    assert text.grow(TEXTS, at_least=1) == text
    assert more.encode(TEXTS)["tokens"].tolist() == text.encode(TEXTS)["tokens"].tolist()


def test_what_can_spell_anything_does_not_grow():
    text = Text.fit(TEXTS, pieces="bytepair", most=300)
    assert text.grow(["zoo"] * 50) is text


def test_a_given_vocabulary_is_not_learnt():
    assert Text.fit(TEXTS, words=("x",)).words == ("x",)


def test_it_says_what_it_is():
    assert Text.fit(TEXTS).describe() == "texts of up to 256 words, 4 known"
    assert "byte pairs" in Text.fit(TEXTS, pieces="bytepair").describe()
