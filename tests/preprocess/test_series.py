"""Rows and columns as a client sends them become the same window that training saw."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import Invalid
from deepen.preprocess.series import Series, filled, moments

SERIES = Series(("a", "b"), 3, (0.0, 0.0), (1.0, 1.0), "t", "", 3600.0)
COLUMNS = {"a": [9, 1, 2, 3], "b": [9, 4.5, 5, 6]}
WINDOW = [[1, 2, 3], [4.5, 5, 6]]


def rows(times: list[str] | None = None) -> list[dict]:
    found = [{"a": a, "b": b, "more": "x"} for a, b in zip(*COLUMNS.values())]
    times = times or [f"2024-01-01 0{i}:00:00" for i in range(4)]
    return [{**row, "t": time} for row, time in zip(found, times)]


@pytest.mark.parametrize(
    "value", [COLUMNS, rows(), [{k: str(v) for k, v in row.items()} for row in rows()], np.array(WINDOW)]
)
def test_one_window_however_it_is_written(value):
    np.testing.assert_array_equal(SERIES.encode([value])["series"], [WINDOW])


def test_dumped_and_parsed_is_the_same():
    window = np.array([[1.1, np.nan, 3], [4, 5, 6]], np.float32)
    window[0, 0] = np.nan
    dumped = SERIES.dump(window)
    assert dumped["a"] == [None, None, 3.0]
    np.testing.assert_array_equal(SERIES.parse(dumped), window)


def test_missing_numbers_are_the_last_known():
    found = SERIES.parse({"a": [1, None, "n/a"], "b": [None, 2, None]})
    np.testing.assert_array_equal(found, [[1, 1, 1], [np.nan, 2, 2]])
    begin = np.array([0, 0, 2, 2])
    np.testing.assert_array_equal(filled(np.array([[1], [np.nan], [np.nan], [3]]), begin)[:, 0], [1, 1, np.nan, 3])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "got a number"),
        ([], "an empty list"),
        ([1, 2, 3], "what are no rows"),
        ({"a": [1, 2, 3]}, "no column 'b'"),
        ({"a": [1, 2], "b": [1, 2]}, "2 rows. Expected at least 3 rows of a, b, the newest last"),
        ({"a": [1, 2, 3], "b": [1, 2]}, "columns of 2 and 3 values"),
        ({"a": 1, "b": [1, 2, 3]}, "a column that is no list"),
        ({"a": [1, "x", 3], "b": [1, 2, 3]}, "column 'a' holds 'x'"),
        ({"a": [1, [2], 3], "b": [1, 2, 3]}, r"column 'a' holds \[2\]"),
        ({"a": [1, 1e39, 3], "b": [1, 2, 3]}, r"column 'a' holds 1e\+39"),
        (
            rows(["2024-01-01 03:00", "2024-01-01 02:00", "2024-01-01 01:00", "2024-01-01 00:00"]),
            "in the order of time",
        ),
        (
            rows(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 05:00"]),
            "a row for every step",
        ),
        (rows(["2024-01-01 00:00", "2024-01-01 01:00", "soon", "2024-01-01 05:00"]), "column 't' holds 'soon'"),
    ],
)
def test_what_is_no_window_is_named(value, text):
    with pytest.raises(Invalid, match=text) as problem:
        SERIES.encode([np.array(WINDOW), value])
    assert problem.value.row == 1


def test_rows_of_a_table_are_one_item_for_each_series():
    given = [{"a": i, "b": i, "site": site} for i in range(4) for site in "xy"]
    assert SERIES.together(given) == {"": [*range(8)]}
    apart = Series(("a", "b"), 3, group="site").together(given)
    assert apart == {"x": [0, 2, 4, 6], "y": [1, 3, 5, 7]}


HOURLY = Series(("a",), 3, (0.0,), (1.0,), "t", "", 3600.0)


def hourly(*cells):
    """Rows an hour apart, with other cells in the places of some."""
    rows = [{"t": f"2024-01-01 {hour:02}:00", "a": float(hour)} for hour in range(6)]
    for place, name, cell in cells:
        rows[place] = {**rows[place], name: cell}
    return rows


@pytest.mark.parametrize(
    ("rows", "newest", "said"),
    [
        (hourly(), [3, 4, 5], []),
        (
            hourly((4, "t", "oops")),
            [3, 4, 5],
            ["with another time than the one between its neighbours, which is taken"],
        ),
        (hourly((4, "t", "1999-01-01")), [3, 4, 5], ["with another time", "(first: t.csv:4 '1999-01-01')"]),
        (hourly((0, "t", None)), [3, 4, 5], ["1 row without a time: left out"]),
        (hourly((5, "t", "Total")), [2, 3, 4], ["1 row without a time: left out (first: t.csv:5 'Total')"]),
        (hourly((4, "a", "oops")), [3, 3, 5], ["column 'a': 1 cell no number, such as 'oops': taken as missing"]),
        (hourly((4, "a", None)), [3, 3, 5], []),
        (hourly()[::-1], [3, 4, 5], ["5 rows earlier than the row before: sorted"]),
        ([*hourly(), hourly()[5]], [3, 4, 5], ["1 row with a time that stands twice: left out"]),
    ],
)
def test_a_table_is_read_as_training_reads_it(rows, newest, said):
    """A slip in one row does not cost the answer, and is told."""
    found, notes = HOURLY.mended(rows, [f"t.csv:{i}" for i in range(len(rows))])
    assert HOURLY.parse(found).tolist() == [newest]
    assert len(notes) == bool(said)
    assert all(part in notes[0] for part in said)


@pytest.mark.parametrize(
    "rows",
    [
        hourly((3, "t", "x"), (4, "t", "y")),
        hourly((4, "a", "x"), (5, "a", "y")),
        hourly(*((i, "t", "x") for i in range(6))),
        hourly((5, "t", "2204-01-01")),
    ],
)
def test_more_than_a_slip_is_refused(rows):
    with pytest.raises(Invalid):
        HOURLY.parse(HOURLY.mended(rows, ["t.csv:0"] * 6)[0])


def test_scales_by_hand():
    mean, scale = moments(np.array([[1, 5, np.nan], [3, 5, 2], [np.nan, 5, 4]], np.float32))
    assert mean == (2.0, 5.0, 3.0)
    assert scale == (1.0, 1.0, 1.0)


def test_what_is_watched():
    found = SERIES.statistics({"series": np.array([WINDOW], np.float32)})
    assert {name: values.tolist() for name, values in found.items()} == {"a": [3], "b": [6]}
