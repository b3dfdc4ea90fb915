"""A long text in items that follow each other, and its end held out."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deepen.config import Config, from_target
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.sources.text import Text

BOOK = "".join(f"line {i} of a book that goes on and on.\n" for i in range(200))


def book(text: str = BOOK, name: str = "book.txt") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_every_character_but_the_first_is_foretold_once():
    items = Text(book(), context=40).read()
    texts = items.inputs["text"].tolist()
    assert "".join(text if i == 0 else text[1:] for i, text in enumerate(texts)) == BOOK
    assert {len(text) for text in texts[:-1]} == {41}
    assert all(a[-1] == b[0] for a, b in pairwise(texts))
    assert items.ids[3] == "book.txt:120"
    assert (items.spans[1:, 0] == items.spans[:-1, 1] + 1).all()


@pytest.mark.parametrize("pieces", ["word", "bytepair"])
def test_other_pieces_are_cut_behind_a_blank(pieces):
    texts = Text(book(), context=20, pieces=pieces).read().inputs["text"].tolist()
    assert "".join(texts) == BOOK
    assert all(text[-1] in " \n" for text in texts)


def test_the_end_is_held_out():
    prepared = prepare(Text(book(), context=40).read(), Config({"name": "text"}))
    order = np.concatenate([prepared.parts[part] for part in ("train", "val", "test")])
    np.testing.assert_array_equal(order, np.arange(len(prepared.items)))
    assert prepared.report()["outside"] == 0
    assert prepared.signature.inputs["text"].words == prepared.signature.answer.words


def test_a_text_is_what_it_is_taken_for():
    for path in (book(), book(name="a.TXT")):
        config = from_target(path, {"context": 8})
        assert (config.data["name"], config.method["name"]) == ("text", "next_token")
    Path("p.txt.gz").write_bytes(gzip.compress(BOOK.encode()))
    assert from_target("p.txt.gz", {}).data["name"] == "text"
    assert Text("p.txt.gz").read().inputs["text"][0].startswith("line 0")
    assert from_target(book(), {"label_smoothing": 0.1}).method == {"name": "next_token", "label_smoothing": 0.1}


def test_a_folder_of_texts_is_read_in_order_and_its_bad_files_are_told():
    Path("books").mkdir()
    book(name="books/b.txt")
    book("one\r\ntwo " * 200, "books/a.txt")
    Path("books/c.txt").write_bytes(b"caf\xe9" * 50)
    Path("books/d.txt").write_text("x\0y")
    book("", "books/e.txt")
    assert from_target("books", {}).data["name"] == "text"
    items = Text("books", context=50).read()
    assert items.ids[0] == "a.txt:0"
    assert items.inputs["text"][0].startswith("one\ntwo one\n")
    assert {(bad.id, bad.reason) for bad in items.bad} == {
        ("c.txt", "not UTF-8 (byte 3)"), ("d.txt", "NUL characters: not a text (1 time)"), ("e.txt", "no text"),
    }  # fmt: skip


@pytest.mark.parametrize(("text", "found"), [("", "no text"), ("x", "no text"), ("   \n  ", "only blanks")])
def test_nothing_to_read_is_told(text, found):
    with pytest.raises(DeepenError, match=found):
        Text(book(text)).read()


def test_what_is_not_there_is_told():
    with pytest.raises(DeepenError, match="nothing there"):
        Text("gone.txt").read()


@pytest.mark.parametrize(("text", "told"), [("hi", "2 characters: 1 item"), (BOOK[:200], "200 characters: 2 items")])
def test_a_text_too_short_to_be_split_is_told_with_what_would_do(text, told):
    with pytest.raises(DeepenError, match=f"{told} of 128 pieces. Expected at least one to train, .* or data.context="):
        Text(book(text, "tiny.txt")).read()
