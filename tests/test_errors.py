"""How errors and notes name things."""

from __future__ import annotations

import pytest

from deepen.errors import counted, listed, typed, unknown


def test_one_row_and_two_rows():
    assert [counted(n, "row") for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert [counted(n, "copy", "copies") for n in (1, 2)] == ["1 copy", "2 copies"]


def test_many_and_long_names_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c"], 2) == "a, b, ..."
    assert listed(["a" * 60, "b" * 61]) == "a" * 60 + ", " + "b" * 57 + "..."


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1, "a number"),
        (1.5, "a number"),
        (True, "true"),
        (None, "null"),
        ("x", "a text"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_values_by_json_s_words(value, said):
    assert typed(value) == said


def test_a_name_that_several_places_know_is_told_once():
    assert (
        str(unknown("x", "f", "sead", ["seed", "lr", "seed"]))
        == "f: unknown name 'sead'. Did you mean 'seed'? Known: lr, seed."
    )
