"""Tables as they lie."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from deepen.data import tables
from deepen.data.columns import Column, infer
from deepen.errors import DeepenError
from deepen.preprocess.row import Row
from deepen.sources.table import Table, read_table


def write(text: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def kind_of(values, name: str = "c"):
    cells = np.empty(len(values), object)
    cells[:] = list(values)
    return infer(Column.of(name, cells))


def test_quoted_newlines_and_quotes_are_one_cell():
    names, columns, bad = read_table(write('a,b\n"two\nlines","say ""hi"""\nx,y\n'), None)
    assert names == ["a", "b"]
    assert columns[0].tolist() == ["two\nlines", "x"]
    assert columns[1].tolist() == ['say "hi"', "y"]
    assert not bad


def test_ids_are_the_files_lines():
    text = "a,y\n" + "1,p\n\n2,q\nbad\n" + '"3\n",p\n' + "4,q\n" * 3
    items = Table(write(text), target="y").read()
    assert items.ids == ["t.csv:2", "t.csv:4", "t.csv:6", "t.csv:8", "t.csv:9", "t.csv:10"]
    assert [tuple(b) for b in items.bad] == [("t.csv:5", "1 cell where the header has 2")]


def test_a_quote_that_swallows_rows_is_reported_with_its_lines():
    text = "a,b,c\n" + "1,2,3\n" * 3 + '4,"5,6\n' + "7,8,9\n" * 4 + '10,11",12\n' + "1,2,3\n"
    table = tables.read(write(text))
    assert table.lines == [2, 3, 4, 11]
    assert table.bad[0].id == "t.csv:5"
    assert table.bad[0].reason == "4 lines inside a quote look like rows: a quote that is not closed?"
    assert [one.id for one in table.bad[1:]] == [f"t.csv:{line}" for line in range(6, 11)], "each is lost"
    text = "a,b,c\n1,2,3\n" + '4,"5,6\n' + "7,8,9\n" * 4 + '10",11,12,13\n' + "1,2,3\n"
    table = tables.read(write(text))
    assert table.lines == [2, 9]
    assert table.bad[0].reason == "5 cells where the header has 3 over 6 lines: a quote that is not closed?"
    table = tables.read(write("a,b,c\n1,2,3\n" + '4,5,"6\n' + "7,8,9\n" * 4))
    assert [one.id for one in table.bad] == [f"t.csv:{line}" for line in range(3, 8)]


