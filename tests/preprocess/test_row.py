"""Table rows: one row is encoded as many are, and what cannot be read is named."""

from __future__ import annotations

import datetime
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.errors import Invalid
from deepen.preprocess.row import Row, Rows, date_or_none, number_of, text_or_none

TYPES = {"size": "number", "price": "number", "day": "date", "town": "category"}


def cells(values) -> np.ndarray:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@pytest.fixture
def table() -> Rows:
    return Rows(
        {
            "size": np.array([1.0, np.nan, 3.0] * 20),
            "price": cells(["1,200.50", "7 %", "$3"] * 20),
            "day": cells(["31.12.2024", "", "1.2.2025 13:30"] * 20),
            "town": cells(["Lyon", "Rome ", None] * 20),
        }
    )


@pytest.fixture
def row(table) -> Row:
    return Row.fit(table, TYPES, forms={"day": "dmy"})


def test_the_vector_is_as_documented(row, table):
    found = row.encode(table)
    assert row.flags == ("size",)
    np.testing.assert_array_equal(found["numbers"][0, :2], np.float32([1.0, 1200.5]))
    np.testing.assert_allclose(found["numbers"][:3, 1], [1200.5, 0.07, 3], rtol=1e-6)
    days = (datetime.date(2025, 2, 1) - datetime.date(1970, 1, 1)).days + 13.5 / 24
    np.testing.assert_allclose(found["numbers"][2, 2:6], [days, 2, 5, 13.5], rtol=1e-6)  # a Saturday
    assert np.isnan(found["numbers"][1, 2:6]).all()
    assert found["numbers"][:3, 6].tolist() == [0, 1, 0]  # size is missing
    assert found["categories"][:3, 0].tolist() == [2, 3, 0]
    assert found["numbers"].shape[1] == row.tensors[0].shape[1]


def test_one_row_is_encoded_as_many_are(row, table):
    many = row.encode(table)
    for i in range(3):
        for one in (table[i], row.parse(row.dump(table[i]))):
            found = row.encode([one])
            for name in many:
                np.testing.assert_array_equal(found[name][0], many[name][i])


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "size": st.none()
                | st.integers(-(10**6), 10**6)
                | st.floats(-1e6, 1e6)
                | st.sampled_from(["7", " 8 ", "?"]),
                "town": st.none() | st.text(max_size=5) | st.integers(0, 9) | st.booleans(),
                "day": st.none() | st.datetimes().map(lambda d: d.isoformat()),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_rows_alone_or_together(items):
    row = Row(("size",), {"day": True}, {"town": ("0", "True", "a", "b")}, ("size",))
    together = row.encode(items)
    for i, item in enumerate(items):
        alone = row.encode([item])
        for name, array in together.items():
            np.testing.assert_array_equal(alone[name][0], array[i])
    assert not np.isinf(together["numbers"]).any()


def test_unknown_and_rare_categories_share_a_code():
    column = cells(["a"] * 60 + ["b"] * 4)
    row = Row.fit(Rows({"c": column}), {"c": "category"})
    assert row.categories["c"] == ("a",)
    assert row.encode([{"c": v} for v in ("a", "b", "new", None, "NA")])["categories"][:, 0].tolist() == [2, 1, 1, 0, 0]


