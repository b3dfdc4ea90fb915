"""Answers for whatever a user has, by the same path as the server."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import deepen
from deepen.cli import main
from deepen.errors import DeepenError
from deepen.preprocess.array import Array
from deepen.preprocess.draw import Draw
from deepen.preprocess.history import History
from deepen.preprocess.image import Image, png
from deepen.preprocess.text import Text
from deepen.serving.messages import Request
from deepen.serving.openapi import takes
from deepen.signature import Signature
from deepen.stages.predict import _columns, _of_row, _wanted, chunks
from tests.serving.fakes import of_bundle

PICTURES = np.random.default_rng(0).integers(0, 17, (70, 8, 8), np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    place = tmp_path / "photos"
    (place / "b").mkdir(parents=True)
    for i, picture in enumerate(PICTURES):
        (place / ("b" if i % 2 else "") / f"{i:02}.png").write_bytes(png(picture))
    return place


@pytest.fixture(scope="module")
def rows_run(tmp_path_factory):
    """A small run on a table of numbers, names and dates."""
    place = tmp_path_factory.mktemp("table")
    draw = np.random.default_rng(0)
    lines = ["id,rooms,town,built,price,agent"]
    for n in range(300):
        rooms, town = draw.integers(1, 9), draw.choice(["Lyon", "Łódź", "03"])
        lines.append(
            f"{n * 37 % 300},{rooms},{town},20{draw.integers(10, 24)}-0{draw.integers(1, 9)}-11,{rooms * 10 + draw.normal():.2f},{n % 4}"
        )
    (place / "homes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return deepen.train(
        str(place / "homes.csv"), target="price", drop=["agent"], output=str(place / "runs"), epochs=3, threads=1
    )


@pytest.fixture(scope="module")
def rows_bundle(rows_run):
    return deepen.export(str(rows_run.path))["bundle"]


def close(a, b):
    assert [row["id"] for row in a] == [row["id"] for row in b]
    for x, y in zip(a, b):
        assert x.get("label") == y.get("label")
        for key in ("probability", "value"):
            if key in x:
                assert x[key] == pytest.approx(y[key], rel=1e-4, abs=1e-4)


def test_run_and_bundle_answer_alike(folder, digits_run, digits_bundle, capsys):
    by_run = deepen.predict(str(digits_run.path), str(folder))
    close(by_run, deepen.predict(str(digits_bundle), str(folder)))
    assert [row["id"] for row in by_run] == sorted(
        str(p.relative_to(folder)) for p in folder.rglob("*.png")
    )  # fmt: skip


def test_one_bad_picture_does_not_spoil_a_folder(folder, digits_bundle, capsys):
    right = deepen.predict(str(digits_bundle), str(folder))
    (folder / "00.png").write_bytes(b"not a picture")
    (folder / "b" / "03.png").write_bytes(png(PICTURES[3])[:50])
    capsys.readouterr()
    found = deepen.predict(str(digits_bundle), str(folder))
    assert found[0] == {"id": "00.png", "error": "not a picture (text)", "expected": "JPEG, PNG or WebP"}
    assert [row["id"] for row in found if "error" in row] == ["00.png", "b/03.png"]
    close([r for r in found if "error" not in r], [r for r in right if r["id"] not in {"00.png", "b/03.png"}])
    out, told = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == found
    assert "2 of 70 items without an answer, first 00.png" in told


def test_what_is_no_plain_file_is_told_and_never_waited_for(folder, digits_bundle, tmp_path, capsys):
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to("/nowhere")
    (folder / os.fsdecode(b"\xe9.png")).write_bytes(png(PICTURES[3]))
    found = {row["id"]: row for row in deepen.predict(str(digits_bundle), str(folder), output="answers.jsonl")}
    assert found["pipe.png"]["error"] == found["gone.png"]["error"] == "not a plain file"
    assert "label" in found["\ufffd.png"]
    (tmp_path / "e.npz").write_bytes(b"")
    with pytest.raises(DeepenError, match="Expected an .npz file of plain arrays"):
        deepen.predict(str(digits_bundle), "e.npz")


def test_a_picture_arrays_and_lines_agree(folder, digits_bundle, tmp_path, monkeypatch):
    (one,) = deepen.predict(str(digits_bundle), str(folder / "00.png"))
    assert one["id"] == "00.png"
    np.savez(tmp_path / "many.npz", x=PICTURES)
    arrays = deepen.predict(str(digits_bundle), "many.npz")
    assert [row["id"] for row in arrays[:2]] == ["many.npz:0", "many.npz:1"]
    assert arrays[0]["label"] == one["label"]
    lines = "\n\n".join(json.dumps(picture.tolist()) for picture in PICTURES)
    (tmp_path / "many.jsonl").write_text(lines)
    from_lines = deepen.predict(str(digits_bundle), "many.jsonl")
    assert [row["id"] for row in from_lines[:3]] == ["1", "3", "5"]
    assert [row["label"] for row in from_lines] == [row["label"] for row in arrays]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    close(deepen.predict(str(digits_bundle), "-"), from_lines)


def test_output_file_and_json(folder, digits_bundle, tmp_path, capsys):
    assert main(["predict", str(digits_bundle), str(folder), "-o", "answers.jsonl"]) == 0
    assert capsys.readouterr().out == ""
    written = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(written) == 70
    assert main(["predict", str(digits_bundle), str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written
    assert main(["predict", str(digits_bundle), str(folder), "-o", "answers.csv"]) == 0
    with open("answers.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["label"]) for row in rows] == [(row["id"], row.get("label", "")) for row in written]
    first = next(i for i, row in enumerate(written) if "label" in row)
    assert float(rows[first]["probabilities.3"]) == written[first]["probabilities"]["3"]


def test_several_things_are_asked_about_and_none_is_written_over(folder, digits_bundle, capsys):
    first, second = str(folder / "00.png"), str(folder / "b" / "01.png")
    kept = Path(second).read_bytes()
    assert main(["predict", str(digits_bundle), first, second, str(folder / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in found[:3]] == [first, second, second]
    close(found[1:2], found[2:3])
    for more in ([second, "-o", second], [first, second, "-o", first]):
        assert main(["predict", str(digits_bundle), *more]) == 2
        assert "it is what is asked about. Expected a file of its own" in capsys.readouterr().err
    assert Path(second).read_bytes() == kept


def test_a_csv_row_is_answered_as_the_server_answers_it(rows_run, rows_bundle, tmp_path, capsys):
    table = "rooms,town,built\n3,Lyon,2020-01-01\n,Łódź,\n5,03,2011-05-05\n7,nowhere,2020/02/03\n"
    (tmp_path / "new.csv").write_text("note," + table.replace("\n", "\nx,")[:-2], encoding="utf-8")
    by_run, by_bundle = (deepen.predict(str(m), "new.csv") for m in (rows_run.path, rows_bundle))
    close(by_run, by_bundle)
    assert [row["id"] for row in by_run] == [f"new.csv:{n}" for n in (2, 3, 4, 5)]
    assert "left out new.csv: columns the model does not take: note" in capsys.readouterr().err
    core = of_bundle(Path(rows_bundle))
    answer = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "text/csv"}, table.encode())))
    core.close()
    assert answer.status == 200
    assert [a["value"] for a in answer.document["answers"]] == pytest.approx([r["value"] for r in by_bundle], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("new.csv", b"rooms,built\n3,2020-01-01\n", "no column 'town'. Expected columns rooms"),
        ("new.csv", b"", "the file is empty"),
        ("new.jsonl", b"{\n", "none of 1 item could be read (not JSON in UTF-8 (Expecting"),
        ("new.jsonl", b'{"rooms": NaN}\n', "NaN is not a JSON number"),
        ("new.jsonl", b"\xff\n", "(not JSON in UTF-8 ('utf-8'"),
        ("new.jsonl", b"[" * 100_000, "(not JSON in UTF-8 ("),
        ("new.jsonl", b"\n \n", "no items. Expected rows of 1 number, 1 date, 1 category: a table, or JSON lines."),
        ("new.npz", b"PK", "new.npz: arrays. Expected rows of 1 number, 1 date, 1 category: a table, or JSON lines."),
        ("new.txt", b"text", "neither table nor JSON lines. Expected rows of"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(rows_bundle, tmp_path, name, data, text, capsys):
    (tmp_path / name).write_bytes(data)
    assert main(["predict", rows_bundle, name]) == 2
    assert text in capsys.readouterr().err


def test_a_bad_row_has_its_error_in_its_line(rows_bundle, tmp_path):
    good, bad, odd = {"rooms": 3, "town": "Lyon"}, {"rooms": "three"}, {"romms": 3}
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, (good, bad, odd, good))))
    found = deepen.predict(rows_bundle, "new.jsonl")
    assert [sorted(row) for row in found] == [
        ["id", "value"],
        ["error", "expected", "id"],
        ["error", "expected", "id"],
        ["id", "value"],
    ]
    assert "unknown column 'romms'" in found[2]["error"]
    assert found[0]["value"] == pytest.approx(found[3]["value"])


def test_columns_that_training_left_out_are_passed_over_everywhere(rows_bundle, tmp_path, capsys):
    """An ID, what `drop` named and the answer: in a table, in lines, in a request; what training never saw is not."""
    row = {"id": 7, "rooms": 3, "town": "Lyon", "built": "2020-01-01", "price": "", "agent": 2}
    table = "\n".join(",".join(map(str, line)) for line in (row, row.values()))
    (tmp_path / "new.csv").write_text(table)
    (tmp_path / "new.jsonl").write_text(json.dumps(row))
    core = of_bundle(Path(rows_bundle))
    found = [deepen.predict(rows_bundle, name)[0]["value"] for name in ("new.csv", "new.jsonl")]
    for kind, body in (("text/csv", table), ("application/json", json.dumps({"items": [row]}))):
        answer = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": kind}, body.encode())))
        assert answer.status == 200
        found.append(answer.document["answers"][0]["value"])
    assert found == pytest.approx(found[:1] * 4)
    odd = json.dumps({"items": [{"id": 7, "romms": 3}]}).encode()
    refused = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "application/json"}, odd)))
    assert (refused.status, refused.document["error"]) == (422, "item 0: unknown column 'romms'. Did you mean 'rooms'?")
    assert "rows of 1 number, 1 date, 1 category; passed over: agent, id, price" in takes(core)
    core.close()


def test_a_line_that_is_no_json_costs_no_other_its_answer(rows_bundle, tmp_path, capsys):
    (tmp_path / "new.jsonl").write_bytes(b'{"rooms": 3}\n{"rooms": \n\xff\n{"rooms": NaN}\n{"rooms": 3}\n')
    assert main(["predict", rows_bundle, "new.jsonl"]) == 0
    out, told = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["id"] for row in found if "error" in row] == ["2", "3", "4"]
    assert found[3]["error"] == "not JSON in UTF-8 (NaN is not a JSON number)"
    assert found[0]["value"] == found[4]["value"]
    assert "3 of 5 items without an answer, first 2: not JSON" in told


@pytest.mark.parametrize(
    ("encoder", "wanted"),
    [
        (Text(("a",)), "texts of up to 256 words, 1 known: .txt or a folder of them, a table, or JSON lines"),
        (Draw(3), 'draws of 3 normal numbers: JSON lines such as {"seed": 7}'),
        (History(("a",)), 'histories of up to 200 of 1 things: JSON lines such as ["i7", "i2"], the latest last'),
        (Array((2, 2)), "arrays of shape (2, 2): arrays (.npz), or JSON lines"),
    ],
)
def test_what_is_wanted_is_said_as_it_is_handed_over(encoder, wanted):
    assert _wanted(SimpleNamespace(signature=Signature({"x": encoder}, {}))) == wanted


def test_packed_texts_are_read_and_other_files_are_counted(tmp_path, capsys):
    import gzip

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one")
    (tmp_path / "in" / "b.txt.gz").write_bytes(gzip.compress(b"two"))
    for name in ("c.md", "d.mp3", ".hidden"):
        (tmp_path / "in" / name).write_text("x")
    predictor = SimpleNamespace(signature=Signature({"x": Text(("a",))}, {}))
    assert list(chunks(predictor, "in")) == [(["a.txt", "b.txt.gz"], ["one", "two"])]
    assert capsys.readouterr().err == "passed over 2 files, first c.md: not .txt, .txt.gz, .txt.xz\n"


def test_empty_and_missing_places(digits_bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "y.npz", y=PICTURES)
    for what, text in (("empty", "no items"), ("nowhere", "nothing there"), ("y.npz", "holds y. Expected x or x_test")):
        assert main(["predict", str(digits_bundle), what]) == 2
        assert text in capsys.readouterr().err
    np.savez(tmp_path / "o.npz", x=np.array([{}], object))
    assert main(["predict", str(digits_bundle), "o.npz"]) == 2
    assert "plain arrays" in capsys.readouterr().err
    assert main(["predict", "nowhere", "empty"]) == 2


def test_a_place_for_the_answers_is_looked_at_before_the_work(tmp_path, capsys):
    for output, text in (("gone/x.jsonl", "there is no folder gone."), (str(tmp_path), "it is a folder.")):
        assert main(["predict", "nowhere", "nothing", "-o", output]) == 2
        assert text in capsys.readouterr().err


def test_a_table_for_a_picture_model(digits_bundle, tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DeepenError, match="a table. Expected pictures 8 x 8"):
        deepen.predict(str(digits_bundle), "a.csv")


def test_a_row_that_does_not_fit_costs_no_other_its_answer(rows_bundle, tmp_path):
    (tmp_path / "new.csv").write_text("rooms,built,town\n3,,Lyon\n\n3\n3,,Lyon\n")
    found = deepen.predict(rows_bundle, "new.csv")
    assert [row["id"] for row in found] == ["new.csv:2", "new.csv:4", "new.csv:5"]
    assert found[1]["error"] == "1 cell where the header has 3"
    assert found[0]["value"] == pytest.approx(found[2]["value"])


def test_histories_stand_in_no_column():
    assert _columns({"events": History(("a", "b")), "user": Text(("x",), columns=("note",))}, ["note"]) == ([], [])


def test_from_python_a_run_and_a_path_are_names_and_items_in_memory_are_told(rows_run):
    run, table = rows_run, Path("rows.csv")
    table.write_text("rooms,town,built\n3,Lyon,2020-01-01\n")
    assert deepen.predict(run, table)[0] == deepen.predict(str(run.path), "rows.csv")[0]
    for odd in ({"rooms": 3}, [{"rooms": 3}], []):
        with pytest.raises(DeepenError, match="in memory"):
            deepen.predict(run, odd)
    assert _of_row({"image": Image(8, 8, 1)}, {"image": "gone.png"}, Path("at")).reason == "no file at/gone.png"
