"""Folders of pictures: layouts people have."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from deepen.data.folders import PICTURES, TOGETHER
from deepen.errors import DeepenError
from deepen.sources.images import Images
from deepen.stages.predict import _below
from tests import dirty


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "valid", "TEST"), ("training", "validation", "testing")]
)
def test_a_declared_split_by_any_name(tmp_path, names):
    for name in names:
        dirty.folder(tmp_path / "p" / name, {"cat": 2, "dog": 1})
    items = Images(str(tmp_path / "p")).read()
    assert sorted(zip(items.split, items.target)) == sorted(
        [(p, "cat") for p in ("train", "val", "test")] * 2 + [(p, "dog") for p in ("train", "val", "test")]
    )


def test_class_folders_beside_a_test_folder(tmp_path):
    dirty.folder(tmp_path / "p", {"cat": 2, "dog": 2})
    dirty.folder(tmp_path / "p" / "test", {"cat": 1, "dog": 1})
    items = Images(str(tmp_path / "p")).read()
    assert set(items.target) == {"cat", "dog"}
    assert items.split.count("test") == 2
    assert items.split.count(None) == 4


def test_a_class_may_be_called_train(tmp_path):
    dirty.folder(tmp_path / "p", {"train": 2, "bus": 2})
    items = Images(str(tmp_path / "p")).read()
    assert set(items.target) == {"train", "bus"}
    assert items.split is None


def test_nested_folders_belong_to_their_class(tmp_path):
    dirty.folder(tmp_path / "p" / "cat", {"home": 2, "zoo": 1})
    dirty.folder(tmp_path / "p" / "dog", {"a/b/c": 2})
    items = Images(str(tmp_path / "p")).read()
    assert sorted(items.target) == ["cat"] * 3 + ["dog"] * 2
    assert set(items.columns.columns["folder"]) == {"cat/home", "cat/zoo", "dog/a/b/c"}


def test_unlabelled_pictures_have_no_label(tmp_path):
    dirty.folder(tmp_path / "p", {"cat": 2, "dog": 2, "Unlabeled": 3})
    items = Images(str(tmp_path / "p")).read()
    assert items.target.count(None) == 3


def test_pictures_beside_the_parts_of_a_split_are_set_aside(tmp_path):
    dirty.folder(tmp_path / "p" / "train", {"cat": 2, "dog": 2})
    dirty.folder(tmp_path / "p" / "test", {"cat": 1, "dog": 1})
    dirty.folder(tmp_path / "p", {"old": 2})
    (tmp_path / "p" / "readme.png").write_bytes(dirty.PNG)
    items = Images(str(tmp_path / "p")).read()
    assert len(items) == 6
    assert {b.id: b.reason for b in items.bad} == {
        "old/0.png": "its folder lies beside test/ and train/",
        "old/1.png": "its folder lies beside test/ and train/",
        "readme.png": "in no class folder",
    }


def test_pictures_whose_names_have_no_ending_are_known_by_their_content(tmp_path):
    place = dirty.folder(tmp_path / "p", {"cat": 2, "dog": 2})
    for form in ("PNG", "JPEG", "WEBP"):
        (place / "cat" / form).write_bytes(dirty.encoded(dirty.picture(3, (9, 9)), form))
    (place / "dog" / "LICENSE").write_text("RIFF")
    os.mkfifo(place / "dog" / "pipe")
    items = Images(str(place)).read()
    assert [name for name in items.ids if "." not in name] == ["cat/JPEG", "cat/PNG", "cat/WEBP"]
    assert [note for note in items.notes if "LICENSE" in note or "pipe" in note] == [
        "passed over 'dog/LICENSE': not a picture's name", "passed over 'dog/pipe': not a picture's name"
    ]  # fmt: skip
    assert [p.name for p in _below(place / "cat", PICTURES.takes, PICTURES.endings)][-3:] == ["JPEG", "PNG", "WEBP"]


def test_hidden_and_other_files_are_passed_over(tmp_path):
    place = dirty.folder(tmp_path / "p", {"cat": 2, "dog": 2, ".thumbs": 2, "__MACOSX": 2})
    (place / "cat" / ".x.png").write_bytes(b"")
    for i in range(8):
        (place / "cat" / f"notes{i}.txt").write_text("x")
    items = Images(str(tmp_path / "p")).read()
    assert len(items) == 4
    assert not items.bad
    assert "passed over 'cat/notes0.txt': not a picture's name" in items.notes
    (place / "of all.csv").write_text("file,label\n")
    notes = Images(str(place)).read().notes
    way = f"deepen train '{place}/of all.csv' target=COLUMN"
    assert f"if the labels stand in 'of all.csv', which is passed over: {way}" in notes
    assert "passed over 3 more files that are no pictures" in items.notes


def test_each_file_has_the_hash_of_its_own_content(tmp_path):
    place = tmp_path / "p" / "cat"
    place.mkdir(parents=True)
    for i in range(2 * TOGETHER + 3):
        (place / f"{i}.png").write_bytes(f"content {i}".encode())
    items = Images(str(tmp_path / "p")).read()
    assert len(items) == 2 * TOGETHER + 3
    for name, path, found in zip(items.ids, items.inputs["image"], items.content()):
        content = Path(path).read_bytes()
        assert name == f"cat/{Path(path).name}"
        assert found == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_a_series_is_a_name_without_its_number(tmp_path):
    place = tmp_path / "p" / "cat"
    place.mkdir(parents=True)
    for name in ("tom_001", "tom_002", "kitty-frame7", "IMG_0003", "12"):
        (place / f"{name}.png").write_bytes(dirty.encoded(dirty.picture(hash(name) % 1000)))
    items = Images(str(tmp_path / "p")).read()
    assert dict(zip(items.ids, items.columns.columns["series"])) == {
        "cat/tom_001.png": "tom", "cat/tom_002.png": "tom", "cat/kitty-frame7.png": "kitty", "cat/IMG_0003.png": "", "cat/12.png": ""}  # fmt: skip


def test_links_inside_the_folder_are_followed(tmp_path):
    place = dirty.folder(tmp_path / "p", {"cat": 2, "dog": 2})
    (place / "cat" / "again.png").symlink_to(place / "cat" / "0.png")
    items = Images(str(tmp_path / "p")).read()
    assert len(items) == 5
    assert not items.bad


@pytest.mark.parametrize(
    ("make", "text"), [(lambda p: None, "no such folder"), (lambda p: p.write_text("x"), "not a folder")]
)
def test_no_folder(tmp_path, make, text):
    make(tmp_path / "p")
    with pytest.raises(DeepenError, match=text):
        Images(str(tmp_path / "p")).read()


def test_real_flowers(real_data):
    items = Images(str(real_data / "images" / "flowers12")).read()
    assert (items.split.count("train"), items.split.count("test")) == (720, 240)
    assert len(items) - len(set(items.content())) == 1
