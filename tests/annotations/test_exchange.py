"""Labels in and out by the command line: round trips are exact, what is wrong in a file is named and nothing is taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from deepen import registry
from deepen.annotations import finder
from deepen.annotations import voc as voc_file
from deepen.cli import main
from deepen.data import labels
from deepen.errors import DeepenError
from deepen.store.dataset import Dataset, New, place
from tests import dirty

SIZES = {"a.png": (640, 480), "unlabelled/b.png": (37, 53), "unlabelled/c.jpg": (1000, 3)}
NAMES = ("cat", "dog", "a & <b>")


def photos(folder: Path) -> Path:
    for name, size in SIZES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", size, (len(name), 9, 9)).save(folder / name)
    return folder


def random_boxes(rng: np.random.Generator, count: int) -> list[dict]:
    """On no grid at all, but kept as the kind keeps them."""
    corners = np.sort(rng.random((count, 2, 2)), axis=1).reshape(count, 4)
    things = [{"box": box.tolist(), "class": NAMES[i % 3]} for i, box in enumerate(corners)]
    return registry.load("kinds", "boxes").named(NAMES).label(things)


def give(
    data: Path, kind: str, names: tuple[str, ...], values: dict[tuple[str, str], object], **overrides: str
) -> None:
    from deepen import config as configs

    spec = labels.as_declared(configs.from_target(str(data), overrides).data, {"kind": kind})
    items = registry.build("sources", spec).read()
    content = dict(zip(items.ids, labels.marks(items)))
    with Dataset.create(place(data), kind=kind, names=list(names)) as dataset:
        dataset.write([New(f"{i}{a}", i, content[i], a, v) for (i, a), v in values.items()])


def held(data: Path) -> dict[tuple[str, str], object]:
    with Dataset(place(data)) as dataset:
        return {(act.item, act.annotator): act.value for act in dataset.now().acts()}


def run(capsys, *words: str) -> str:
    assert main(["label", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys, *words: str) -> str:
    assert main(["label", *words]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    return shown


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("form", registry.names("annotations"))
def test_boxes_survive_a_round_trip_exactly(form, tmp_path, capsys):
    rng = np.random.default_rng(3)
    first, second = photos(tmp_path / "first"), photos(tmp_path / "second")
    values = {
        ("a.png", "import"): random_boxes(rng, 40),
        ("unlabelled/b.png", "import"): [],
        ("unlabelled/c.jpg", "import"): random_boxes(rng, 3),
    }
    values["a.png", "import"] += [
        {"box": [0.0, 0.0, 1.0, 1.0], "class": "dog"},
        {"box": [0.1, 0.0, 0.3, 1 / 3], "class": "cat"},
    ]
    values["a.png", "import"][-1]["box"][3] = round(1 / 3, 9)
    give(first, "boxes", NAMES, values)
    run(
        capsys,
        str(first),
        "--export",
        form,
        "--out",
        str(tmp_path / "out.file" if form in {"coco", "label_studio"} else tmp_path / f"out.{form}"),
    )
    out = next(p for p in tmp_path.glob("out.*"))
    if form in {"coco", "label_studio"}:
        out = out.rename(tmp_path / "out.json")
    assert "taken    3 labels" in run(capsys, str(second), "kind=boxes", "--import", str(out))
    assert held(second) == values
    with Dataset(place(second)) as dataset:
        assert sorted(dataset.info["names"]) == sorted(NAMES)


@pytest.mark.parametrize(
    ("kind", "names", "values"),
    [
        (
            "classes",
            ("cat", "dog"),
            {("a.png", "ann"): "cat", ("a.png", "bob"): "dog", ("unlabelled/b.png", "ann"): "dog"},
        ),
        ("labels", ("red", "round"), {("a.png", "ann"): ["red", "round"], ("unlabelled/b.png", "ann"): []}),
        ("number", (), {("a.png", "ann"): 0.1, ("unlabelled/b.png", "bob"): -1e-17, ("unlabelled/c.jpg", "ann"): 3.0}),
        ("boxes", ("cat",), {("a.png", "ann"): [{"box": [0.1, 0.2, 0.3, 0.4], "class": "cat"}], ("a.png", "bob"): []}),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl", "label_studio"])
def test_all_kinds_and_annotators_survive(form, kind, names, values, tmp_path, capsys):
    first, second = photos(tmp_path / "first"), photos(tmp_path / "second")
    give(first, kind, names, values)
    out = tmp_path / f"out.{'json' if form == 'label_studio' else form}"
    run(capsys, str(first), "--export", form, "--out", str(out))
    run(capsys, str(second), f"kind={kind}", "--import", str(out), f"names=[{', '.join(names)}]")
    assert held(second) == values
    if form == "label_studio":  # what its page shows as $image
        places = {t["data"]["item"]: t["data"]["image"] for t in json.loads(out.read_text())}
        assert places == {item: f"/data/local-files/?d={item}" for item, _ in values}


def test_taking_a_file_twice_adds_nothing(tmp_path, capsys):
    data = photos(tmp_path / "p")
    Path("l.csv").write_text("item,label\na.png,cat\nb.png,dog\n")
    assert "taken    2 labels from l.csv\n" in run(capsys, "p", "--import", "l.csv")
    assert held(data) == {("a.png", "import"): "cat", ("unlabelled/b.png", "import"): "dog"}
    assert "taken    2 labels from l.csv, 2 of them were here" in run(capsys, "p", "--import", "l.csv")


def test_what_is_taken_in_replaces_what_stood_also_by_what_stood_before(tmp_path, capsys):
    data, out = photos(tmp_path / "data"), tmp_path / "in.csv"
    for value in ("cat", "dog", "cat"):
        out.write_text(f"item,label\na.png,{value}\n")
        run(capsys, str(data), "--import", str(out), "kind=classes", "names=[cat, dog]")
        assert held(data) == {("a.png", "import"): value}
    assert "1 of them were here" in run(capsys, str(data), "--import", str(out))
    with Dataset(place(data)) as dataset:
        assert dataset.serial == 3
        dataset.undo("u", "import")
        dataset.undo("v", "import")
        dataset.undo("w", "import")
    run(capsys, str(data), "--import", str(out))
    assert held(data) == {("a.png", "import"): "cat"}


def test_a_coco_file_in_whole_pixels_comes_out_in_the_same_pixels(tmp_path, capsys):
    data = photos(tmp_path / "p")
    boxes = [[13, 7, 100, 201], [0, 0, 640, 480], [1, 2, 3, 4], [333.25, 10.5, 7.125, 1]]
    document = {
        "images": [{"id": 7, "file_name": "elsewhere/a.png", "width": 640, "height": 480}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 5, "bbox": box} for i, box in enumerate(boxes)],
        "categories": [{"id": 5, "name": "cat"}],
    }
    Path("coco.json").write_text(json.dumps(document))
    run(capsys, str(data), "--import", "coco.json")
    run(capsys, str(data), "--export", "coco", "--out", "again.json")
    assert [a["bbox"] for a in json.loads(Path("again.json").read_text())["annotations"]] == boxes


def test_what_other_tools_write(tmp_path, capsys):
    """One box of each, written by hand after their documentation: all mean the left upper quarter."""
    quarter = [{"box": [0.0, 0.0, 0.5, 0.5], "class": "cat"}]
    files = {
        "voc/a.xml": "<annotation><filename>a.png</filename><size><width>640</width><height>480</height></size><object><name>cat</name>"
        "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>320</xmax><ymax>240</ymax></bndbox></object></annotation>",
        "yolo/labels/a.txt": "0 0.25 0.25 0.5 0.5\n",
        "yolo/data.yaml": "names: [cat]\nnc: 1\n",
        "ls.json": json.dumps([{"data": {"image": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [{"completed_by": 1, "result": [
            {"type": "rectanglelabels", "from_name": "label", "to_name": "image", "original_width": 640, "original_height": 480,
             "value": {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"]}}]}]}]),
    }  # fmt: skip
    for i, name in enumerate(("voc", "yolo", "ls.json")):
        data = photos(tmp_path / f"p{i}")
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        run(capsys, str(data), "kind=boxes", "--import", name, "annotator=eve")
        assert held(data) == {("a.png", "1" if name == "ls.json" else "eve"): quarter}


def test_yolo_with_six_decimals_at_the_edge(tmp_path, capsys):
    data = photos(tmp_path / "p")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "classes.txt").write_text("cat\n")
    (tmp_path / "y" / "a.txt").write_text("0 0.166666 0.833334 0.333333 0.333333\n")
    run(capsys, str(data), "--import", "y")
    (thing,) = held(data)["a.png", "import"]
    assert thing["box"] == [0.0, 0.6666675, 0.3333325, 1.0]


def test_export_is_what_training_takes(tmp_path, capsys):
    """Several annotators become one; the source's own labels stand where none was given."""
    data = dirty.folder(tmp_path / "p", {"cat": 2, "dog": 1})
    give(data, "classes", ("cat", "dog"), {("cat/0.png", "ann"): "dog"})
    run(capsys, str(data), "--export", "csv", "--out", "l.csv")
    assert Path("l.csv").read_text() == "item,label,annotator\ncat/0.png,dog,ann\ncat/1.png,cat,\ndog/0.png,dog,\n"
    boxes = photos(tmp_path / "q")
    one, other = [{"box": [0.1, 0.1, 0.5, 0.5], "class": "cat"}], [{"box": [0.6, 0.6, 0.9, 0.9], "class": "cat"}]
    give(
        boxes,
        "boxes",
        ("cat",),
        {
            ("a.png", "ann"): one,
            ("a.png", "bob"): one,
            ("a.png", "eve"): other,
            ("unlabelled/b.png", "ann"): one,
            ("unlabelled/b.png", "bob"): other,
        },
    )
    assert "written  1 labels" in run(capsys, str(boxes), "--export", "coco", "--out", "c.json")
    assert len(json.loads(Path("c.json").read_text())["annotations"]) == 1


