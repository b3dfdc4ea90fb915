"""Pictures with boxes as people have them: three forms, several layouts, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepen import config as configs
from deepen.errors import DeepenError
from deepen.sources.boxes import Boxes
from tests import dirty

SIZE = (40, 20)


def pictures(place: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        dirty.picture(i, SIZE).save(place / name)
    return place


def coco(place: Path, file: str, images: dict[int, str], *things: dict, **more: object) -> None:
    sizes = [{"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in images.items()]
    document = {"images": sizes, "annotations": list(things), "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}]}  # fmt: skip
    (place / file).parent.mkdir(parents=True, exist_ok=True)
    (place / file).write_text(json.dumps({**document, **more}))


def thing(image: int, *bbox: float, category: int = 7, **more: object) -> dict:
    return {"image_id": image, "category_id": category, "bbox": list(bbox), **more}


CAT = {"box": [0.25, 0.1, 0.75, 0.6], "class": "cat"}  # 10, 2, 30, 12 pixels


def read(place: Path):
    config = configs.from_target(str(place), {})
    assert config.data["name"] == "boxes"
    return Boxes(str(place)).read()


def test_coco_beside_its_pictures(tmp_path):
    place = pictures(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    coco(
        place,
        "boxes.json",
        {1: "images/a.png", 2: "images/b.png"},
        thing(1, 10, 2, 20, 10),
        thing(1, 0, 0, 40, 20, category=8),
    )
    items = read(place)
    assert items.ids == ["images/a.png", "images/b.png", "images/c.png"]
    assert items.target == [[CAT, {"box": [0, 0, 1, 1], "class": "dog"}], [], None]
    assert items.split is None
    assert not items.bad
    assert items.notes == ["2 boxes in 2 pictures", "1 picture with nothing in it", "1 picture that no file of labels knows: without a label"]  # fmt: skip


def test_a_coco_file_for_each_part(tmp_path):
    names = {"train": "train2017/1.png", "val": "val2017/2.png", "test": "test2017/3.png"}
    place = pictures(tmp_path, *names.values())
    for i, (part, name) in enumerate(names.items()):
        coco(place, f"annotations/instances_{part}2017.json", {i: name.split("/")[1]}, thing(i, 10, 2, 20, 10))
    items = read(place)
    assert dict(zip(items.ids, items.split)) == {name: part for part, name in names.items()}
    assert items.target == [[CAT]] * 3


@pytest.mark.parametrize("names", ["names: [cat, dog]", "names:\n  0: cat\n  1: dog", "nc: 2\nnames: {1: dog, 0: cat}"])
@pytest.mark.parametrize(
    "layout", [("images/train/a.png", "labels/train/a.txt"), ("train/images/a.png", "train/labels/a.txt")]
)
def test_yolo_in_its_layouts(tmp_path, names, layout):
    picture, label = layout
    place = pictures(tmp_path, picture, picture.replace("train", "valid"), picture.replace("a.png", "b.png"))
    for name, text in ((label, "0 0.5 0.35 0.5 0.5\n"), (label.replace("train", "valid"), "")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (place / "data.yaml").write_text(f"train: ../train/images\n{names}\n")
    (place / "README.txt").write_text("made by hand")
    items = read(place)
    assert configs.from_target(str(place / "data.yaml"), {}) == configs.from_target(str(place), {})
    found = dict(zip(items.ids, zip(items.target, items.split)))
    assert found[picture][1] == "train"
    assert found[picture][0][0]["box"] == pytest.approx(CAT["box"])
    assert found[picture.replace("train", "valid")] == ([], "val")
    assert found[picture.replace("a.png", "b.png")] == (None, "train")
    assert not items.bad


def voc(name: str, box: tuple[int, ...] = (10, 2, 30, 12)) -> str:
    edges = "".join(f"<{side}>{v}</{side}>" for side, v in zip(("xmin", "ymin", "xmax", "ymax"), box))
    return (
        f"<annotation><filename>{name}</filename><object><name>cat</name><bndbox>{edges}</bndbox></object></annotation>"
    )


def test_voc_with_its_lists(tmp_path):
    place = pictures(tmp_path, "JPEGImages/a.png", "JPEGImages/b.png")
    for name in "ab":
        (place / "Annotations").mkdir(exist_ok=True)
        (place / "Annotations" / f"{name}.xml").write_text(voc(f"{name}.png"))
    (place / "ImageSets" / "Main").mkdir(parents=True)
    (place / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (place / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    items = read(place)
    assert items.target == [[CAT], [CAT]]
    assert items.split == ["train", "val"]


WRONG = {
    "out.png": (thing(1, 30, 2, 20, 10), "box 1: [0.75, 0.1, 1.25, 0.6] is not inside the picture"),
    "thin.png": (thing(2, 10, 2, 0, 10), "box 1: [0.25, 0.1, 0.25, 0.6] has no area"),
    "negative.png": (thing(3, 10, 2, -5, 10), "has no area"),
    "unknown.png": (thing(4, 10, 2, 5, 10, category=9), "annotations[3]: category_id 9"),
    "text.png": (thing(5, 1, 2, "x", 4), "annotations[4]: got [1, 2, 'x', 4]"),
    "broken.png": (thing(6, 10, 2, 5, 10), "not a picture (text)"),
}


def test_what_is_wrong_is_set_aside_by_name_and_the_counts_add_up(tmp_path):
    place = pictures(tmp_path, "good.png", *WRONG)
    (place / "broken.png").write_text("hello")
    (place / "list.tiff").write_bytes(b"II*")
    images = dict(enumerate(WRONG, 1)) | {7: "good.png", 8: "gone.png"}
    coco(place, "c.json", images, *(entry for entry, _ in WRONG.values()), thing(7, 10, 2, 20, 10), thing(99, 1, 1, 2, 2), thing(8, 1, 1, 2, 2))  # fmt: skip
    items = read(place)
    assert items.ids == ["good.png"]
    bad = {b.id: b.reason for b in items.bad}
    for name, (_, reason) in WRONG.items():
        assert reason in bad.pop(name), name
    assert "'gone.png' is no item of this data" in bad.pop("gone.png")
    assert bad.pop("c.json: annotations[7]") == "image_id 99"
    assert bad.pop("list.tiff")
    assert not bad


def test_a_pixel_beyond_the_edge_is_cut_and_told(tmp_path):
    place = pictures(tmp_path, "a.png", "b.png")
    coco(place, "c.json", {1: "a.png", 2: "b.png"}, thing(1, -1, 0, 42, 20), thing(2, -1.5, 0, 20, 10))
    items = read(place)
    assert items.target == [[{"box": [0, 0, 1, 1], "class": "cat"}]]
    assert "1 box up to a pixel beyond the edge: cut there" in items.notes
    assert [b.id for b in items.bad] == ["b.png"]


def test_crowds_are_kept_as_such(tmp_path):
    place = pictures(tmp_path, "a.png")
    coco(place, "c.json", {1: "a.png"}, thing(1, 10, 2, 20, 10, iscrowd=1))
    items = read(place)
    assert items.target == [[{**CAT, "crowd": True}]]
    assert "1 crowd: neither learnt nor counted against an answer" in items.notes


def test_a_picture_labelled_twice_is_set_aside(tmp_path):
    place = pictures(tmp_path, "a.png", "b.png")
    coco(place, "1.json", {1: "a.png", 2: "b.png"}, thing(1, 10, 2, 20, 10))
    coco(place, "2.json", {1: "a.png"})
    items = read(place)
    assert items.ids == ["b.png"]
    assert "again" in items.bad[0].reason


def test_turned_photos_are_measured_upright(tmp_path):
    tmp_path.joinpath("a.jpg").write_bytes(dirty.encoded(dirty.picture(0, SIZE[::-1]), "JPEG", exif=dirty.exif(6)))
    coco(tmp_path, "c.json", {1: "a.jpg"}, thing(1, 10, 2, 20, 10))
    assert read(tmp_path).target == [[CAT]]


def test_folders_of_other_things_are_not_taken_for_boxes(tmp_path):
    dirty.folder(tmp_path / "photos", {"cat": 2, "dog": 2})
    (tmp_path / "photos" / "notes.json").write_text('{"author": "me"}')
    (tmp_path / "photos" / "page.xml").write_text("<html></html>")
    assert configs.from_target(str(tmp_path / "photos"), {}).data["name"] == "images"


def test_no_boxes_at_all_is_told_with_what_is_wanted(tmp_path):
    place = pictures(tmp_path, "a.png")
    with pytest.raises(DeepenError, match=r"no boxes.*Expected boxes as COCO .*, YOLO .* or Pascal VOC"):
        Boxes(str(place)).read()


def test_real_cells(real_data):
    items = Boxes(str(real_data / "detection" / "bccd")).read()
    assert {part: items.split.count(part) for part in ("train", "val", "test")} == {"train": 205, "val": 87, "test": 72}
    boxes = {
        part: sum(len(t) for t, p in zip(items.target, items.split) if p == part) for part in ("train", "val", "test")
    }
    assert boxes == {"train": 2804, "val": 1137, "test": 945}
    assert not items.bad


def test_a_coco_file_that_is_cut_off_says_so(tmp_path):
    coco(pictures(tmp_path, "a.png"), "boxes.json", {1: "a.png"}, thing(1, 1, 1, 2, 2))
    whole = (tmp_path / "boxes.json").read_text()
    (tmp_path / "boxes.json").write_text(whole[:-5])
    with pytest.raises(DeepenError, match=r"boxes.json: not JSON"):
        read(tmp_path)


def test_what_a_coco_entry_lacks_is_told_of_its_picture(tmp_path):
    """No number too long for a float, no class without a name, no box without a box; sizes that are not said are fine."""
    names = [f"{i}.png" for i in range(4)]
    things = [thing(0, 10**400, 1, 1, 1), thing(1, 1, 1, 2, 2), thing(2, 1, 1, 2, 2, category=8), thing(3, 1, 1, 2, 2)]
    del things[1]["bbox"]
    coco(pictures(tmp_path, *names), "boxes.json", dict(enumerate(names)), *things)
    document = json.loads((tmp_path / "boxes.json").read_text())
    document["categories"] = [{"id": 7, "name": "cat"}, {"id": 8, "name": None}]
    for image in document["images"]:
        image.update(width=None, height=None)
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    found = read(tmp_path)
    reasons = {bad.id: bad.reason for bad in found.bad}
    assert found.ids == ["3.png"]
    assert "got [1000" in reasons["0.png"]
    assert "no bbox" in reasons["1.png"]
    assert "class ''" in reasons["2.png"]