def test_texts_of_several_lines_are_no_swallowed_rows():
    table = tables.read(write('a,b,c\n1,"Dear sir, hello,\nI write, today,\nbecause\nit rains\nbye, now, then",2\n'))
    assert table.lines == [2]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter):
    rows = [["name, first; last", "x|y"], ["a", "1"], ["b", "2"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    assert tables.sniff(text) == delimiter
    assert tables.read(write(text)).names == rows[0]


def test_what_spreadsheets_add_to_a_table():
    assert tables.read(write('"in\r\nm2",b\n1,2\n')).names == ["in m2", "b"]
    table = tables.read(write("\ufeffsep=;\r\na;b\r\n1,5;x\r\na;b\r\n2,5;y\r\n"))
    assert table.names == ["a", "b"]
    assert table.lines == [3, 5]
    assert table.bad == [("t.csv:4", "the header once more")]
    table = tables.read(write("a,b\n1,x,\n2,y,\n3,z,z\n"))
    assert table.columns[1].tolist() == ["x", "y"]
    assert table.notes == ["its rows end with a delimiter, its header does not"]
    assert table.bad == [("t.csv:4", "3 cells where the header has 2")]
    assert tables.read(write("a,b\n1,x\n2,y,\n")).bad == [("t.csv:3", "3 cells where the header has 2")]


@pytest.mark.parametrize(("last", "kept"), [("Total,,780", 39), ("39,2,780", 39), ("39,2,39", 40), ("39,2,780.5", 40)])
def test_a_row_of_totals_is_no_item(last, kept):
    rows = [f"{i},{i % 3},{i + 1}" for i in range(39)]
    items = Table(write("\n".join(["name,a,price", *rows, last])), target="price", kind="number").read()
    assert len(items) == kept
    assert items.bad[:1] == [("t.csv:41", "a row of totals: column 'price' holds the sum of the rows above")] * (
        40 - kept
    )


@pytest.mark.parametrize("named", ["tab", "\\t", "\t"])
def test_a_delimiter_can_be_said_by_name(named):
    assert tables.read(write("a, x\tb\n1\t2\n"), named).names == ["a, x", "b"]


def test_compressed_tables():
    import gzip
    import lzma

    text = b"a,b\n1,2\n"
    for name, pack in (("t.csv.gz", gzip.compress), ("t.csv.xz", lzma.compress)):
        assert tables.read(write(pack(text), name)).columns[1].tolist() == ["2"]
        with pytest.raises(DeepenError, match="Expected a readable file"):
            tables.read(write(pack(text)[:-9], name))
        with pytest.raises(DeepenError, match="Expected a readable file"):
            tables.read(write(text, name))


def test_a_cell_of_a_megabyte_is_set_aside():
    table = tables.read(write("a,b\n1,2\n" + "x" * (2 << 20) + ",3\n4,5\n"))
    assert table.lines == [2, 4]
    assert "more than a million characters" in table.bad[0].reason


def test_parquet_with_nulls_dates_and_booleans():
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    count = 60
    columns = {
        "day": [None if i == 3 else datetime.date(2024, 1, 1 + i % 28) for i in range(count)],
        "moment": [datetime.datetime(2024, 1, 1, i % 24, 30) for i in range(count)],
        "flag": [None if i == 4 else i % 3 == 0 for i in range(count)],
        "amount": [Decimal(i) / 4 for i in range(count)],
        "size": [None if i % 7 == 0 else i / 3 for i in range(count)],
        "tags": [["a"]] * count,
        "ago": [datetime.timedelta(seconds=i % 5) for i in range(count)],
        "exact": pyarrow.array([10**18 + i * 10**14 + 1 for i in range(count)], pyarrow.timestamp("ns", "UTC")),
        "y": ["p" if i % 4 else "q" for i in range(count)],
    }
    parquet.write_table(pyarrow.table(columns), "t.parquet")
    items = Table("t.parquet", target="y").read()
    types = items.encoders["row"][1]["types"]
    times = {"day": "date", "moment": "date", "ago": "number", "exact": "date"}
    assert types == {**times, "flag": "category", "amount": "number", "size": "number"}
    assert "column 'tags' left out: list values are not read" in items.notes
    row = Row.fit(items.inputs["row"], **items.encoders["row"][1])
    found = row.encode(items.inputs["row"])
    assert found["categories"][3:6, 0].tolist() == [3, 0, 2]
    assert np.isnan(found["numbers"][0]).any()
    Path("broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DeepenError, match="Expected a Parquet file"):
        tables.read("broken.parquet")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5", "NA"] * 9, "number"),
        (["1,234", "5"] * 9, "number"),
        (["a", "b"] * 9, "category"),
        (["02134", "10001"] * 30, "category"),
        ([1.0, None, 2.0] * 9, "number"),
        ([True, False] * 9, "category"),
        (["2024-01-01", "2024-02-01"] * 9, "date"),
        (["yes", ""] * 9, "category"),
        ([f"{i}-{i + 9}" for i in range(40)], "category"),
    ],
)
def test_types_are_inferred(values, kind):
    assert kind_of(values).kind == kind


@pytest.mark.parametrize(
    ("name", "dropped"),
    [("id", True), ("ID", True), ("CustomerId", True), ("user_id", True), ("row number", True), ("rows", False), ("Unnamed: 0", True),
     ("paid", False), ("humidity", False), ("width", False), ("grid", False), ("key", True)],
)  # fmt: skip
def test_only_what_is_called_like_an_id_is_one(name, dropped):
    found = kind_of([i * 7919 % 1009 for i in range(500)], name)
    assert (found.kind == "drop") is dropped


def test_an_id_that_repeats_is_kept():
    assert kind_of([i % 50 for i in range(500)], "store_id").kind == "number"


def test_a_target_written_with_separators_is_a_number():
    text = "a,price\n" + "".join(f'{i % 7},"{i + 1},{i:03d}"\n' for i in range(60))
    items = Table(write(text), target="price").read()
    assert items.kind == "number"
    assert items.target[:2] == [1000.0, 2001.0]


@pytest.mark.parametrize(
    ("cells", "values", "note"),
    [
        (["0,125", "0,500"], [0.125, 0.5], "its numbers are read with a decimal comma"),
        (["0,125", "0.500"], [0.125, 0.5], "its numbers are read with a decimal comma, and '0.500' as 0.5"),
        (["1,5", "1.500"], [1.5, 1500], "its numbers are read with a decimal comma, and '1.500' as 1500"),
        (["1,500", "7"], [1500, 7], "its commas are read as parting thousands"),
        (["1,500.5", "1,234"], [1500.5, 1234], ""),
    ],
)
def test_how_commas_are_read_is_said(cells, values, note):
    found = infer(Column.of("c", np.array(cells * 9, object)), "number")
    assert found.values[:2].tolist() == values
    assert found.notes == [note] * bool(note)


def test_a_target_that_is_no_number_in_a_row_costs_the_row():
    text = "a,price\n" + "".join(f"{i % 7},{i * 1.5 if i != 9 else 'call us'}\n" for i in range(100))
    items = Table(write(text), target="price").read()
    assert [tuple(b) for b in items.bad] == [("t.csv:11", "column 'price' holds 'call us', not a number")]
    assert len(items) == 99


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["red green", "red", "", "green blue", "blue"], ["red;green", "red", None, "green;blue", "blue"]),
        (["red, green", "red", "", "green,blue", "blue"], ["red; green", "red", None, "green;blue", "blue"]),
        (["ice cream", "hot dog", "ice cream", "dog", "x"], ["ice cream", "hot dog", "ice cream", "dog", "x"]),
        (
            ["light red; green", "light", "red", "light red", ";"],
            ["light red; green", "light", "red", "light red", ";"],
        ),
    ],
)
def test_labels_are_parted_by_what_parts_them(cells, labels):
    whole = [f'{i},"{cell}"' for i, cell in enumerate(cells * 10)]
    items = Table(write("a,y\n" + "\n".join(whole)), target="y", kind="labels").read()
    assert items.target[:5] == labels
    assert any("parted by" in note for note in items.notes) == (labels != [cell or None for cell in cells])


