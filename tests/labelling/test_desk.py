"""What annotators do, without a browser."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tests import dirty
from tests.desks import Annotator, desk, photos

from deepen.errors import DeepenError, Invalid
from deepen.store.dataset import New, Standing


@pytest.fixture
def pictures():
    found = desk(photos())
    yield found
    found.dataset.close()


def test_every_item_is_asked_once_and_every_answer_is_kept(pictures):
    ann = Annotator(pictures)
    ann.next()
    seen = []
    while ann.item:
        seen.append(ann.item["id"])
        ann.says(("cat", "dog")[len(seen) % 2])
    assert sorted(seen) == [f"{i}.png" for i in range(6)]
    assert ann.progress == {"done": 6, "total": 6, "mine": 6, "skipped": 0, "counts": {"cat": 3, "dog": 3}}
    assert len(pictures.dataset.history()) == 6


def test_two_people_share_the_work_and_never_get_the_same_item(pictures):
    ann, bob = Annotator(pictures), Annotator(pictures, "bob")
    ann.next()
    bob.next()
    seen = []
    while ann.item or bob.item:
        for one in (ann, bob):
            if one.item:
                seen.append(one.item["id"])
                one.says("cat")
    assert sorted(seen) == [f"{i}.png" for i in range(6)]


def test_a_page_that_is_closed_leaves_its_item_to_others(pictures):
    ann, bob = Annotator(pictures), Annotator(pictures, "bob")
    first = ann.next()["item"]
    assert bob.next()["item"] != first
    pictures.leave(ann.holder)
    assert bob.next()["item"] == first


def test_undo_shows_the_item_again_with_what_stood_there(pictures):
    ann = Annotator(pictures)
    first = ann.next()["item"]
    ann.says("dog")
    ann.says(skip=True)
    assert ann.progress["skipped"] == 1
    assert ann.undo()["undone"] == "skip"
    again = ann.undo()
    assert (again["undone"], again["item"]["id"], again["item"]["before"]) == ("label", first["id"], "dog")
    assert ann.progress["done"] == 0
    ann.says("cat")
    assert [act.value for act in pictures.dataset.now().acts()] == ["cat"]
    ann.undo()
    assert ann.undo()["undone"] is None


def test_undo_leaves_what_the_page_does_not_ask_about():
    """The first item got a label of its own since: it is not asked about any more, and its act stands."""
    found = desk(photos())
    ann = Annotator(found)
    handle = ann.next()["item"]
    ann.says("dog")
    ann.says("hen")
    del found.contents[handle["id"]], found.rows[handle["id"]]
    found.order = [item for item in found.order if item != handle["id"]]
    assert ann.undo()["item"]["before"] == "hen"
    assert ann.undo()["undone"] is None
    assert [act.value for act in found.dataset.now().acts()] == ["dog"]
    found.dataset.close()


def test_a_label_of_another_content_is_no_answer():
    what = photos(1)
    before = desk(what)
    ann = Annotator(before)
    ann.next()
    ann.says("cat")
    assert (ann.item, ann.progress["done"]) == (None, 1)
    before.dataset.close()
    Path(what, "0.png").write_bytes(dirty.encoded(dirty.picture(77)))
    after = desk(what)
    ann = Annotator(after)
    assert ann.undo()["undone"] is None  # what was said of the other picture stands
    assert ann.next()["item"]["id"] == "0.png"
    assert ann.progress == {"done": 0, "total": 1, "mine": 0, "skipped": 0, "counts": {}}
    after.dataset.close()


def test_what_was_skipped_can_be_gone_through_again(pictures):
    ann = Annotator(pictures)
    ann.next()
    for _ in range(6):
        ann.says(skip=True)
    assert ann.item is None
    assert ann.next(skipped=True)["item"]
    ann.says("cat")
    assert ann.progress["done"] == 1


def test_a_label_that_is_none_is_refused_and_not_kept(pictures):
    ann = Annotator(pictures)
    ann.next()
    with pytest.raises(Invalid, match="class 'cow'. Expected one of cat, dog, hen"):
        ann.says("cow")
    with pytest.raises(Invalid, match="Expected a name"):
        Annotator(pictures, " ").next()
    assert pictures.dataset.history() == []


@pytest.mark.parametrize(
    "handle",
    ["0", "0-", "99-0123456789abcdef", "../etc/passwd", "-1-", "", "\u0663-x", "0-0000000000000000", "9" * 5000 + "-x"],
)
def test_only_handles_that_went_out_are_taken(pictures, handle):
    with pytest.raises(DeepenError, match="it is not there any more"):
        pictures.answer("k", "h", "ann", handle, "cat")
    with pytest.raises(DeepenError, match="it is not there any more"):
        pictures.file(handle)


def test_labels_of_what_is_not_asked_about_are_not_counted_and_old_ones_not_looked_at_again(pictures, monkeypatch):
    pictures.dataset.write([New("k", "elsewhere.png", "content", "ann", "cat")])
    ann = Annotator(pictures)
    ann.next()
    ann.says("cat")
    assert ann.progress == {"done": 1, "total": 6, "mine": 1, "skipped": 0, "counts": {"cat": 1}}
    looked = []
    last = Standing.last
    monkeypatch.setattr(Standing, "last", lambda self, item, *more: looked.append(item) or last(self, item, *more))
    pictures.progress("ann")
    assert looked == []


def test_a_handle_of_another_content_is_not_taken_for_the_item():
    """The server was started anew on changed data while a page was open."""
    what = photos()
    before = desk(what)
    handle = Annotator(before).next()["item"]["item"]
    before.dataset.close()
    Path(what, "0.png").write_bytes(dirty.encoded(dirty.picture(77)))
    after = desk(what)
    with pytest.raises(DeepenError, match="Reload the page"):
        after.answer("k", "h", "ann", handle, "cat")
    after.dataset.close()


def test_classes_are_added_and_named_apart(pictures):
    assert pictures.add(" fox ") == {"names": ["cat", "dog", "hen", "fox"]}
    assert pictures.add("fox")["names"].count("fox") == 1
    for name, text in [
        ("Fox", "class 'Fox' beside 'fox'"),
        ("", "Expected a text"),
        ("none", "Expected a text"),
        ("x" * 101, "Expected a text"),
        ("a\nb", "Expected a text"),
    ]:
        with pytest.raises(Invalid, match=text):
            pictures.add(name)
    ann = Annotator(pictures)
    ann.next()
    ann.says("fox")


def test_several_people_and_their_agreement():
    found = desk(photos(8), times=2)
    ann, bob = Annotator(found), Annotator(found, "bob")
    for i in range(8):
        ann.next()
        ann.says(("cat", "dog")[i % 2])
        assert ann.progress["done"] == 0
    for i in range(8):
        bob.next()
        bob.says("cat" if i == 7 else ("cat", "dog")[i % 2])
    assert bob.progress["done"] == 8
    assert Annotator(found, "eve").next()["item"] is None
    told = found.agreement()
    assert told["items"] == 8
    assert told["pairs"] == [{"annotators": ["ann", "bob"], "items": 8, "same": 0.875, "kappa": pytest.approx(0.75)}]
    assert 0.7 < told["alpha"] < 0.8
    found.dataset.close()


def test_what_is_shown_of_a_table():
    Path("t.csv").write_text("a,b,y\n" + "".join(f"{i},w{i % 3},\n" for i in range(20)))
    found = desk("t.csv", "number", (), target="y")
    item = Annotator(found).next()["item"]
    assert (item["picture"], item["cells"]) == (False, [["a", "0"], ["b", "w0"]])
    found.dataset.close()


def test_what_is_shown_of_arrays():
    np.savez("a.npz", x=np.arange(200.0).reshape(2, 100), y=[0, 1])
    found = desk("a.npz", names=(), which="all")
    ((name, text),) = Annotator(found).next()["item"]["cells"]
    assert name == "array"
    assert text.startswith("0, 1, 2, ")
    assert text.endswith("63, ... (100 values)")
    found.dataset.close()


def test_pictures_come_as_a_browser_can_show_them():
    folder = Path(photos(0))
    for form in ("JPEG", "PNG", "WEBP", "BMP"):
        (folder / f"{form}.{form.lower()}").write_bytes(dirty.encoded(dirty.picture(1), form))
    (folder / "broken.png").write_bytes(b"hello")
    found = desk(str(folder))
    types = {}
    for row, name in enumerate(found.items.ids):
        handle = found._item(row)["item"]
        if name == "broken.png":
            with pytest.raises(Invalid, match=r"not a picture \(text\)"):
                found.file(handle)
            continue
        file = found.file(handle)
        types[name] = file.type
        assert Pillow.open(io.BytesIO(file.data)).size == (40, 40)
    assert types == {
        "BMP.bmp": "image/png",
        "JPEG.jpeg": "image/jpeg",
        "PNG.png": "image/png",
        "WEBP.webp": "image/webp",
    }
    found.dataset.close()


def test_items_with_a_label_of_their_own_are_asked_only_when_wanted():
    dirty.folder(Path("p"), {"cat": 2, "dog": 2, "unlabelled": 3})
    for which, count in (("unlabelled", 3), ("all", 7)):
        found = desk("p", names=(), which=which)
        assert found.names == ["cat", "dog"]
        assert len(found.order) == count
        found.dataset.close()
