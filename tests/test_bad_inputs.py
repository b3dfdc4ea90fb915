"""Bad data and bad configurations through the real command line: one clear error, or the item set aside by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from deepen.cli import main, parse
from tests import dirty
from tests.preprocess.test_audio import clip

GOOD_ROWS = "".join(f"{i * 7 % 61},{i % 5},{'ab'[i % 11 > 5]}\n" for i in range(60))


def told(capsys, arguments: list[str], *texts: str) -> str:
    """The one error of a command that must end with exit code 2; `texts` stand in it."""
    code = main(arguments)
    shown = capsys.readouterr().err
    assert code == 2, shown
    assert "Traceback" not in shown
    assert shown.startswith("error: ")
    for text in texts:
        assert text in shown
    return shown


def planned(capsys, arguments: list[str]) -> str:
    """What `--dry-run` says of data that can be trained on."""
    assert main([*arguments, "--dry-run", "threads=1"]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


# ---------------------------------------------------------------- folders of pictures


def test_1_an_empty_folder(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    told(
        capsys, ["train", "photos"], "photos: an empty folder. Expected pictures, texts or sounds, a folder per class."
    )
    (tmp_path / "photos" / "cat").symlink_to(dirty.folder(tmp_path / "other", {"cat": 2}) / "cat")
    told(capsys, ["train", "photos"], "photos: links to folders, which are not followed (cat). Expected pictures")


def test_1_class_folders_with_only_hidden_files(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos", {"cat": 0, "dog": 0})
    (place / "cat" / ".DS_Store").write_bytes(b"x")
    (place / "dog" / "._1.jpg").write_bytes(b"x")
    told(capsys, ["train", "photos"], "photos: no pictures.")


def test_1_pictures_without_class_folders(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for i in range(3):
        (tmp_path / "photos" / f"{i}.png").write_bytes(dirty.PNG)
    told(
        capsys,
        ["train", "photos"],
        "photos: none of 3 items has a label. Expected a folder per class: photos/cat/1.jpg",
        "Label some: deepen label ",
    )


def test_1_only_files_that_are_not_read(tmp_path, capsys):
    dirty.folder(tmp_path / "photos", {"cat": 0})
    (tmp_path / "photos" / "cat" / "1.tif").write_bytes(b"II*")
    told(capsys, ["train", "photos"], "1 file not read (first: cat/1.tif: TIF is not read, convert it to PNG")


def test_2_one_class_only(tmp_path, capsys):
    dirty.folder(tmp_path / "photos", {"cat": 12})
    told(capsys, ["train", "photos"], "label: 1 class (cat). Expected at least two. Check the labels.")


def test_2_too_few_items_to_split(tmp_path, capsys):
    dirty.folder(tmp_path / "photos", {"cat": 1, "dog": 1})
    told(
        capsys,
        ["train", "photos"],
        "label: 2 different values in 2 items, such as 'cat'. Expected classes that repeat. Give each",
    )


def test_2_classes_of_none_one_and_two_items_are_named(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos", {"ant": 1, "bee": 2, "cat": 30, "dog": 30})
    (place / "emu").mkdir()
    (place / "emu" / ".hidden.png").write_bytes(dirty.PNG)
    shown = planned(capsys, ["train", "photos"])
    assert "2 of 4 classes without an item in test, so not measured: 'ant' (1), 'bee' (2)" in shown
    assert "folder 'emu' holds no good picture: no such class" in shown
    assert "uneven classes: 'cat' 47.6%, 'ant' 1.6%" in shown


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad.jpg", dirty.JPEG[: len(dirty.JPEG) // 2], "truncated or damaged"),
        ("bad.png", b"I am a text", "not a picture (text)"),
        ("bad.png", dirty.bomb(), "13000 x 13000 pixels are too many"),
        ("bad.png", b"", "empty file"),
        ("bad.webp", dirty.animated("WEBP"), "an animation of 3 frames"),
        ("bad.png", dirty.animated("PNG"), "an animation of 3 frames"),
        ("bad.gif", dirty.animated("GIF"), "GIF is not read, convert it to PNG or JPEG"),
    ],
)
def test_3_to_7_a_bad_picture_is_set_aside_by_name(tmp_path, capsys, name, content, reason):
    place = dirty.folder(tmp_path / "photos", {"cat": 15, "dog": 15})
    (place / "cat" / name).write_bytes(content)
    assert f"1 of 31 items set aside: 1 x {reason} (first: cat/{name})" in planned(capsys, ["train", "photos"])


def test_7_odd_but_whole_pictures_are_read(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos", {"cat": 15, "dog": 15})
    for name, content in dirty.good_pictures().items():
        (place / "dog" / name).write_bytes(content)
    shown = planned(capsys, ["train", "photos"])
    assert "pictures 96 x 96, colour" in shown
    assert f"items    {30 + len(dirty.good_pictures()) - 14} to train, 7 to validate, 7 to test" in shown
    assert "set aside" not in shown


@pytest.mark.parametrize("name", dirty.bad_places())
def test_8_links_and_pipes_are_set_aside(tmp_path, capsys, name):
    place = dirty.folder(tmp_path / "photos", {"cat": 15, "dog": 15})
    make, reason = dirty.bad_places()[name]
    make(place / "cat" / name)
    assert f"1 of 31 items set aside: 1 x {reason} (first: cat/{name})" in planned(capsys, ["train", "photos"])


def test_8_a_name_that_is_no_utf8(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos", {"cat": 15, "dog": 15})
    with open(os.fsencode(place / "cat") + b"/\xff\xfe.png", "wb") as file:
        file.write(dirty.PNG)
    assert "1 x its name is not UTF-8 (first: cat/\ufffd\ufffd.png)" in planned(capsys, ["train", "photos"])


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (("images/{}.png", "labels/{}.txt"), "15 pictures and 15 .txt files of their names, but no names of classes."),
        (
            ("{}.png", "{}.txt"),
            "15 pictures and 15 .txt files of their names, but no names of classes. Expected classes.",
        ),
        (
            ("train2017/{}.png", "val2017/{}.png"),
            "30 pictures in train2017/, val2017/, no boxes. Expected boxes as COCO",
        ),
        (
            ("JPEGImages/{}.png", "SegmentationClass/{}.png"),
            "30 pictures in JPEGImages/, SegmentationClass/, no boxes.",
        ),
    ],
)
def test_pictures_laid_out_for_boxes_without_their_index_are_no_class_folders(tmp_path, capsys, names, error):
    for i in range(15):
        for name in names:
            file = tmp_path / "photos" / name.format(i)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(dirty.PNG if file.suffix == ".png" else b"0 0.5 0.5 0.2 0.2")
    told(capsys, ["train", "photos"], error)


def test_sounds_without_class_folders_are_still_sounds(tmp_path, capsys):
    (tmp_path / "sounds").mkdir()
    for i in range(3):
        (tmp_path / "sounds" / f"{i}.wav").write_bytes(clip(0.1, frequency=300 + i))
    told(capsys, ["train", "sounds"], "none of 3 items has a label. Expected a folder per class: sounds/dog/1.wav")


def test_texts_beside_class_folders_are_passed_over(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos", {"cat": 15, "dog": 15})
    for name in ("licence", "readme", "todo"):
        (place / f"{name}.txt").write_text("about these pictures")
    assert "passed over 'licence.txt': not a picture's name" in planned(capsys, ["train", "photos"])


def test_texts_beside_other_files_are_one_text_to_go_on_with(tmp_path, capsys):
    (tmp_path / "novel").mkdir()
    for i in range(6):
        (tmp_path / "novel" / f"{i}.txt").write_text("".join(chr(97 + i * j % 26) for j in range(1, 900)))
    (tmp_path / "novel" / "notes.md").write_text("x")
    shown = planned(capsys, ["train", "novel", "model=rnn"])
    assert "what comes next" in shown
    assert "passed over 1 file, first notes.md: no .txt" in shown


def test_11_class_folders_that_differ_only_in_case(tmp_path, capsys):
    dirty.folder(tmp_path / "photos", {"Cat": 10, "cat": 10, "dog": 10})
    told(capsys, ["train", "photos"], "label: classes 'Cat' and 'cat'. Expected names that differ in more than case or")


def test_12_the_same_picture_in_train_and_test(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos" / "train", {"cat": 15, "dog": 15})
    test = dirty.folder(tmp_path / "photos" / "test", {"cat": 4, "dog": 4}, seed=100)
    (test / "cat" / "copy.png").write_bytes((place / "cat" / "3.png").read_bytes())
    text = "1 of 9 items in test stand in train too (first: test/cat/copy.png = train/cat/3.png)"
    assert f"note     {text}" in planned(capsys, ["train", "photos", "split.seed=1"])
    told(capsys, ["train", "photos", "split.seed=1", "check.leaks=stop"], f"data: {text}. Expected nothing that makes")


@pytest.mark.parametrize("how", ["smaller", "jpeg", "brighter"])
def test_12_nearly_the_same_picture_in_train_and_test(tmp_path, capsys, how):
    place = dirty.folder(tmp_path / "photos" / "train", {"cat": 15, "dog": 15}, size=(80, 80))
    test = dirty.folder(tmp_path / "photos" / "test", {"cat": 4, "dog": 4}, seed=100, size=(80, 80))
    image = dirty.Image.open(place / "cat" / "3.png")
    image = {"smaller": image.resize((50, 50)), "jpeg": image, "brighter": image.point(lambda v: v * 0.9 + 20)}[how]
    image.save(test / "cat" / "near.jpg", quality=60)
    shown = planned(capsys, ["train", "photos", "size=64", "split.seed=1"])
    assert (
        "1 of 9 pictures in test are nearly the same as one in train (first: test/cat/near.jpg ~ train/cat/3.png)"
        in shown
    )


def test_too_many_bad_ones_stop_and_say_how_to_go_on(tmp_path, capsys):
    place = dirty.folder(tmp_path / "photos", {"cat": 15, "dog": 15})
    for i in range(3):
        (place / "dog" / f"bad{i}.png").write_bytes(b"hello there")
    told(
        capsys,
        ["train", "photos"],
        "data: 3 of 33 items are bad (3 x not a picture (text); first: dog/bad0.png). Expected at most 5%.",
        "check.max_bad=0.1.",
    )
    assert "3 of 33 items set aside" in planned(capsys, ["train", "photos", "check.max_bad=0.1"])


def test_test_pictures_of_an_unknown_class(tmp_path, capsys):
    dirty.folder(tmp_path / "photos" / "train", {"cat": 10, "dog": 10})
    dirty.folder(tmp_path / "photos" / "test", {"cat": 3, "emu": 3}, seed=50)
    told(capsys, ["train", "photos"], "class 'emu': no item in the training part (3 in test).", "Move some of them")


def test_only_a_test_folder(tmp_path, capsys):
    dirty.folder(tmp_path / "photos" / "test", {"cat": 10, "dog": 10})
    told(capsys, ["train", "photos"], "photos: only test. Expected a folder train/ beside it.")


@pytest.mark.slow
def test_sixty_kinds_of_bad_file_among_two_thousand(tmp_path, capsys):
    """R14: each is quarantined with its reason, no good one is lost, the counts add up."""
    place = dirty.folder(tmp_path / "photos", {"cat": 980, "dog": 1000}, size=(8, 8))
    good = {f"{c}/{i}.png" for c, n in (("cat", 980), ("dog", 1000)) for i in range(n)}
    for name, content in dirty.good_pictures().items():
        (place / "cat" / name).write_bytes(content)
        good.add(f"cat/{name}")
    planted = {}
    for i, (name, (content, reason)) in enumerate(dirty.bad_contents().items()):
        folder = "cat" if i % 2 else "dog"
        (place / folder / f"bad_{name}").write_bytes(content)
        planted[f"{folder}/bad_{name}"] = reason
    for name, (make, reason) in dirty.bad_places().items():
        make(place / "dog" / f"bad_{name}")
        planted[f"dog/bad_{name}"] = reason
    assert len(planted) >= 60

    assert main(["train", "photos", "epochs=1", "model=mlp", "size=8", "output=runs", "threads=1"]) == 0
    (run,) = Path("runs").iterdir()
    report = json.loads((run / "quarantine.json").read_text())
    assert {bad["id"]: bad["reason"] for bad in report["quarantine"]} == planted
    split = json.loads((run / "split.json").read_text())
    assert sorted(name for part in split.values() for name in part) == sorted(good)
    assert report["items"] == len(good) + len(planted)
    assert report["train"] + report["val"] + report["test"] + report["unlabelled"] + report["bad"] == report["items"]


# ---------------------------------------------------------------- tables


def table(text: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "t.csv: the file is empty. Expected a header line and rows."),
        ("\n\n\n", "t.csv: only empty lines. Expected a header line and rows."),
        ("a,b,y\n", "t.csv: a header without rows. Expected rows that fit the header."),
        ("a,b,y\n1,2\n3,4\n", "t.csv: 2 cells where the header has 3 (line 2)."),
        ("a,a,y\n1,2,3\n", "t.csv:1: column 'a' stands twice. Expected a name of its own for each column."),
        ("a b y\n1 2 3\n", "t.csv:1: one column ('a b y'). Expected a header line with at least two columns."),
        (bytes(200) + b"a,b", "t.csv: NUL bytes throughout: not a text file."),
        ("a,b,y\n" + "1,2,\n" * 30, "t.csv: column 'y': every row lacks it. Expected the answers to learn from."),
        (
            "a,y\n" + "".join(f"1,{'ab'[i % 2]}\n" for i in range(30)),
            "no column to learn from is left; column 'a' left",
        ),
        (
            "a,y\n" + "".join(f"{i % 7},name{i}\n" for i in range(99)),
            "column 'y': 99 different texts in 99 rows, such as",
        ),
        (
            "a,y\n" + "".join(f"{i % 7},2026-{1 + i % 5:02}-{1 + i % 9:02}\n" for i in range(200)),
            "column 'y': 45 different dates, such as '2026-01-01': each would be a class of its own.",
        ),
        (
            "a,y\n" + "".join(f"{i % 7},{('Yes', 'yes', 'no')[i % 3]}\n" for i in range(60)),
            "y: classes 'Yes' and 'yes'.",
        ),
        ("a,y\n" + "".join(f"{i % 7},{('yes ', 'no', ' yes')[i % 3]}\n" for i in range(60)), None),
    ],
)
def test_9_to_11_tables_that_cannot_be_used(capsys, text, error):
    if error is None:
        assert "2 classes: no, yes" in planned(capsys, ["train", table(text), "target=y"])
    else:
        told(capsys, ["train", table(text), "target=y"], error)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "t.csv: which column to predict is not said. Expected one of a, b, y. deepen train "),
        (["target=Y"], "data.target: unknown column 'Y'. Did you mean 'y'? Known: a, b, y."),
        (["target=y", "drop=[c]"], "data.drop: unknown column 'c'."),
        (["target=y", "data.types={a: nummer}"], "data.types.a: got 'nummer'. Expected one of number, date, category"),
        (["target=y", "delimiter=;;"], "data.delimiter: got ';;'. Expected one character"),
        (["target=y", "delimiter=;"], "t.csv:1: one column ('a,b,y')"),
        (["target=y", "data.test=u.csv"], "u.csv: no such file."),
        (["target=y", "split.how=time"], "split.by: got None. Expected a column to time by: a, b"),
        (["target=y", "split.val=0.6", "split.test=0.5"], "split: val 0.6 and test 0.5. Expected together less than 1"),
        (["target=y", "train.augment=[flip]"], "train.augment[0]: flip cannot change rows"),
    ],
)
def test_settings_that_do_not_fit_the_table(capsys, arguments, error):
    told(capsys, ["train", table("a,b,y\n" + GOOD_ROWS), *arguments], error)


@pytest.mark.parametrize(
    ("rows", "reason", "line"),
    [
        ("1,2\n", "2 cells where the header has 3", 62),
        ("1,2,a,4\n", "4 cells where the header has 3", 62),
        ("1,\0,a\n", "a NUL byte", 62),
        ('1,2,"a\n3,4,b\n', "a quote that is not closed takes up lines 62 to 63", 62),
        ('1,"2\n3,4",b,7\n', "4 cells where the header has 3 over 2 lines: a quote that is not closed?", 62),
    ],
)
def test_9_rows_that_do_not_fit_are_set_aside(capsys, rows, reason, line):
    shown = planned(capsys, ["train", table("a,b,y\n" + GOOD_ROWS + rows), "target=y"])
    assert f"1 of 61 items set aside: 1 x {reason} (first: t.csv:{line})" in shown


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"\xef\xbb\xbf" + f"a,b,y\n{GOOD_ROWS}".encode(), None),
        (f"a,b,y\n{GOOD_ROWS}".replace("\n", "\r\n").encode(), None),
        (f"a,b,y\n{GOOD_ROWS}".replace("\n", "\r").encode(), None),
        (f"a,b,y\n{GOOD_ROWS}".replace(",", ";").encode(), None),
        (f"a,b,y\n{GOOD_ROWS}".replace(",", "\t").encode(), None),
        (f'"a, in m";"b, in m";y\n{GOOD_ROWS.replace(",", ";")}'.encode(), None),
        (f"a,b,y\n{GOOD_ROWS}".encode("utf-16"), "the file is UTF-16"),
        (f"a,b,y\n{GOOD_ROWS}".replace("b\n", "b\xe9\n").encode("latin-1"), "line 8 is not UTF-8: the file is read as"),
        (f"a,,y\n{GOOD_ROWS}".encode(), "column 2 has no name: called 'column 2'"),
        (("a,b,y\n" + GOOD_ROWS + ",,\n" * 9).encode(), "9 rows without any value passed over"),
    ],
)
def test_9_tables_as_programs_export_them(capsys, content, note):
    shown = planned(capsys, ["train", table(content), "target=y"])
    assert "rows of 2 numbers, 0 dates, 0 categories" in shown
    assert "columns  numbers: a" in shown
    assert "items    42 to train, 9 to validate, 9 to test" in shown
    assert note is None or note in shown


def column(values, more: str = "") -> str:
    """A table with one column under test beside a good one, and a target that follows neither."""
    rows = "".join(f"{value},{i * 7 % 11},{'ab'[i * 5 % 7 > 3]}\n" for i, value in enumerate(values))
    return table(f"c,good,y\n{rows}{more}")


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([""] * 60, "column 'c' left out: all values are missing"),
        (["#N/A", "null"] * 30, "column 'c' left out: all values are missing"),
        (["inf", "-inf"] * 30, "column 'c' left out: all values are infinite"),
        (["7"] * 60, "column 'c' left out: constant ('7')"),
        ([f"name {i}" for i in range(60)], "column 'c' left out: nearly every value is different (60 in 60 rows)"),
        (range(500, 700), "column 'c' left out: it numbers the rows"),
        ([f"{i}.5" if i % 4 else "off" for i in range(100)], "column 'c' left out: numbers and text mixed (25% are no"),
        (["inf" if i == 5 else i / 7 for i in range(60)], "column 'c': 1 infinite value taken as missing"),
        ([f'"{i},5"' for i in range(60)], "column 'c': its numbers are read with a decimal comma"),
        (
            [f"{1 + i % 9}/{1 + i % 7}/2024" for i in range(60)],
            "its dates fit month/day and day/month: read as month first",
        ),
    ],
)
def test_10_columns_are_left_out_or_read_with_a_word(capsys, values, note):
    assert note in planned(capsys, ["train", column(values), "target=y"])


@pytest.mark.parametrize(
    ("values", "described"),
    [
        ([f'"{i + 1},{i:03d}"' for i in range(60)], "2 numbers, 0 dates, 0 cat"),
        ([f"{i} %" for i in range(60)], "2 numbers, 0 dates, 0 cat"),
        ([f"${i}.50" for i in range(60)], "2 numbers, 0 dates, 0 cat"),
        ([f"  {i / 3} " for i in range(60)], "2 numbers, 0 dates, 0 cat"),
        (["true", "false", "false"] * 20, "1 number, 0 dates, 1 cat"),
        (["007", "042", "100"] * 20, "1 number, 0 dates, 1 cat"),
        ([f"2024-{1 + i % 12:02d}-03" for i in range(60)], "1 number, 1 date, 0 cat"),
        ([f"13.{1 + i % 12}.2024" for i in range(60)], "1 number, 1 date, 0 cat"),
        ([f"{1 + i % 12}/28/24 9:{i:02d} pm" for i in range(60)], "1 number, 1 date, 0 cat"),
        ([f"{1 + i % 28}-Feb-1995" for i in range(60)], "1 number, 1 date, 0 cat"),
        ([20240101 + i % 28 for i in range(60)], "1 number, 1 date, 0 cat"),
    ],
)
def test_10_common_ways_to_write_values_are_understood(capsys, values, described):
    assert f"rows of {described}" in planned(capsys, ["train", column(values), "target=y"])


def test_10_a_stray_text_among_numbers_costs_its_row_only(capsys):
    path = column([f"{i}.5" if i != 7 else "unknown" for i in range(100)])
    shown = planned(capsys, ["train", path, "target=y"])
    assert "1 of 100 items set aside: 1 x column 'c' holds 'unknown', not a number (first: t.csv:9)" in shown


def test_10_a_number_id_is_no_feature(capsys):
    rows = "".join(f"{i * 7919 % 100_003},{i % 5},{'ab'[i % 11 > 5]}\n" for i in range(200))
    shown = planned(capsys, ["train", table("CustomerId,b,y\n" + rows), "target=y"])
    assert "column 'CustomerId' left out: a value of its own for nearly every row, like an ID" in shown
    kept = planned(capsys, ["train", "t.csv", "target=y", "data.types={CustomerId: number}"])
    assert "rows of 2 numbers" in kept


def test_10_a_thousand_columns(capsys):
    rng = np.random.default_rng(0)
    names = ",".join(f"x{i}" for i in range(1000))
    body = "".join(
        ",".join(f"{v:.3f}" for v in row) + f",{'ab'[i % 2]}\n" for i, row in enumerate(rng.random((60, 1000)))
    )
    assert "rows of 1,000 numbers" in planned(capsys, ["train", table(f"{names},y\n{body}"), "target=y"])


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda i, y: "pq"[y], "it alone tells the class in 100.00% of the rows"),
        (lambda i, y: y * 3.5, "it alone tells the class in 100.00% of the rows"),
        (lambda i, y: y + i / 1e4, "it alone tells the class in 100.00% of the rows"),
    ],
)
def test_a_column_that_gives_the_class_away(capsys, make, note):
    text = "".join(f"{make(i, i * 5 % 7 > 3)},{i * 7 % 11},{'ab'[i * 5 % 7 > 3]}\n" for i in range(200))
    path = table("c,good,y\n" + text)
    assert f"note     column 'c' gives the answer away: {note}" in planned(capsys, ["train", path, "target=y"])
    told(capsys, ["train", path, "target=y", "check.leaks=stop"], "data: column 'c' gives the answer away", "data.drop")


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda v: v, "it equals the target"),
        (lambda v: np.exp(v / 50), "it rises and falls with the target, item by item"),
        (lambda v: -3 * v + 1, "it rises and falls with the target, item by item"),
    ],
)
def test_a_column_that_gives_the_number_away(capsys, make, note):
    values = np.random.default_rng(0).permutation(200) + 0.5
    path = table("c,good,y\n" + "".join(f"{make(v)},{i * 7 % 11},{v}\n" for i, v in enumerate(values)))
    assert f"column 'c' gives the answer away: {note}" in planned(capsys, ["train", path, "target=y"])


def test_a_target_missing_in_some_rows_is_unlabelled(capsys):
    shown = planned(capsys, ["train", table("a,b,y\n" + GOOD_ROWS + "1,2,\n3,4,NA\n"), "target=y"])
    assert "42 to train, 9 to validate, 9 to test, 2 without label" in shown


def test_a_word_that_counts_as_no_label_is_named(capsys):
    rows = "".join(f"{i},{('red', 'blue', 'none')[i % 3]}\n" for i in range(60))
    shown = planned(capsys, ["train", table("a,y\n" + rows), "target=y"])
    assert "target 'y': 'none' counts as no label (20 rows)" in shown
    assert "20 without label" in shown


def test_a_column_of_texts_is_named_as_such(capsys):
    path = column([f"this is the text of row {i}" for i in range(60)])
    shown = planned(capsys, ["train", path, "target=y", "data.name=table"])
    assert "column 'c' left out: free text (7 words on average)" in shown


def test_groups_that_stand_in_two_parts_are_hinted_at(capsys):
    rows = "".join(f"p{i % 30},{i * 7 % 11},{i % 13},{'ab'[i * 5 % 7 > 3]}\n" for i in range(300))
    path = table("patient,a,b,y\n" + rows)
    assert "split.how=group split.by=patient" in planned(capsys, ["train", path, "target=y"])
    assert "split.by=patient" not in planned(capsys, ["train", path, "target=y", "split.how=group", "split.by=patient"])


def test_a_time_that_is_none(capsys):
    path = column(["2024-01-01" if i % 9 else "soon" for i in range(60)])
    told(
        capsys,
        ["train", path, "target=y", "split.how=time", "split.by=c"],
        "column 'c': holds 'soon'. Expected numbers",
    )


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        (
            {"jpeg_train": np.zeros(9, np.uint8), "off_train": np.arange(3)},
            "a.npz: holds jpeg_train, off_train. Expected arrays x and y",
        ),
        (
            {"x": np.zeros((5, 2)), "y": np.zeros(4)},
            "a.npz: x, y: shapes (5, 2) and (4,). Expected one row of x per label",
        ),
        ({"x": np.zeros(5), "y": np.zeros(5)}, "x: shape (5,). Expected a row per item."),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "a.npz: x: shape (0, 2). Expected items."),
        ({"x": np.array([["a"], ["b"]]), "y": np.zeros(2)}, "a.npz: x: type <U1. Expected numbers."),
        ({"x": np.zeros((2, 2)), "y": np.zeros((2, 3, 1))}, "a.npz: y: shape (2, 3, 1). Expected one answer per item."),
        (
            {"x": np.zeros((2, 2)), "y": np.array([None, 1])},
            "a.npz: arrays of Python objects. Expected an .npz file of",
        ),
        (
            {"x_train": np.zeros((4, 2)), "y_train": np.zeros(4), "x_test": np.zeros((4, 3)), "y_test": np.zeros(4)},
            "a.npz: x_train, x_test: float64 (4, 2) and float64 (4, 3). Expected items of one shape and type.",
        ),
    ],
)
def test_arrays_of_another_layout(capsys, arrays, error):
    np.savez("a.npz", **arrays)
    told(capsys, ["train", "a.npz"], error)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf, 1e300])
def test_10_a_place_without_a_number_stops(capsys, nothing):
    x = np.random.default_rng(0).random((60, 2, 3))
    x[:, 1, 2] = nothing
    np.savez("a.npz", x=x, y=np.arange(60) % 2)
    told(
        capsys,
        ["train", "a.npz"],
        "x[:, 1, 2]: none of the 42 training items has a number there. Expected finite numbers of at most 3.4e38. Mend the data",
    )
    x[:, 0, 0] = nothing
    np.savez("a.npz", x=x, y=np.arange(60) % 2)
    told(capsys, ["train", "a.npz"], "x[:, 0, 0]: none of the 42", "(nor in 1 further place)")
    x[::10] = 0  # a few numbers are enough to go on
    np.savez("a.npz", x=x, y=np.arange(60) % 2)
    assert "42 to train" in planned(capsys, ["train", "a.npz"])


def test_10_a_place_that_only_the_test_part_fills_stops(capsys):
    x = np.random.default_rng(0).random((60, 3))
    x[:, 1] = np.nan
    np.savez("a.npz", x_train=x, y_train=np.arange(60) % 2, x_test=x * 0 + 1, y_test=np.arange(60) % 2)
    told(capsys, ["train", "a.npz"], "x[:, 1]: none of the 51 training items has a number there")


def test_10_a_column_said_to_hold_numbers_that_holds_none_stops(capsys):
    path = table("a,d,y\n" + "".join(f"{i % 7},nan,{'ab'[i % 2]}\n" for i in range(60)))
    assert "column 'd' left out: all values are missing" in planned(capsys, ["train", path, "target=y"])
    for kind in ("number", "date"):
        words = ["train", path, "target=y", f"data.types={{d: {kind}}}"]
        told(capsys, words, "column 'd': none of the 42 training items has a number there", "data.drop=[...]")


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_of_nothing_is_refused(capsys, part):
    use = {"val": "validation decides which weights are kept", "test": "figures and the gate stand on the test part"}
    told(
        capsys,
        ["train", "blobs", f"split.{part}=0"],
        f"split.{part}: is 0. Expected a share above 0: {use[part]}. Leave it out, or split.{part}=0.1.",
    )


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (
            [i / 7 for i in range(60)],
            "y: 60 different values in 60 items, such as '0.0'. Expected classes that repeat.",
        ),
        ([i % 35 / 7 for i in range(60)], "y: 35 different values in 60 items"),
        (range(60), "y: 60 different values in 60 items"),
    ],
)
def test_numbers_taken_for_classes(capsys, values, error):
    path = table("a,y\n" + "".join(f"{i % 7},{value}\n" for i, value in enumerate(values)))
    told(capsys, ["train", path, "target=y", "data.kind=classes"], error, "Did you mean data.kind=number?")


def test_classes_that_are_whole_numbers_may_be_many(capsys):
    path = table("a,y\n" + "".join(f"{i % 7},{i % 35}\n" for i in range(60)))
    assert "35 classes" in planned(capsys, ["train", path, "target=y", "data.kind=classes"])


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_long_answers_are_cut(capsys, kind):
    long = ["y" * 5000, "z" * 5000]
    path = table("a,y\n" + "".join(f"{i},{long[i % 40 > 0]}\n" for i in range(60)))
    code = main(["train", path, "target=y", f"data.kind={kind}", "--dry-run", "threads=1"])
    assert code == (0 if kind == "classes" else 2)
    shown = "".join(capsys.readouterr())
    assert "yyy..." in shown
    assert max(map(len, shown.splitlines())) < 400


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (lambda i: 10**40 + i * 10**38, "y[0]: 1e+40 is too large. Expected numbers of at most 3.4e38."),
        (lambda i: -(10**40) - i, "y[0]: -1e+40 is too large. Expected numbers of at most 3.4e38."),
        (lambda i: 10**18 + i, "y: no two numbers that differ in their first seven digits."),
        (lambda i: 3.5, "y: no two numbers that differ in their first seven digits."),
    ],
)
def test_numbers_that_no_network_holds(capsys, value, error):
    path = table("a,y\n" + "".join(f"{i % 7},{value(i)}\n" for i in range(60)))
    told(capsys, ["train", path, "target=y", "data.kind=number"], error)


def test_an_array_of_answers_by_another_name(capsys):
    rng = np.random.default_rng(0)
    np.savez("a.npz", x=rng.random((60, 4)), colour=np.arange(60) % 3, weight=rng.random(60))
    told(capsys, ["train", "a.npz"], "a.npz: holds colour, weight, x.", "Say which one holds the answers: target=")
    told(capsys, ["train", "a.npz", "target=color"], "data.target: unknown array 'color'. Did you mean 'colour'?")
    assert "3 classes: 0, 1, 2" in planned(capsys, ["train", "a.npz", "target=colour"])
    assert "a number" in planned(capsys, ["train", "a.npz", "target=weight"])


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + bytes(80)])
def test_arrays_that_are_no_archive(capsys, content):
    Path("a.npz").write_bytes(content)
    told(capsys, ["train", "a.npz"], "a.npz: ", "Expected an .npz file of plain arrays.")


# ---------------------------------------------------------------- configurations

BLOBS = "data: {name: blobs}\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("train: {learning_rat: 1}", "train.learning_rat: unknown name 'learning_rat'. Did you mean 'learning_rate'?"),
        ("labels: {path: x}", "labels.path: unknown name 'path'. Known: acts."),
        ("trian: {lr: 1}", "trian: unknown name 'trian'. Did you mean 'train'?"),
        ("train: {lr: '1e-3'}", "train.lr: got '1e-3'. Expected a number above 0"),
        ("train: {lr: 1, lr: 2}", "c.yaml:2: key 'lr' stands twice."),
        ("train: {batch_size: 0}", "train.batch_size: got 0. Expected a whole number of at least 1"),
        ("train: {batch_size: -1}", "train.batch_size: got -1. Expected a whole number of at least 1"),
        ("train: {batch_size: 2.5}", "train.batch_size: got 2.5. Expected a whole number of at least 1"),
        ("train: {batch_size: '32'}", "train.batch_size: got '32'. Expected a whole number of at least 1"),
        ("train: {batch_size: 10**9}", "train.batch_size: got '10**9'. Expected a whole number of at least 1"),
        ("train: {batch_size: true}", "train.batch_size: got True. Expected a whole number of at least 1"),
        ("train: {lr: .nan}", "train.lr: got nan. Expected a number above 0"),
        ("train: {lr: -.INF}", "train.lr: got -inf. Expected a number above 0"),
        ("train: {lr: 0}", "train.lr: got 0. Expected a number above 0"),
        ("train: {epochs: 0}", "train.epochs: got 0. Expected a whole number of at least 1"),
        ("train: {epochs: 1e400}", "train.epochs: got inf. Expected a whole number of at least 1"),
        ("train: {epochs: 99999999999999999999}", "train.epochs: got a number of more than 19 digits."),
        ("train: {epochs: " + "9" * 5000 + "}", "c.yaml: a number with thousands of digits."),
        (
            "train: {optimizer: {name: sgd, nesterov: off}}",
            "train.optimizer.nesterov: got 'off'. Expected true or false.",
        ),
        ("no: off", "no: unknown name 'no'."),
        ("train: {seed: 12:30:00}", "train.seed: got '12:30:00'. Expected a whole number of at least 0."),
        ("train: {optimizer: adamx}", "train.optimizer: unknown name 'adamx'. Did you mean 'adam"),
        (
            "train: {optimizer: {name: lion, beta: 1}}",
            "train.optimizer.beta: unknown name 'beta'. Did you mean 'beta",
        ),
        ("model: {name: mlpp}", "model: unknown name 'mlpp'. Did you mean 'mlp'?"),
        (
            "model: {name: mlp, num_classes: 7}",
            "model.num_classes: set by hand. Expected nothing: it comes from the data.",
        ),
        ("model: {name: mlp, hiden: 3}", "model.hiden: unknown name 'hiden'. Did you mean 'hidden'?"),
        ("data: {name: digits}\nmodel: lenet", "c.yaml:2: key 'data' stands twice."),
        ("a: &x [1]\nb: *x", "c.yaml:3: aliases are not allowed."),
        (
            "x: !!python/object/apply:os.system [id]",
            "tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed",
        ),
        ("x: !!binary aGk=", "tag 'tag:yaml.org,2002:binary' is not allowed"),
        ("? [a]\n: b", "c.yaml:2: key ['a'] is not text."),
        ("---\ndata: 3", "but found another document"),
        ("method: {name: 'os:system'}", "os:system: system is a builtin_function_or_method, not a class."),
        ("split: {val: 1.0}", "split.val: got 1.0. Expected a number from 0 up to 1 (1 excluded)."),
        ("train: 3", "train: got 3. Expected a mapping."),
    ],
)
def test_15_to_27_configurations_that_cannot_be_used(capsys, text, error):
    Path("c.yaml").write_text(BLOBS + text, encoding="utf-8")
    told(capsys, ["train", "c.yaml"], error)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "c.yaml: is empty. Expected a mapping with data: at its top."),
        (b"- 1\n- 2", "c.yaml: holds a list. Expected a mapping"),
        (b"train it please", "c.yaml: holds only text."),
        (b"train: {lr: 1}", "data: missing."),
        (b"\xff\xfe\x00\x80", "c.yaml: not text."),
        (b"\x00\x01\x02", "c.yaml: unacceptable character #x0000: special characters are not allowed."),
        (b"[" * 5000, "c.yaml: nested too deeply."),
        (b"{a: " * 5000, "c.yaml: nested too deeply."),
        (b"data:\n\t- x", "found character '\\t' that cannot start any token"),
        (b"a" * (50 << 20), "c.yaml: 52,428,800 bytes. Expected a configuration of at most 1,048,576 bytes."),
        (b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "c.yaml:2: aliases are not allowed."),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_27_files_that_are_no_configuration(capsys, content, error):
    Path("c.yaml").write_bytes(content)
    told(capsys, ["train", "c.yaml"], error)


def test_all_mistakes_are_told_at_once(capsys):
    Path("c.yaml").write_text(BLOBS + "train: {lr: x, epochs: -1}\nspilt: 3\nmodel: {name: nope}")
    shown = told(
        capsys, ["train", "c.yaml"], "train.lr: got 'x'", "train.epochs: got -1", "Did you mean 'split'?", "'nope'"
    )
    assert len(shown.strip().splitlines()) == 4


@pytest.mark.parametrize(("model", "least"), [("inception", 75), ("vgg16_bn", 32), ("alexnet", 63), ("lenet", 12)])
def test_23_pictures_smaller_than_the_network_takes(capsys, model, least):
    name = model.split("16")[0]
    told(
        capsys,
        ["train", "digits", f"model={model}"],
        f"model {name}: pictures of 8 x 8. Expected at least {least} x {least}.",
        "or a network for small pictures",
    )


def test_22_a_name_in_another_case_is_understood(capsys):
    Path("c.yaml").write_text(BLOBS + "model: {name: MLP}\ntrain: {seed: 010, lr: 1e-3}")
    assert "model    mlp" in planned(capsys, ["train", "c.yaml"])


def test_18_a_batch_larger_than_the_data_is_explained(capsys):
    shown = planned(capsys, ["train", "blobs", "batch_size=1000000000"])
    assert "train.batch_size 1,000,000,000 is more than there is to train on: every batch holds all 420 items" in shown


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["device=cuda"], "no GPU can be used here"),
        (["model=vgg"], "pictures of 8 x 8"),
        (["model=vit", "model.patch=5"], "5 does not divide"),
    ],
)
def test_settings_that_nothing_can_be_built_from_leave_no_run(monkeypatch, capsys, settings, text):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for more in (["--dry-run"], []):
        told(capsys, ["train", "digits", *settings, *more], text)
    assert not list(Path("runs").glob("2*"))


def test_the_way_out_can_be_typed_as_it_stands(capsys):
    Path("a b.csv").write_text("a,year built\n1,2\n2,3\n")
    told(capsys, ["train", "a b.csv"], "a b.csv' 'target=year built'.")
    assert parse(["target=year built"]) == ([], {"target": "year built"})
    Path("tables").mkdir()
    for name in ("edgelist.csv", "features.csv"):
        Path("tables", name).write_text("a,b\n1,2\n")
    told(capsys, ["train", "tables"], "tables: a folder of tables: edgelist.csv, features.csv. Expected one table. ")
    Path("coco8.yaml").write_text("path: ../coco8\nnames: [cat]\n")
    told(capsys, ["train", "data=coco8.yaml"], "as YOLO has it. Expected the folder itself, with data.yaml in it")