# ---------------------------------------------------------------- what is wrong is named


def coco(**change: object) -> str:
    image = {"id": 1, "file_name": "a.png", "width": 640, "height": 480}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
    for key, value in change.items():
        (image if key in {"file_name", "width"} else box)[key] = value
    return json.dumps(
        {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "cow"}]}
    )


def voc(box: str = "1 2 3 4", head: str = "", name: str = "cat", file: str = "a.png", width: int = 640) -> str:
    edges = "".join(f"<{side}>{v}</{side}>" for side, v in zip(("xmin", "ymin", "xmax", "ymax"), box.split()))
    size = f"<size><width>{width}</width><height>480</height></size>"
    return f"{head}<annotation><filename>{file}</filename>{size}<object><name>{name}</name><bndbox>{edges}</bndbox></object></annotation>"


def studio(**change: object) -> str:
    value = {"x": 0, "y": 0, "width": 10, "height": 10, "rotation": 0, "rectanglelabels": ["cat"], **change}
    return json.dumps(
        [{"data": {"image": "a.png"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": value}]}]}]
    )


LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'

CASES = [
    ("c.json", coco(bbox=[-5, 0, 10, 10]), "images[0]: box 1: [-0.0078125, 0.0, 0.0078125, 0.020833333] is not inside the picture"),
    ("c.json", coco(bbox=[635, 0, 10, 10]), "is not inside the picture"),
    ("c.json", coco(bbox=[5, 5, 0, 10]), "has no area. Expected x1 < x2"),
    ("c.json", coco(bbox=[5, 5, -3, 10]), "has no area"),
    ("c.json", coco(bbox=[5, 5, 10]), "annotations[0]: got [5, 5, 10]. Expected 4 numbers"),
    ("c.json", coco(bbox=[5, 5, 10, None]), "Expected 4 numbers"),
    ("c.json", coco(bbox=[5, 5, 1e400, 1]).replace("Infinity", "1e999"), "Expected 4 numbers"),
    ("c.json", coco(category_id=2), "class 'cow'. Expected one of cat, dog"),
    ("c.json", coco(category_id=9), "annotations[0]: category_id 9"),
    ("c.json", coco(image_id=3), "annotations[0]: image_id 3"),
    ("c.json", coco(width=480), "a.png: 480 x 480 pixels. Expected 640 x 480, as the picture has upright"),
    ("c.json", coco(file_name="z.png"), "images[0]: 'z.png' is no item of this data"),
    ("c.json", coco(file_name="../../etc/passwd"), "is no item of this data"),
    ("c.json", '{"images": [], "annotations": 3, "categories": []}', "Expected images, annotations and categories"),
    ("c.json", '{"images": [', "none of the forms known here"),
    ("v/a.xml", voc("1 2 700 4"), "a.xml: box 1: [0.0015625, 0.004166667, 1.09375, 0.008333333] is not inside the picture"),
    ("v/a.xml", voc("3 2 1 4"), "has no area"),
    ("v/a.xml", voc("1 2 3"), "object 1: got ['1', '2', '3', '']. Expected 4 numbers"),
    ("v/a.xml", voc(name="cow"), "class 'cow'. Expected one of cat, dog"),
    ("v/a.xml", voc(width=480), "480 x 480 pixels. Expected 640 x 480"),
    ("v/a.xml", voc(file="z.png"), "'z.png' is no item of this data"),
    ("v/a.xml", voc(head=LAUGHS), "a document type. Expected plain XML without a document type and entities"),
    ("v/a.xml", voc(head=OUTSIDE), "a document type"),
    ("v/a.xml", voc(head='<?xml version="1.0" encoding="utf-16"?>' + LAUGHS).encode("utf-16"), "a document type"),
    ("v/a.xml", "<annotation>", "not XML"),
    ("v/a.xml", '<?xml version="1.0" encoding="nobodys"?><annotation/>', "not XML (unknown encoding"),
    ("v/a.xml", '<?xml version="1.0" encoding="euc-jp"?><annotation/>', "not XML (multi-byte encodings"),
    ("v/a.xml", "<a>" * 99 + "</a>" * 99, "nested too deeply"),
    ("y/labels/a.txt", "0 0.5 0.5 1.2 0.5", "a.txt: box 1: [-0.1, 0.25, 1.1, 0.75] is not inside the picture"),
    ("y/labels/a.txt", "0 0.5 0.5 0 0.5", "has no area"),
    ("y/labels/a.txt", "7 0.5 0.5 0.1 0.1", "a.txt:1: class 7. Expected 0 to 2: cat, dog, cow"),
    ("y/labels/a.txt", "² 0.5 0.5 0.1 0.1", "a.txt:1: class ²"),
    ("y/labels/a.txt", "9" * 5000 + " 0.5 0.5 0.1 0.1", "a.txt:1: class 99999999999999999999."),
    ("y/labels/a.txt", "2 0.5 0.5 0.1 0.1", "class 'cow'. Expected one of cat, dog"),
    ("y/labels/a.txt", "0 0.5 0.5 0.1", "a.txt:1: 4 numbers. Expected class, centre x"),
    ("y/labels/a.txt", "0 0.5 0.5 0.1 x", "Expected 4 numbers"),
    ("y/labels/z.txt", "", "'z' is no item of this data"),
    ("s.json", studio(x=95), "is not inside the picture"),
    ("s.json", studio(rotation=10), "[0]: box 1: a box that is turned"),
    ("s.json", studio(rectanglelabels=["cow"]), "class 'cow'"),
    ("s.json", studio(rectanglelabels=[]), "0 classes on one box"),
    ("s.json", studio(width=None), "Expected 4 numbers"),
    ("t.csv", "item,class,x1,y1,x2,y2\na.png,cat,0,0,2,1\n", "t.csv:2: box 1: [0.0, 0.0, 2.0, 1.0] is not inside the picture"),
    ("t.csv", "item,class,x1,y1,x2\na.png,cat,0,0,2\n", "no column 'y2'"),
    ("t.csv", "item,class,x1,y1,x2,y2\na.png,cat,0,0\n", "t.csv:2: another number of cells than the first line"),
    ("t.csv", "item,class,x1,y1,x2,y2\na.png,cat,0,0,x,1\n", "Expected 4 numbers"),
    ("l.jsonl", '{"item": "a.png"}\n', "l.jsonl:1: "),
    ("l.jsonl", '{"item": "a.png", "label": []}\n{"item": "a.png", "label": []}\n', "l.jsonl:2: a.png has a label by import already"),
    ("l.jsonl", '{"item": "a.png", "label": [3]}\n', "l.jsonl:1: box 1: 3. Expected box and class"),
    ("x.bin", b"\xff\xfe", "none of the forms known here. Expected one of coco, csv, jsonl"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "text"), CASES)
def test_a_bad_file_is_named_and_nothing_is_taken(name, content, text, tmp_path, capsys):
    data = photos(tmp_path / "p")
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if name.startswith("y/"):
        (tmp_path / "in" / "y" / "classes.txt").write_text("cat\ndog\ncow\n")
    source = tmp_path / "in" / name.split("/")[0]
    shown = refused(capsys, str(data), "kind=boxes", "names=[cat, dog]", "--import", str(source))
    assert text in shown
    assert str(tmp_path / "in") in shown
    if place(data).exists():
        assert held(data) == {}


def test_a_file_of_boxes_larger_than_any_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(voc_file, "LARGEST", 1 << 20)
    file = tmp_path / "a.xml"
    file.write_text("<a>" + "x" * (1 << 20) + "</a>")
    with pytest.raises(DeepenError, match="1 MB. Expected at most 1"):
        voc_file.parse(file)
    file.write_text("<a><b>" + "x\n" * 100_000 + "</b></a>")
    assert len(voc_file.parse(file).text("b")) == 200_000 - 1


def test_all_mistakes_are_told_at_once(tmp_path, capsys):
    photos(tmp_path / "p")
    Path("l.csv").write_text("item,label\na.png,cow\nb.png,hen\nc.jpg,cat\n")
    shown = refused(capsys, "p", "names=[cat, dog]", "--import", "l.csv")
    assert "l.csv:2: class 'cow'" in shown
    assert "l.csv:3: class 'hen'" in shown
    assert held(tmp_path / "p") == {}


def test_a_name_that_may_mean_two_items(tmp_path, capsys):
    dirty.folder(tmp_path / "p", {"x": 1, "y": 1})
    Path("l.csv").write_text("item,label\n0.png,x\n")
    assert "'0.png' may be 'x/0.png' or 'y/0.png'" in refused(capsys, "p", "--import", "l.csv")


def test_where_an_export_goes(tmp_path, capsys):
    data = photos(tmp_path / "p")
    give(data, "boxes", ("cat",), {("a.png", "ann"): []})
    assert "not said where to" in refused(capsys, "p", "--export", "yolo")
    assert "there is something already. Expected a new folder" in refused(capsys, "p", "--export", "yolo", "--out", "p")
    assert (data / "a.png").is_file()
    assert "Did you mean 'coco'" in refused(capsys, "p", "--export", "cocoo", "--out", "x")
    give(tmp_path / "p", "boxes", ("cat",), {})
    assert "Coco holds boxes. Expected kind classes" in refused(
        capsys, str(dirty.folder(tmp_path / "q", {"x": 1, "y": 1})), "kind=classes", "--export", "coco", "--out", "x"
    )


def test_a_picture_turned_by_exif_is_measured_upright(tmp_path, capsys):
    data = tmp_path / "p"
    data.mkdir()
    (data / "a.jpg").write_bytes(dirty.encoded(dirty.picture(1, (40, 20)), "JPEG", exif=dirty.exif(6)))
    give(data, "boxes", ("cat",), {("a.jpg", "ann"): [{"box": [0.0, 0.0, 0.5, 0.5], "class": "cat"}]})
    run(capsys, "p", "--export", "coco", "--out", "c.json")
    assert json.loads(Path("c.json").read_text())["annotations"][0]["bbox"] == [0, 0, 10, 20]


@pytest.mark.parametrize(
    "name", ["/data/upload/1/0a1b2c3d-a_b_1é.png", "/data/local-files/?d=some/x/a%20b%20%281%C3%A9.png", "a b (1é.png"]
)
def test_label_studios_names_of_a_file(name):
    ids = ["x/a b (1é.png", "x/c.png", "c_.png"]
    assert finder(ids)(name, "") == ids[0]


def test_remarks_beside_the_answers_are_passed_over(tmp_path, capsys):
    data = photos(tmp_path / "p")
    answer = {"type": "choices", "value": {"choices": ["cat"]}}
    remark = {"type": "textarea", "value": {"text": ["blurred"]}}
    task = {"data": {"image": "a.png"}, "annotations": [{"completed_by": 1, "result": [answer, remark]}]}
    Path("ls.json").write_text(json.dumps([task]))
    run(capsys, str(data), "kind=classes", "--import", "ls.json", "names=[cat]")
    assert held(data) == {("a.png", "1"): "cat"}