def test_01_is_a_code_beside_one_and_one_point_nought():
    items = Table(write("a,y\n" + "1,1\n2,1.0\n3,01\n4,2\n" * 9), target="y").read()
    assert items.target[:4] == ["1", "1", "01", "2"]


def test_one_and_one_point_nought_are_the_same_class():
    items = Table(write("a,y\n" + "1,1\n2,1.0\n3,0\n4,0.0\n" * 9), target="y").read()
    assert set(items.target) == {"0", "1"}


def test_a_forced_type_is_kept_to():
    text = "a,b,y\n" + "".join(f"{i % 9},{i % 7},{'pq'[i % 2]}\n" for i in range(60))
    items = Table(write(text), target="y", types={"a": "category"}, drop=("b",)).read()
    assert items.encoders["row"][1]["types"] == {"a": "category"}
    items = Table(write(text.replace("3,", "x,", 1)), target="y", types={"a": "number"}).read()
    assert items.bad[0].reason.startswith("column 'a' holds")


def test_a_test_file_may_have_its_columns_in_another_order():
    train = "a,b,y\n" + "".join(f"{i % 9},{i % 7}.5,{'pq'[i % 2]}\n" for i in range(40))
    test = "y,a,b\n" + "".join(f"{'pq'[i % 2]},{i % 9},{i % 7}.5\n" for i in range(10)) + "p\n"
    items = Table(write(train), target="y", test=write(test, "u.csv")).read()
    assert items.split == [None] * 40 + ["test"] * 10
    assert items.ids[-1] == "u.csv:11"
    assert items.bad[0].id == "u.csv:12"
    assert items.inputs["row"].columns["a"][40] == 0


def test_training_and_serving_read_a_cell_alike():
    """What the source makes of a column is what the encoder makes of the same text in a request."""
    values = [f"{i + 1}.{i:03d},5" for i in range(60)]
    text = "c;d;y\n" + "".join(f"{v};{1 + i % 28}.2.2024;{'pq'[i % 2]}\n" for i, v in enumerate(values))
    items = Table(write(text), target="y").read()
    row = Row.fit(items.inputs["row"], **items.encoders["row"][1])
    trained = row.encode(items.inputs["row"])["numbers"]
    served = row.encode([{"c": v, "d": f"{1 + i % 28}.2.2024"} for i, v in enumerate(values)])["numbers"]
    np.testing.assert_array_equal(trained, served)
    assert trained[1, 0] == np.float32(2001.5)


def test_real_tables(real_data):
    house = Table(str(real_data / "tabular" / "kc_house.csv.gz"), target="price").read()
    types = house.encoders["row"][1]["types"]
    assert types["date"] == "date"
    assert "id" not in types
    assert house.kind == "number"
    rare = Table(str(real_data / "tabular" / "credit_rare.csv.gz"), target="TARGET").read()
    assert "ID" not in rare.encoders["row"][1]["types"]
    assert len(rare) - len(set(rare.content())) >= 2938
    assert not rare.leaks
    for name, target in (("adult_train", "income"), ("credit_risk", "loan_status"), ("mammography", "label")):
        items = Table(str(real_data / "tabular" / f"{name}.csv.gz"), target=target).read()
        assert not items.bad
        assert not items.leaks
