"""Texts as they lie: tables in which they tell most, folders of files."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from deepen.config import Config, from_target
from deepen.data import choose, tables
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.sources.mixed import Mixed
from deepen.sources.table import Table
from deepen.sources.texts import Texts

GOOD = [f"review number {i}, a film that is {('good', 'bad')[i % 2]} indeed" for i in range(80)]


def table(text: str, name: str = "t.csv") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def rows(header: str = "label,text", more=lambda i: "") -> str:
    return header + "\n" + "".join(f'{"ba"[i % 2]},"{text}"{more(i)}\n' for i, text in enumerate(GOOD))


def chosen(path: str, **overrides) -> dict:
    return choose.source(from_target(path, overrides).data)


def test_a_table_is_of_texts_where_they_tell_most():
    spec = chosen(table(rows()), target="label")
    assert (spec["name"], spec["text"]) == ("texts", ("text",))
    three = table(rows("label,text,a,b,c", lambda i: f",{i % 7},{i % 5},{i * 1.5}"))
    assert chosen(three, target="label")["name"] == "texts"
    four = table(rows("label,text,a,b,c,d", lambda i: f",{i % 7},{i % 5},{i * 1.5},{i % 3}"), "four.csv")
    assert chosen(four, target="label")["name"] == "table"
    assert chosen(three, target="label", types={"a": "category"})["name"] == "table"
    assert chosen(three)["name"] == chosen(three, target="labell")["name"] == "table"  # reading it says what is wrong
    assert (
        chosen(table("label,name\n" + "".join(f"{'ba'[i % 2]},{i}x\n" for i in range(80))), target="label")["name"]
        == "table"
    )
    assert "free text" in "".join(Table(four, target="label").read().notes)


@pytest.mark.parametrize(
    ("words", "pieces"),
    [("这部电影 非常好看", "character"), ("この映画はとても", "character"), ("ein Film 好, der gefällt", "word")],
)
def test_a_language_without_blanks_is_read_by_its_characters(words, pieces):
    path = table("label,text\n" + "".join(f'{"ba"[i % 2]},"{words}{i}"\n' for i in range(80)))
    spec = chosen(path, target="label")
    assert (spec["name"], spec["text"]) == ("texts", ("text",))
    assert Texts(path, target="label").read().encoders["text"][1]["pieces"] == pieces
    assert chosen(path, target="label", types={"text": "text"})["name"] == "mixed"
    assert Mixed(path, ("label",), types={"text": "text"}).read().encoders["text"][1]["pieces"] == pieces


def test_text_says_which_column():
    data = from_target(table(rows()), {"target": "label", "text": "[text]"}).data
    assert data["name"] == "texts"
    items = Texts(table(rows()), target="label", text=("text",)).read()
    assert items.inputs["text"][:2].tolist() == GOOD[:2]
    assert items.target[:3] == ["b", "a", "b"]
    assert items.ids[0] == "t.csv:2"
    assert items.kind == "classes"


def test_only_the_head_of_a_long_table_is_looked_at():
    path = table(rows() + "x" * 20 + "," + '"y' * choose.HEAD)
    assert chosen(path, target="label")["name"] == "texts"
    head = tables.read(table("a,b\n" + "é,1\n" * 100), None, 50)  # ends within a character
    assert (len(head.lines), head.notes, head.bad) == (9, [], [])


def test_several_columns_are_read_one_after_the_other():
    path = table(
        "label,title,body\n"
        + "".join(
            f"{'ba'[i % 2]},the title of item {i},{text}\n" for i, text in enumerate(t.replace(",", "") for t in GOOD)
        )
    )
    items = Texts(path, target="label").read()
    assert items.inputs["text"][1] == "the title of item 1\nreview number 1 a film that is bad indeed"
    assert items.encoders["text"][1]["columns"] == ("title", "body")
    assert Texts(path, target="label", text=("title",)).read().inputs["text"][1] == "the title of item 1"
    assert (
        "column 'body' left out: only the text is learnt from"
        in Texts(path, target="label", text=("title",)).read().notes
    )


def test_json_lines_packed():
    lines = [json.dumps({"text": text, "stars": i % 5 + 0.5, "tags": ["x"]}) for i, text in enumerate(GOOD)]
    lines[3] = "{no"
    lines[4] = "[1]"
    lines[5] = '{"stars": 2.5}'
    Path("t.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    spec = chosen("t.jsonl.gz", target="stars")
    assert (spec["name"], spec["text"]) == ("texts", ("text",))
    items = Texts("t.jsonl.gz", target="stars", kind="number").read()
    assert items.kind == "number"
    assert items.target[:4] == [0.5, 1.5, 2.5, 1.5]
    assert [bad.id for bad in items.bad] == ["t.jsonl.gz:4", "t.jsonl.gz:5", "t.jsonl.gz:6"]
    assert items.bad[0].reason.startswith("not JSON")
    assert items.bad[2].reason == "no text"
    assert "column 'tags' left out: lists and objects are not read" in items.notes


def test_what_is_no_text_is_set_aside():
    lines = [json.dumps({"label": "ab"[i % 2], "text": text}) for i, text in enumerate(GOOD)]
    for place, value in ((0, " "), (1, "a\0b"), (2, "x" * (1 << 21)), (3, None), (4, "lost \ufffd here")):
        lines[place] = json.dumps({"label": "a", "text": value})
    items = Texts(table("\n".join(lines), "t.jsonl"), target="label").read()
    assert [bad.reason for bad in items.bad] == [
        "no text", "a NUL character: not a text", "2,097,152 characters, more than 1,048,576", "no text"
    ]  # fmt: skip
    assert len(items) == 76
    assert any("1 text with characters that were lost before" in note for note in items.notes)


def test_a_number_that_is_none_costs_the_row():
    text = "stars,text\n" + "".join(
        f"{i % 50 + 0.5 if i != 7 else 'many'},{t.replace(',', '')}\n" for i, t in enumerate(GOOD)
    )
    items = Texts(table(text), target="stars").read()
    assert items.kind == "number"
    assert [tuple(bad) for bad in items.bad] == [("t.csv:9", "column 'stars' holds 'many', not a number")]


def test_the_test_file_may_have_more_columns_but_not_fewer():
    items = Texts(table(rows()), target="label", test=table(rows("label,text,part", lambda i: ",x"), "u.csv")).read()
    assert items.split == [None] * 80 + ["test"] * 80
    assert "u.csv: column 'part' left out: not in t.csv" in items.notes
    with pytest.raises(DeepenError, match="columns differ: no part"):
        Texts("u.csv", target="label", test="t.csv").read()


def test_copies_and_unknown_words_and_long_texts_are_named():
    test = table("label,text\n" + f'b,"{GOOD[0]}"\na,"never seen words all of them new"\n', "u.csv")
    items = Texts(table(rows()), target="label", test=test, longest=5).read()
    notes = prepare(items, Config({"name": "texts"})).notes
    assert any(
        "1 of 2 items in test stand in train too (first: u.csv:2 = t.csv:2)" in note or "stand in train too" in note
        for note in notes
    )
    assert any("of the held-out words are not in the vocabulary" in note for note in notes)
    assert any("100% of the texts are longer than the 5 words that are read" in note for note in notes)


def test_the_split_keeps_copies_together():
    text = "label,text\n" + "".join(f'{"ba"[i % 2]},"{GOOD[i % 40]}"\n' for i in range(80))
    parts = prepare(Texts(table(text), target="label").read(), Config({"name": "texts"})).parts
    where = {}
    for part, found in parts.items():
        for row in found:
            assert where.setdefault(row % 40, part) == part


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "which column to predict is not said"),
        ({"target": "labell"}, "Did you mean 'label'"),
        ({"target": "label", "text": ("txt",)}, "Did you mean 'text'"),
    ],
)
def test_mistakes_are_told(given, said):
    with pytest.raises(DeepenError, match=said):
        Texts(table(rows()), **given).read()


def test_no_free_text_is_told_with_the_columns():
    path = table("label,a,b\n" + "".join(f"{'ba'[i % 2]},{i % 3}x,{i % 4}y\n" for i in range(60)))
    with pytest.raises(DeepenError, match="no column holds free text. Expected one of a, b. Say which: text=a"):
        Texts(path, target="label").read()


# ---------------------------------------------------------------- folders


def folder(*names: str, root: str = "reviews") -> str:
    for i, name in enumerate(names):
        file = Path(root, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(GOOD[i % len(GOOD)], encoding="utf-8")
    return root


def test_a_folder_per_class():
    path = folder("good/1.txt", "good/2.txt", "bad/1.txt", "unsup/7.txt", ".hidden/1.txt", "good/notes.md")
    assert from_target(path, {}).data["name"] == "texts"
    items = Texts(path).read()
    assert items.ids == ["bad/1.txt", "good/1.txt", "good/2.txt", "unsup/7.txt"]
    assert items.target == ["bad", "good", "good", None]
    assert items.split is None


def test_parts_of_a_split():
    path = folder(
        "train/good/1.txt", "train/bad/1.txt", "test/good/1.txt", "val/bad/1.txt", "more/bad/2.txt", "readme.txt"
    )
    Path(path, "train/bad/2.txt").write_bytes("é".encode("latin-1"))
    Path(path, "train/bad/3.txt").write_bytes(b" ")
    Path(path, "train/bad", os.fsdecode(b"\xe9.txt")).write_text("good")
    items = Texts(path).read()
    assert dict(zip(items.ids, items.split)) == {
        "train/good/1.txt": "train", "train/bad/1.txt": "train", "test/good/1.txt": "test", "val/bad/1.txt": "val",
    }  # fmt: skip
    assert {bad.id: bad.reason for bad in items.bad} == {
        "train/bad/2.txt": "not UTF-8 (byte 0)", "train/bad/3.txt": "no text", "readme.txt": "in no class folder",
        "more/bad/2.txt": "its folder lies beside test, train, val/", "train/bad/\ufffd.txt": "its name is not UTF-8",
    }  # fmt: skip


def test_a_folder_of_pictures_with_notes_is_none_of_texts():
    path = folder(
        "a/1.png", "a/2.png", "a/1.txt", "b/1.png", "readme.txt", "licence.txt", "more.txt", "x.txt", root="photos"
    )
    assert from_target(path, {}).data["name"] == "images"


def test_an_empty_folder_is_told():
    with pytest.raises(DeepenError, match="among 1 .txt file, first a.txt: in no class folder"):
        Texts(folder("a.txt", root="flat")).read()


def test_real_texts(real_data):
    sst = str(real_data / "text" / "sst_binary_train.csv.gz")
    spec = chosen(sst, target="label")
    assert (spec["name"], spec["text"]) == ("texts", ("text",))
    items = Texts(sst, target="label", test=str(real_data / "text" / "sst_binary_test.csv.gz")).read()
    assert (len(items), items.split.count("test"), items.kind) == (8741, 1821, "classes")
    news = chosen(str(real_data / "text" / "ag_news_test.csv.gz"), target="label")
    assert news["text"] == ("title", "description")
    assert chosen(str(real_data / "text" / "imdb_test.csv.xz"), target="label")["text"] == ("text",)
    assert chosen(str(real_data / "tabular" / "kc_house.csv.gz"), target="price")["name"] == "table"
    assert chosen(str(real_data / "tabular" / "adult_train.csv.gz"), target="income")["name"] == "table"


def test_classes_of_several_words_might_have_been_answers_to_write():
    text = "question,answer\n" + "".join(
        f"what is it now {i},{('on the mat', 'me', 'at noon')[i % 3]}\n" for i in range(60)
    )
    items = Texts(table(text), target="answer", text=("question",)).read()
    assert "2 of the classes are several words: to have texts written, data.name=pairs" in items.notes


@pytest.mark.parametrize("source", [Texts, Table])
def test_a_target_of_lists_is_told(source):
    path = table(json.dumps({"text": GOOD[0], "labels": ["a", "b"]}) + "\n", "t.jsonl")
    with pytest.raises(DeepenError, match="column 'labels' holds lists or objects. Expected one value in each row"):
        source(path, target="labels").read()
