"""Labels given through deepen reach training, on the items they were given for and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen import config as configs
from deepen.data import labels
from deepen.errors import DeepenError
from deepen.store.dataset import Dataset, New, place
from deepen.training.finished import config_of, data_of
from tests import dirty

ROWS = "a,b,y\n" + "".join(f"{i},{i * 7 % 31},\n" for i in range(60))


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i}.png").write_bytes(dirty.encoded(dirty.picture(i)))
    return folder


def give(path: Path, values: dict[str, object], kind: str = "classes", annotator: str = "ann", **overrides) -> None:
    """Labels for items by name, as the label page would write them."""
    config = configs.from_target(str(path), overrides)
    items = labels.registry.build("sources", labels.as_declared(config.data, {"kind": kind})).read()
    content = dict(zip(items.ids, labels.marks(items)))
    names = sorted({v for v in values.values() if isinstance(v, str)})
    with Dataset.create(place(path), kind=kind, names=names) as data:
        data.write(
            [New(f"{annotator}{name}{data.serial}", name, content[name], annotator, v) for name, v in values.items()]
        )


def read(path: Path, **overrides):
    return labels.read(configs.from_target(str(path), overrides))


def test_pictures_in_no_folder_are_labelled_and_trained_on(tmp_path):
    photos = pictures(tmp_path / "photos", 40)
    give(photos, {f"{i}.png": "ab"[i % 2] for i in range(30)})
    run = deepen.train(str(photos), epochs=1, model="mlp", size=8, threads=1)
    assert config_of(run).labels.acts == 30
    report = run.read_json("quarantine.json")
    assert (report["train"] + report["val"] + report["test"], report["unlabelled"]) == (30, 10)
    assert "30 items with labels given here, 0 of them in place of the source's own" in report["notes"]
    assert "40 pictures in no class folder: without a label" in report["notes"]


def test_a_run_keeps_the_labels_it_was_trained_with(tmp_path):
    photos = pictures(tmp_path / "photos", 40)
    give(photos, {f"{i}.png": "ab"[i % 2] for i in range(30)})
    run = deepen.train(str(photos), epochs=1, model="mlp", size=8, threads=1)
    give(photos, {f"{i}.png": "ba"[i % 2] for i in range(40)}, annotator="bob")
    data = data_of(run)
    assert data.items.fingerprint() == run.info["fingerprint"]
    assert not [note for note in data.notes if "changed since" in note]
    again = deepen.train(str(run.path / "config.yaml"), threads=1)
    assert again.rows() == run.rows()


def test_labels_go_on_top_of_the_folders(tmp_path):
    photos = dirty.folder(tmp_path / "photos", {"cat": 3, "dog": 3, "unlabelled": 2})
    assert read(photos).target == ["cat"] * 3 + ["dog"] * 3 + [None] * 2
    give(photos, {"cat/0.png": "dog", "unlabelled/1.png": "cat"})
    items = read(photos)
    assert items.target == ["dog", "cat", "cat", "dog", "dog", "dog", None, "cat"]
    assert "2 items with labels given here, 1 of them in place of the source's own" in items.notes
    assert read(photos, **{"labels.acts": "0"}).target == ["cat"] * 3 + ["dog"] * 3 + [None] * 2


def test_where_annotators_disagree_there_is_no_label(tmp_path):
    photos = dirty.folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    give(photos, {"cat/0.png": "dog", "cat/1.png": "dog"})
    give(photos, {"cat/0.png": "cat", "cat/1.png": "dog"}, annotator="bob")
    items = read(photos)
    assert items.target == [None, "dog", "dog", "dog"]
    assert any("on 1 the annotators disagree: left without a label" in note for note in items.notes)


def test_a_label_is_never_taken_for_another_content(tmp_path):
    photos = pictures(tmp_path / "photos", 4)
    give(photos, {f"{i}.png": "ab"[i % 2] for i in range(4)})
    (photos / "0.png").write_bytes(dirty.encoded(dirty.picture(99)))  # another picture under the old name
    (photos / "1.png").rename(photos / "one.png")  # the same picture under another name
    items = read(photos)
    assert dict(zip(items.ids, items.target)) == {"0.png": None, "2.png": "a", "3.png": "b", "one.png": "b"}
    assert "1 label given here of what has changed or gone: not used" in items.notes


def test_copies_are_told_apart_by_their_names_or_not_at_all(tmp_path):
    photos = pictures(tmp_path / "photos", 1)
    for name in ("x.png", "y.png"):
        (photos / name).write_bytes((photos / "0.png").read_bytes())
    give(photos, {"x.png": "a"})
    assert dict(zip(read(photos).ids, read(photos).target)) == {"0.png": None, "x.png": "a", "y.png": None}
    (photos / "x.png").unlink()
    assert read(photos).target == [None, None]


def test_a_table_without_any_answer_can_be_labelled(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(ROWS)
    give(table, {f"t.csv:{i + 2}": float(i) for i in range(40)}, "number", target="y")
    items = read(table, target="y")
    assert items.kind == "number"
    assert items.target[:41] == [float(i) for i in range(40)] + [items.target[40]]
    assert np.isnan(items.target[40])


def test_a_row_that_moved_keeps_its_label_whatever_is_learnt_from_it(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(ROWS)
    give(table, {"t.csv:2": "odd", "t.csv:3": "even"}, target="y")
    lines = ROWS.splitlines(keepends=True)
    table.write_text("".join([lines[0], "1000,1000,\n", *lines[1:]]))
    found = read(table, target="y", drop="[b]")
    assert found.target[:4] == [None, "odd", "even", None]


def test_another_kind_of_label_takes_the_place_of_the_sources(tmp_path):
    photos = dirty.folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    give(photos, {"cat/0.png": 1.5}, "number")
    items = read(photos)
    assert items.kind == "number"
    assert items.target == [1.5, None, None, None]
    assert "the source's own labels (classes) are not used: the labels given here are number" in items.notes


def test_a_table_of_labels_that_is_gone_is_missed(tmp_path):
    photos = dirty.folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    with pytest.raises(DeepenError, match=r"0 acts of labelling. Expected the 7 this configuration was made with"):
        read(photos, **{"labels.acts": "7"})
    give(photos, {"cat/0.png": "dog"})
    with pytest.raises(DeepenError, match=r"1 acts of labelling. Expected the 7"):
        read(photos, **{"labels.acts": "7"})


def test_data_without_labels_given_here_is_read_as_before(tmp_path):
    photos = dirty.folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    config = labels.pin(configs.from_target(str(photos), {}))
    assert config.labels.acts == 0
    assert not (photos / ".deepen").exists()
    assert labels.pin(configs.from_target("digits", {})).labels.acts == 0
