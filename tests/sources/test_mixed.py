"""Tables whose columns hold different things."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deepen.config import from_target, parse
from deepen.data import choose
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.nn.inputs import network
from deepen.sources.mixed import Mixed
from deepen.sources.table import Table
from deepen.training.plan import complete
from tests import dirty
from tests.preprocess.test_audio import clip

WORDS = ("a long and winding word", "four words are here", "what was said of this", "nobody said much of it")


def table(place: Path, n: int = 60, more: str = "") -> str:
    """photo, note, cry, size, town -> label; every fifth photo is missing."""
    (place / "files").mkdir(parents=True, exist_ok=True)
    lines = ["photo,note,cry,size,town,label"]
    for i in range(n):
        (place / "files" / f"{i}.png").write_bytes(dirty.encoded(dirty.picture(i, (16, 16))))
        (place / "files" / f"{i}.wav").write_bytes(clip(0.1, frequency=300 + 20 * i))
        photo = "" if i % 5 == 0 else f"files/{i}.png"
        lines.append(f"{photo},{WORDS[i % 4]} {i},files/{i}.wav,{i * 0.7:.1f},{('oslo', 'rome')[i % 2]},{'ab'[i % 2]}")
    (place / "items.csv").write_text("\n".join(lines) + "\n" + more)
    return str(place / "items.csv")


def test_each_column_is_what_it_holds(tmp_path):
    path = table(tmp_path)
    spec = choose.source(from_target(path, {"target": "label"}).data)
    assert spec["name"] == "mixed"
    items = Mixed(path, target=("label",)).read()
    assert {name: encoder for name, (encoder, _) in items.encoders.items()} == {
        "photo": "image", "note": "text", "cry": "audio", "row": "row"
    }  # fmt: skip
    assert items.inputs["photo"][:2] == [None, str(tmp_path / "files" / "1.png")]
    assert items.raw([1])[0]["row"] == {"size": 0.7, "town": "rome"}
    assert items.target[:2] == ["a", "b"]
    config = parse({"data": spec})
    prepared = prepare(items, config)
    assert [t.name for t in prepared.signature.tensors] == [
        "photo.image", "photo.there", "note.tokens", "cry.sound", "row.numbers", "row.categories"
    ]  # fmt: skip
    assert any("photo: missing in 20% of the items" in note for note in prepared.notes)
    assert complete(config, prepared).model == {"name": "multimodal"}


def test_settings_say_that_a_table_is_mixed(tmp_path):
    path = table(tmp_path)
    for settings in ({"target": "[label, town]"}, {"target": "label", "kind": "transcript"}, {"folder": str(tmp_path)}):
        assert from_target(path, settings).data["name"] == "mixed", settings
    assert from_target(path, {"target": "label", "kind": "classes"}).data["name"] == "table"
    assert from_target(path, {"user": "town", "item": "label"}).data["name"] == "interactions"


def test_what_the_user_says_counts(tmp_path):
    path = table(tmp_path)
    items = Mixed(path, target=("label",), types={"town": "text", "photo": "drop"}, drop=("cry", "size")).read()
    assert {name: encoder for name, (encoder, _) in items.encoders.items()} == {"town": "text", "note": "text"}
    moved = Mixed(path, target=("label",), folder=str(tmp_path / "files" / "..")).read()
    assert moved.hashes == Mixed(path, target=("label",)).read().hashes
    for settings, text in (
        ({"target": None}, "which column to predict is not said"),
        (
            {"folder": "elsewhere"},
            "column 'photo': none of 48 files is there, such as elsewhere/files/1.png. Expected names",
        ),
        ({"target": ("lable",)}, "Did you mean 'label'"),
        ({"types": {"town": "colour"}}, "got 'colour'"),
        ({"drop": ("photo", "note", "cry", "size", "town")}, "no column to learn from"),
    ):
        with pytest.raises(DeepenError, match=text):
            Mixed(path, **{"target": ("label",), **settings}).read()


def test_every_row_ends_in_the_data_or_in_quarantine(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "cut.png").write_bytes(dirty.PNG[:50])
    (tmp_path / "files" / "empty.wav").write_bytes(b"")
    path = table(
        tmp_path, 100,
        "files/gone.png,a word or two more,files/1.wav,1,oslo,a\n"
        "files/cut.png,a word or two,files/1.wav,1,oslo,a\n"
        "files/1.png,a word or so here,files/empty.wav,1,oslo,a\n"
        "files/1.png,,files/1.wav,many,oslo,a\n"
        "files/1.png,a word,files/1.wav\n",
    )  # fmt: skip
    items = Mixed(path, target=("label",)).read()
    prepared = prepare(items, parse({"data": {"name": "mixed", "path": path, "target": "label"}}))
    assert {bad.id: bad.reason for bad in prepared.bad} == {
        "items.csv:102": "photo 'files/gone.png': No such file or directory",
        "items.csv:103": "truncated or damaged",
        "items.csv:104": "cry 'files/empty.wav': empty file",
        "items.csv:105": "column 'size' holds 'many', not a number",
        "items.csv:106": "3 cells where the header has 6",
    }
    assert sum(map(len, prepared.parts.values())) == 100


def test_one_column_of_sounds_is_a_model_of_sounds(tmp_path):
    path = table(tmp_path)
    items = Mixed(path, target=("label",), drop=("photo", "note", "size", "town")).read()
    prepared = prepare(
        items, parse({"data": {"name": "mixed", "path": path, "target": "label"}, "split": {"by": "town"}})
    )
    assert [t.name for t in prepared.signature.tensors] == ["sound"]
    assert np.unique(prepared.target).tolist() == [0, 1]


def test_a_column_in_which_a_few_cells_look_like_files_is_no_column_of_files(tmp_path):
    lines = [f"{'a.png' if i < 5 else ('oslo', 'rome')[i % 2]},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["town,x,label", *lines]) + "\n")
    assert choose.source(from_target(str(tmp_path / "t.csv"), {"target": "label"}).data)["name"] == "table"


def test_copies_are_known_by_what_the_files_hold(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / f"{name}.png").write_bytes(dirty.encoded(dirty.picture(seed)))
    (tmp_path / "t.csv").write_text("photo,label\na.png,x\nb.png,x\nc.png,y\n")
    one, same, other = Mixed(str(tmp_path / "t.csv"), target=("label",)).read().hashes
    assert one == same != other


def test_vectors_of_other_networks_are_columns_too(tmp_path):
    rows = [
        {
            "v": [i / 10, -i / 10, 1],
            "w": [1.0] if i % 2 else None,
            "ragged": [1] * (i % 3),
            "x": i % 7,
            "label": "ab"[i % 2],
        }
        for i in range(60)
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    spec = choose.source(from_target(str(path), {"target": "label"}).data)
    assert spec["name"] == "mixed"
    items = Mixed(str(path), target=("label",)).read()
    assert {name: encoder for name, (encoder, _) in items.encoders.items()} == {
        "v": "array",
        "w": "array",
        "row": "row",
    }
    assert items.notes == ["column 'ragged' left out: lists and objects are not read"]
    assert len(set(items.hashes)) == 60
    only = Mixed(str(path), target=("label",), drop=("w",)).read()
    signature = prepare(only, parse({"data": spec})).signature
    assert [t.name for t in signature.tensors] == ["v.array", "row.numbers"]
    assert network({"name": "deep_cross"}, signature).flat.width == 4


def test_a_transcript_is_of_one_sound_which_no_item_may_lack(tmp_path):
    path = table(tmp_path, 60, "files/1.png,a word or two more,,1,oslo,a\n")
    spec = {"target": ("label",), "kind": "transcript"}
    with pytest.raises(DeepenError, match=r"one column of sounds.*data\.drop=\[photo, note, size, town\]"):
        Mixed(path, **spec).read()
    items = Mixed(path, **spec, drop=("photo", "note", "size", "town")).read()
    assert [(bad.id, bad.reason) for bad in items.bad] == [("items.csv:62", "no cry")]
    prepared = prepare(items, parse({"data": {"name": "mixed", "path": path, "target": "label"}}))
    assert network({"name": "listener"}, prepared.signature)
    with pytest.raises(DeepenError, match=r"model rnn: the answer is texts of 2 characters.*model=listener"):
        network({"name": "rnn"}, prepared.signature)


@pytest.mark.parametrize("source", [Table, Mixed])
def test_a_row_without_a_label_is_said(tmp_path, source):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,x;z\n2,\n3,;\n" * 9)
    target = "y" if source is Table else ("y",)
    notes = source(str(tmp_path / "t.csv"), target=target, kind="labels").read().notes
    assert "target 'y': 9 rows without a label; where none applies, write ';'" in notes


def test_kinds_are_said_of_targets_alone(tmp_path):
    path = table(tmp_path)
    for kind, text in (({"lable": "number"}, "Did you mean 'label'"), ({"label": "numbr"}, "got 'numbr'")):
        with pytest.raises(DeepenError, match=text):
            Mixed(path, target=("label", "town"), kind=kind).read()
