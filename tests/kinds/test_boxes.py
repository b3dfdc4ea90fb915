"""Boxes as answers: back into the user's picture, thinned out by class, told and compared."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import DeepenError
from deepen.kinds.boxes import Boxes
from deepen.preprocess.image import Image
from deepen.program import Program, suppress

KIND = Boxes(("cat", "dog"))


def target(*pictures: list) -> np.ndarray:
    return KIND.encode(list(pictures))


def run(boxes, scores, placed, kind=KIND) -> dict:
    arrays = {"boxes": boxes, "scores": scores, "placed": placed}
    return Program(kind.steps, {}).run({name: np.array(values, np.float32) for name, values in arrays.items()})


def test_boxes_come_back_into_the_users_picture():
    """A picture of 640 x 480 in a square frame takes its upper three quarters."""
    image = Image(64, 64, 3, "fit")
    placed = image.encode([np.zeros((480, 640, 3), np.uint8)])["placed"]
    np.testing.assert_allclose(placed, [[1, 0.75, 640, 480]])
    found = run([[[0.5, 0.375, 1.0, 0.9], [0, 0, 0.2, 0.2]]], [[[0.9, 0], [0, 0.29]]], placed)
    assert len(found["detected.scores"]) == 2
    assert KIND.decode(found) == [
        {
            "boxes": [{"label": "cat", "score": pytest.approx(0.9), "box": [320, 240, 640, 480]}],
            "width": 640,
            "height": 480,
        }
    ]  # what lies beyond the picture is cut, what is not sure enough is not told


@pytest.mark.parametrize("shape", [(480, 640), (37, 53), (1000, 3), (3, 1000), (64, 64)])
def test_there_and_back_again(shape):
    image = Image(64, 96, 1, "fit")
    columns = image.encode([np.zeros(shape, np.uint8)])
    things = target([{"box": [0.125, 0.25, 0.5, 0.75], "class": "dog"}])
    (there,) = KIND.learnt(things, columns)
    found = run(there[:, :, :4], [[[0, 0.9]]], columns["placed"])
    (answer,) = KIND.decode(found)
    expected = np.array([0.125, 0.25, 0.5, 0.75]) * np.tile(shape[::-1], 2)
    np.testing.assert_allclose(answer["boxes"][0]["box"], expected, rtol=1e-5)
    assert KIND.suggest(answer)[0]["box"] == pytest.approx([0.125, 0.25, 0.5, 0.75], abs=1e-6)


def test_what_a_fitted_picture_looks_like():
    picture = np.full((20, 40, 3), 200, np.uint8)
    found = Image(64, 64, 3, "fit").one(picture)
    assert (found[:32] == 200).all()
    assert (found[32:] == 114).all()


@pytest.mark.parametrize(
    ("shapes", "size", "expected"),
    [
        ([(480, 640)], None, (256, 320)),
        ([(480, 640), (481, 640)], None, (256, 320)),
        ([(480, 640), (640, 480)], None, (320, 320)),
        ([(60, 90)], None, (64, 96)),
        ([(480, 640)], 416, (320, 416)),
        ([(480, 640), (100, 100)], 100, (128, 128)),
    ],
)
def test_the_frame_has_the_pictures_shape_where_they_share_one(shapes, size, expected):
    image = Image.fit([np.zeros((*shape, 3), np.uint8) for shape in shapes], size, "fit")
    assert (image.height, image.width) == expected


def test_suppression_is_the_slow_one():
    rng = np.random.default_rng(0)
    low = rng.random((200, 2))
    boxes, label = np.hstack([low, low + 0.05 + 0.3 * rng.random((200, 2))]), rng.integers(3, size=200)
    kept: list[int] = []
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        covered = False
        for j in kept:
            a = boxes[j]
            shared = max(0, min(x2, a[2]) - max(x1, a[0])) * max(0, min(y2, a[3]) - max(y1, a[1]))
            whole = (x2 - x1) * (y2 - y1) + (a[2] - a[0]) * (a[3] - a[1]) - shared
            covered |= label[j] == label[i] and shared / whole > 0.4
        if not covered:
            kept.append(i)
    assert suppress(boxes, label, 0.4).tolist() == kept
    assert len(kept) < 180


def test_the_surest_are_kept_and_nothing_below_the_least():
    boxes = np.tile([[0.0, 0, 0.01, 0.01]], (300, 1)) + np.arange(300)[:, None] / 400
    scores = np.linspace(0, 1, 300)[::-1, None]
    found = run([boxes], [scores], [[1, 1, 400, 400]], Boxes(("a",)))
    assert found["detected.scores"].tolist() == sorted(scores[:100, 0].astype(np.float32).tolist(), reverse=True)
    few = run([boxes[-5:]], [scores[-5:]], [[1, 1, 400, 400]], Boxes(("a",)))
    assert (few["detected.scores"] >= 0.01).all()
    assert 0 < len(few["detected.scores"]) < 5


def test_figures_of_answers_are_those_of_the_arrays_from_the_threshold_on():
    placed = [[1, 1, 100, 50]] * 2
    found = run([[[0.1, 0.1, 0.5, 0.5]], [[0, 0, 1, 1]]], [[[0.9, 0]], [[0, 0.8]]], placed)
    truth = target([{"box": [0.1, 0.1, 0.5, 0.5], "class": "cat"}], [])
    figures = KIND.metrics(truth, found)
    assert figures["ap50"] == figures["map"] == pytest.approx(1)
    assert "ap_large" not in figures
    assert KIND.metrics(truth, KIND.outputs(KIND.decode(found))) == figures
    assert KIND.per_item(truth, found).values.tolist() == [1, 0]
    assert dict(KIND.slices(truth))["holds nothing"].tolist() == [False, True]


def test_answers_are_equal_up_to_rounding_and_the_threshold():
    answer = lambda box, score: {"boxes": [{"label": "cat", "score": score, "box": box}], "width": 640, "height": 480}
    here = answer([10, 10, 50, 50], 0.9)
    assert KIND.gap(here, answer([10.1, 10, 50, 50.5], 0.9)) == 0
    assert KIND.gap(here, answer([13, 10, 50, 50], 0.9)) > 1
    assert KIND.gap(here, {**here, "boxes": []}) > 1
    assert KIND.gap(answer([10, 10, 50, 50], 0.3005), {**here, "boxes": []}) == 0
    assert KIND.gap(here, {**here, "width": 320}) > 1


def test_what_is_told_has_the_figures_that_answers_have():
    """A thing found at 0.2 counts in the figures of the arrays, and not in those that a service could see."""
    placed = [[1, 1, 100, 50]]
    found = run([[[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]]], [[[0.9, 0], [0.2, 0]]], placed)
    truth = target([{"box": [0.1, 0.1, 0.5, 0.5], "class": "cat"}, {"box": [0.6, 0.6, 0.9, 0.9], "class": "cat"}])
    told = KIND.metrics(truth, KIND.told(found))
    assert KIND.metrics(truth, found)["ap50"] == pytest.approx(1)
    assert told["ap50"] == pytest.approx(51 / 101)
    assert told == KIND.metrics(truth, KIND.outputs(KIND.decode(found)))


def test_networks_agree_where_the_things_are_the_same():
    def agreed(box: list, score: float, label: int = 0) -> float:
        scores = [[0.9, 0]], [[score, 0] if label == 0 else [0, score]]
        here, there = (run([[b]], [s], [[1, 1, 100, 100]]) for b, s in zip(([0.1, 0.1, 0.5, 0.5], box), scores))
        return KIND.agreement(here, there)

    assert agreed([0.1, 0.1, 0.5, 0.51], 0.7) == 1
    assert agreed([0.1, 0.1, 0.5, 0.6], 0.7) == 0
    assert agreed([0.1, 0.1, 0.5, 0.5], 0.7, label=1) == 0
    assert agreed([0.1, 0.1, 0.5, 0.5], 0.2) == 0


def test_strata_and_counts_go_by_the_rarest_class():
    cat, dog = ({"box": [0, 0, 1, 1], "class": name} for name in ("cat", "dog"))
    truth = target([cat, cat], [cat, dog], [], [cat])
    assert KIND.counts(truth).tolist() == [4, 1]
    assert KIND.strata(truth).tolist() == [0, 1, 2, 0]


def test_an_unknown_class_is_named():
    with pytest.raises(DeepenError, match=r"target\[0\]: class 'cow' is not known\. Expected one of cat, dog"):
        target([{"box": [0, 0, 1, 1], "class": "cow"}])


def test_the_panels_say_what_went_wrong():
    thing = lambda x, name: {"box": [x, 0.0, x + 0.2, 0.4], "class": name}
    truth = target([thing(0, "cat"), thing(0.3, "dog"), thing(0.6, "cat")], [])
    placed = [[1, 1, 100, 50]] * 2
    places = [
        [[0, 0, 0.2, 0.4], [0.02, 0, 0.18, 0.2], [0.3, 0, 0.5, 0.4], [0.5, 0.0, 0.7, 0.4]],
        [[0.1, 0.1, 0.2, 0.2]] * 4,
    ]
    scores = [[[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0]], [[0, 0.5]] + [[0, 0]] * 3]
    by_class, curves, wrong, pictures = KIND.panels(truth, run(places, scores, placed))
    assert dict(wrong.rows) == {
        "boxes: right": 1, "boxes: wrong class": 1, "boxes: badly placed": 2, "boxes: a second one": 0,
        "boxes: nothing there": 1, "things: missed": 2,
    }  # fmt: skip
    assert [row[0] for row in by_class.rows] == ["dog", "cat"]
    assert len(curves.lines) == 2
    assert [mark.true for mark in pictures.marks[list(pictures.rows).index(0)]] == [True] * 3 + [False] * 4