def test_json_booleans_are_the_tables_own():
    for names in (("False", "True"), ("false", "true"), ("FALSE", "TRUE")):
        row = Row(categories={"c": names})
        assert row.encode([{"c": False}, {"c": True}])["categories"][:, 0].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1], "got a list"),
        (None, "got null"),
        ("x", "got a text"),
        ({}, "no column has a value"),
        ({"size": None}, "no column has a value"),
        ({"sise": 1}, "unknown column 'sise'"),
        ({"size": True}, "column 'size' holds true"),
        ({"size": [1]}, "column 'size' holds a list"),
        ({"day": False}, "column 'day' holds false"),
        ({"town": {"name": "Lyon"}}, "column 'town' holds an object"),
    ],
)
def test_wrong_types_are_refused(row, value, reason):
    with pytest.raises(Invalid) as problem:
        row.parse(value)
    assert problem.value.reason == reason


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"size": "big"}, "column 'size' holds 'big'. Expected a number or nothing"),
        ({"size": True}, "column 'size' holds True. Expected a number or nothing"),
        ({"size": 10**400}, "column 'size' holds 1000"),
        ({"size": "1_000"}, "column 'size' holds '1_000'"),
        ({"day": "soon"}, "column 'day' holds 'soon'. Expected a date such as 20/11/2026, or nothing"),
        ({"day": "31.2.2024"}, "column 'day' holds '31.2.2024'"),
        ({"day": 5}, "column 'day' holds 5"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_with_its_row(row, item, text):
    with pytest.raises(Invalid) as problem:
        row.encode([{"size": 1}, item])
    assert problem.value.row == 1
    assert text in str(problem.value)


@pytest.mark.parametrize(
    ("text", "comma", "value"),
    [
        ("1e-3", False, 0.001),
        (" -4 ", False, -4),
        ("1,234", False, 1234),
        ("-1,234,567.5", False, -1234567.5),
        ("1 234", False, 1234),
        ("1'234.5", False, 1234.5),
        ("12.5%", False, 0.125),
        ("12 %", False, 0.12),
        ("$1,200", False, 1200),
        ("-€5", False, -5),
        ("5 €", False, 5),
        ("1,5", True, 1.5),
        ("1.234,5", True, 1234.5),
        ("1.234", True, 1234),
        (",5", True, 0.5),
        ("7", True, 7),
        ("0,123", True, 0.123),
        ("-0.123", True, -0.123),
    ],
)
def test_numbers_as_people_write_them(text, comma, value):
    assert number_of(text, comma) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["1_000", "1,23", "0,123", "1,2345", "12,34,567", "1.2.3", "abc", "", "0x10", "%", "$", "1 2 3"]
)
def test_what_is_no_number(text):
    with pytest.raises(ValueError):
        number_of(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_python_writes_is_read_back(value):
    assert number_of(repr(value)) == value
    assert number_of(f"{value:,.3f}") == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "form", "moment"),
    [
        ("2024-10-13", "", (2024, 10, 13)),
        ("2024/10/13", "", (2024, 10, 13)),
        ("20141013T000000", "", (2014, 10, 13)),
        ("2024-10-13 07:30", "", (2024, 10, 13, 7, 30)),
        ("10/13/2024", "mdy", (2024, 10, 13)),
        ("13.10.2024", "dmy", (2024, 10, 13)),
        ("3-2-24", "dmy", (2024, 2, 3)),
        ("3/2/70", "mdy", (1970, 3, 2)),
        ("10/13/2024 12:05 AM", "mdy", (2024, 10, 13, 0, 5)),
        ("10/13/2024 9:05 p.m.", "mdy", (2024, 10, 13, 21, 5)),
        ("2024-10-13", "mdy", (2024, 10, 13)),
        ("01-Jan-1995", "", (1995, 1, 1)),
        ("3 September 2001", "", (2001, 9, 3)),
        ("Dec 24, 1999", "", (1999, 12, 24)),
    ],
)
def test_dates_as_people_write_them(text, form, moment):
    assert date_or_none(text, form) == datetime.datetime(*moment)


@pytest.mark.parametrize(("text", "form"), [("13/10/2024", "mdy"), ("10/13/2024", ""), ("2024-13-01", ""), ("1-Foo-1995", ""),
                                            ("1/1/2024 25:00", "mdy"), ("1/1/2024 13:00 pm", "mdy"), ("1/1-2024", "mdy")])  # fmt: skip
def test_what_is_no_date(text, form):
    with pytest.raises(ValueError):
        date_or_none(text, form)


@pytest.mark.parametrize(
    "mark", ["", " ", "?", "NA", "n/a", "NaN", "NULL", "None", "#DIV/0!", "#N/A", "-", None, math.nan]
)
def test_marks_of_missing_values(mark):
    assert text_or_none(mark) is None


def test_new_categories_stand_behind_those_known():
    row = Row(numbers=("x",), categories={"town": ("Lyon", "Nice")})
    towns = ["Nice", "Aix", "Brest", "Aix", "Aix", "Aix", "Aix", "Oslo", None] + ["Lyon"] * 60
    more = row.grow(Rows.of([{"x": 1, "town": town} for town in towns], ["x", "town"]))
    assert more.categories == {"town": ("Lyon", "Nice", "Aix")}  # the others are too rare
    assert more.encode([{"town": t} for t in ("Lyon", "Nice", "Aix", "Oslo", None)])["categories"].tolist() == [
        [2], [3], [4], [1], [0],
    ]  # fmt: skip
