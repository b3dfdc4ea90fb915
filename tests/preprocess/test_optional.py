"""Inputs that may be missing."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import Invalid
from deepen.predictor import Predictor
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.optional import Optional
from deepen.preprocess.row import Row
from deepen.preprocess.text import Text
from deepen.program import Program
from deepen.signature import Signature


def test_what_is_there_is_encoded_as_it_would_be_alone():
    inner, pixels = Image(2, 2, 1), np.arange(4, dtype=np.uint8).reshape(2, 2)
    found = Optional(inner).encode([None, pixels, None])
    assert found["there"].tolist() == [[0], [1], [0]]
    np.testing.assert_array_equal(found["image"][1], inner.encode([pixels])["image"][0])
    assert not found["image"][[0, 2]].any()
    words = Optional(Text(("a", "b"))).encode(["b a b", None])
    assert words["tokens"].tolist() == [[3, 2, 3], [0, 0, 0]]
    assert Optional(Text(("a",))).encode([None])["tokens"].tolist() == [[0]]
    assert Optional(Array((2,))).encode([None])["array"].shape == (1, 2)


def test_a_bad_value_is_named_by_its_row():
    with pytest.raises(Invalid, match="no text") as caught:
        Optional(Text(("a",))).encode([None, "a", " "])
    assert caught.value.row == 2


def test_figures_leave_out_what_is_missing():
    note = Optional(Text(("a", "b")))
    found = note.statistics(note.encode(["a b", None]))
    assert found["words"][0] == 2
    assert np.isnan(found["words"][1])
    assert found["a word"].tolist() == ["b", "(missing)"]


SIGNATURE = Signature(
    {"photo": Optional(Image(2, 2, 1)), "note": Text(("a",), columns=("note",)), "row": Row(("x", "y"))}, {}
)


def test_it_travels_in_the_signature():
    again = Signature.from_json(SIGNATURE.to_json())
    assert again.inputs == SIGNATURE.inputs
    assert [t.name for t in again.tensors] == ["photo.image", "photo.there", "note.tokens", "row.numbers"]


def test_an_object_may_leave_it_out_and_spread_a_row():
    parse = Predictor(SIGNATURE, Program([], {})).parse
    assert parse({"note": "a", "x": 1}) == {"photo": None, "note": "a", "row": {"x": 1}}
    assert parse({"note": "a", "row": {"y": 2}, "photo": None}) == {"photo": None, "note": "a", "row": {"y": 2}}
    for value, reason in (
        ({"x": 1}, "no 'note'"),
        ({"note": "a"}, "no 'row'"),
        ({"note": "a", "x": 1, "z": 1}, "unknown key 'z'. Expected keys: note, photo, row, x, y"),
        (3, "got a number. Expected an object with photo, note, row"),
    ):
        with pytest.raises(Invalid, match=reason):
            parse(value)
