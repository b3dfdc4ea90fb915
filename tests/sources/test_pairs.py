"""Texts and their answers: which columns, which pieces, and when a table is of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepen.config import Config, from_target
from deepen.data import choose
from deepen.data.prepare import prepare
from deepen.errors import DeepenError, Invalid
from deepen.preprocess.pair import Pair
from deepen.sources.pairs import Pairs

SENTENCES = [(f"the cat number {i} sits on it", f"die katze nummer {i} sitzt darauf") for i in range(80)]
WORDS = [("abc"[i % 3] * (i % 5 + 1) + str(i), str(i) + "x") for i in range(80)]


def table(pairs: list[tuple[str, str]] = SENTENCES, name: str = "t.csv", header: str = "english,german") -> str:
    Path(name).write_text("\n".join([header, *(f"{a},{b}" for a, b in pairs)]) + "\n", encoding="utf-8")
    return name


def test_pairs_as_they_stand():
    items = Pairs(table(), target="german").read()
    assert items.inputs["text"][3] == SENTENCES[3]
    assert items.target[3] == SENTENCES[3]
    assert items.encoders["text"][1]["pieces"] == "word"
    assert Pairs(table(WORDS), target="german").read().encoders["text"][1]["pieces"] == "character"


def test_a_table_is_of_pairs_where_the_target_is_a_text():
    spec = choose.source(from_target(table(), {"target": "german"}).data)
    assert (spec["name"], spec["text"]) == ("pairs", "english")
    spec = choose.source(from_target(table(), {"target": "german", "text": "english"}).data)
    assert (spec["name"], spec["text"]) == ("pairs", "english")
    words = table(WORDS, "w.csv")
    assert choose.source(from_target(words, {"target": "german", "text": "english"}).data)["name"] == "pairs"
    assert (
        choose.source(from_target(words, {"target": "german"}).data)["name"] == "table"
    )  # names, as far as one can tell
    moods = table([(a, "ab"[i % 2]) for i, (a, _) in enumerate(SENTENCES)], "m.csv")
    assert choose.source(from_target(moods, {"target": "german", "text": "english"}).data)["name"] == "texts"
    assert from_target(table(), {"target": "german", "beams": 3}).data["name"] == "pairs"


def test_one_vocabulary_from_training_alone_with_marks_around_answers():
    prepared = prepare(Pairs(table(), target="german").read(), Config({"name": "pairs"}, method={"name": "next_token"}))
    encoder, kind = prepared.signature.inputs["text"], prepared.signature.answer
    assert encoder.words == kind.words
    held = {str(i) for i in range(80)} - {
        word for row in prepared.parts["train"] for word in SENTENCES[row][0].split() if word.isdigit()
    }
    assert held
    assert not held & {*encoder.words}
    arrays = encoder.encode([("the cat", "die katze"), "the the the"])
    number = {word: i + 2 for i, word in enumerate(encoder.words)}
    mark = len(encoder.words) + 2
    assert arrays["source"].tolist() == [[number["the"], number["cat"], 0], [number["the"]] * 3]
    assert arrays["so_far"].tolist() == [[mark, number["die"], number["katze"], mark], [mark, 0, 0, 0]]
    assert encoder.count == kind.width == mark + 1


def test_empty_texts_are_set_aside_and_missing_answers_are_no_labels():
    rows = [*SENTENCES[:40], ("", "leer"), ("one without an answer", "")]
    items = Pairs(table(rows), target="german").read()
    assert [(bad.id, bad.reason) for bad in items.bad] == [("t.csv:42", "no text in column 'english'")]
    prepared = prepare(items, Config({"name": "pairs"}, method={"name": "next_token"}))
    assert prepared.unlabelled.tolist() == [40]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"target": None}, "which column is to be written is not said"),
        ({"target": "germn"}, "data.target: unknown column 'germn'. Did you mean 'german'"),
        ({"text": "x"}, "data.text: unknown column 'x'"),
    ],
)
def test_mistakes_are_named(options, text):
    with pytest.raises(DeepenError, match=text):
        Pairs(**{"path": table(), "target": "german", **options}).read()
    with pytest.raises(DeepenError, match="2 other columns"):
        Pairs(table([(f"{a},x", b) for a, b in SENTENCES], header="a,b,german"), target="german").read()


def test_what_a_client_sends():
    pair = Pair(("a", "b"), 3, "word", ("english",))
    assert pair.parse({"english": "a b", "more": 1}) == pair.parse("a b") == pair.dump(("a b", "x")) == "a b"
    np.testing.assert_array_equal(pair.encode(["a b a b"])["source"], [[2, 3, 2]])
    for value, text in (({"german": "x"}, "no 'english'"), ("  ", "no text"), (3, "no text but a number")):
        with pytest.raises(Invalid, match=text):
            pair.encode(["a", value])
