"""Pictures with boxes to the service: one picture gets the same answer from a run, a bundle and a request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

import deepen
from deepen import registry
from deepen.cli import main
from deepen.serving.messages import Request
from tests import dirty
from tests.detection import shapes
from tests.serving.fakes import of_bundle

TINY = {"name": "detector", **registry.constant("models", "detector", "tiny")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = shapes.coco(tmp_path_factory.mktemp("shapes"), 30)
    return deepen.train(
        str(place), output=str(place / "runs"), model=TINY, size=64, epochs=6, batch_size=8, lr=1e-2, threads=1
    )


@pytest.fixture(scope="module")
def bundle(run) -> str:
    return deepen.export(str(run.path))["bundle"]


def firm(answers: list) -> list:
    """Answers with the boxes a little-trained network is least unsure of, so that there is something to compare."""
    return [answer["boxes"] for answer in answers]


def test_it_is_measured_and_reported(run, capsys):
    assert main(["evaluate", str(run.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"map", "ap50", "ap75", "ap_small", "recall_100"} <= set(document["metrics"])
    value, low, high = document["metrics"]["map"]
    assert low <= value <= high
    page = (run.path / "evaluation" / "report.html").read_text()
    assert "Pictures answered worst" in page
    assert '<rect class="there"' in page
    assert "kept" in (run.path / "log.txt").read_text() or run.info["best_step"] > 0


def test_the_same_answers_everywhere(run, bundle, tmp_path, capsys):
    here, there = deepen.load(str(run.path)), deepen.load(bundle)
    for predictor in (here, there):  # every box the network thinks of is compared, not only those it would tell
        ((name, kind),) = predictor.signature.outputs.items()
        predictor.signature.outputs[name] = type(kind)(kind.classes, threshold=0.012)
    rng = np.random.default_rng(5)
    files = []
    for i, size in enumerate([(96, 64), (64, 96), (300, 40), (33, 65)]):
        files.append(tmp_path / f"{i}.png")
        shapes.picture(rng, size)[0].save(files[-1])
    items = [file.read_bytes() for file in files]
    answers = here(items)
    assert [(a["width"], a["height"]) for a in answers] == [(96, 64), (64, 96), (300, 40), (33, 65)]
    found = [box for answer in answers for box in answer["boxes"]]
    assert len(found) > 10
    assert all(0 <= x1 < x2 <= a["width"] and 0 <= y1 < y2 <= a["height"]
               for a in answers for x1, y1, x2, y2 in (b["box"] for b in a["boxes"]))  # fmt: skip
    assert here.gap(answers, there(items)) == 0
    assert here.gap(answers, [there([item])[0] for item in items]) == 0

    plain = deepen.load(bundle)(items)
    core = of_bundle(Path(bundle))
    response = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "image/png"}, items[2])))
    assert response.status == 200, response.document
    assert here.gap(plain[2:3], response.document["answers"]) == 0
    broken = asyncio.run(core.handle(Request("POST", "/predict", {"content-type": "image/png"}, b"hello")))
    assert broken.status == 422
    core.close()
    assert main(["predict", bundle, str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert here.gap(plain, rows) == 0


def test_the_model_fills_in_boxes_on_the_label_page(run, tmp_path):
    from deepen.stages.label import _arrange, _desk

    place = tmp_path / "new"
    place.mkdir()
    for i in range(3):
        shapes.picture(np.random.default_rng(i), (96, 64))[0].save(place / f"{i}.png")
    desk = _desk(str(place), "boxes", (), 1, "unlabelled", {})
    with desk.dataset:
        _arrange(desk, str(run.path), None, 0)
        assert set(desk.names) == set(shapes.NAMES)
        item = desk.next("page", "ann")["item"]
        assert isinstance(item["suggestion"], list)
        for thing in item["suggestion"]:
            assert set(thing) == {"box", "class"}
        for i, name in enumerate(sorted(desk.rows)):
            value = [{"box": [0.1, 0.1, 0.5, 0.5], "class": "disc"}] if i else []
            handle = desk._item(desk.rows[name])["item"]
            desk.answer(f"k{i}", "page", "ann", handle, value)


def test_labels_given_by_hand_train_a_detector(tmp_path, capsys):
    """A folder of pictures without any file of labels: the boxes come from the label page's table."""
    place = tmp_path / "photos"
    place.mkdir()
    boxes = []
    for i in range(12):
        image, things = shapes.picture(np.random.default_rng(i), (64, 64))
        image.save(place / f"{i:02}.png")
        boxes.append(
            (f"{i:02}.png", [{"box": [v / 64 for v in (x, y, x + w, y + h)], "class": k} for x, y, w, h, k in things])
        )
    lines = "\n".join(json.dumps({"item": name, "label": value}) for name, value in boxes)
    (tmp_path / "labels.jsonl").write_text(lines)
    assert main(["label", str(place), "kind=boxes", "--import", str(tmp_path / "labels.jsonl")]) == 0, (
        capsys.readouterr().err
    )
    assert (
        main(
            [
                "train",
                str(place),
                "--dry-run",
                "threads=1",
                "batch_size=2",
                "model=detector",
                "backbone={name: resnet, depth: 8, width: 4}",
                "width=8",
                "levels=2",
            ]
        )
        == 0
    )
    assert "boxes of 3 classes: cross, disc, square" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["model=cnn"], "model cnn: the answer is boxes of 3 classes: cross, disc, square. Expected a network made for such answers"),
        (["model=detector", "backbone=lenet"], "model.backbone: lenet has no maps on its way"),
        (["model=detector", "backbone=resnet19"], "Did you mean"),
        (["augment=[mixup]"], "train.augment: mixup"),
        (["resample=1"], "train.resample: the answer is not one of several classes"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told(words, text, tmp_path, capsys):
    place = shapes.coco(tmp_path / "s", 12)
    assert main(["train", str(place), "--dry-run", "threads=1", *words]) == 2
    shown = capsys.readouterr().err
    assert text in shown
    assert "Traceback" not in shown


def test_a_detector_for_classes_is_refused(tmp_path, capsys):
    dirty.folder(tmp_path / "p", {"cat": 9, "dog": 9})
    assert main(["train", str(tmp_path / "p"), "--dry-run", "model=detector", "threads=1"]) == 2
    assert (
        "model detector: the answer is 2 classes: cat, dog. Expected an answer it is made for"
        in capsys.readouterr().err
    )


# ---------------------------------------------------------------- what it learns


@pytest.mark.slow
def test_twenty_pictures_are_nearly_learnt_by_heart(tmp_path):
    place = shapes.coco(tmp_path / "s", 20, size=(128, 96))
    backbone = {"name": "resnet", "depth": 14, "width": 16}
    model = {"name": "detector", "backbone": backbone, "width": 24, "depth": 1, "levels": 2}
    few = {"split": {"val": 0.1, "test": 0.1}, "augment": [], "batch_size": 8, "threads": 1, "size": 96}
    run = deepen.train(str(place), output=str(tmp_path), epochs=150, lr=1e-2, model=model, **few)
    assert deepen.evaluate(str(run.path), part="train")["metrics"]["ap50"][0] >= 0.8
