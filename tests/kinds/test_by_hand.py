"""Labels given by hand: one form for each kind, what is wrong is named, several opinions become one."""

from __future__ import annotations

import math

import pytest

from deepen import registry
from deepen.errors import Invalid
from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.kinds.labels import Labels
from deepen.kinds.number import Number

BOX = {"box": [0.1, 0.2, 0.5, 0.6], "class": "cat"}
FAR = {"box": [0.7, 0.7, 0.9, 0.9], "class": "cat"}


def kind(name: str):
    return registry.load("kinds", name).named(("cat", "dog"))


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("classes", " cat ", "cat"),
        ("labels", ["dog", "cat", "dog"], ["cat", "dog"]),
        ("labels", "dog;cat", ["cat", "dog"]),
        ("labels", [], []),
        ("number", "2.5", 2.5),
        ("number", 3, 3.0),
        ("boxes", [], []),
        ("boxes", [{**BOX, "box": [0.1, 0.2, 0.5000000004, 1]}], [{"box": [0.1, 0.2, 0.5, 1.0], "class": "cat"}]),
    ],
)
def test_a_label_has_one_form(name, given, kept):
    assert kind(name).label(given) == kept
    assert kind(name).label(kept) == kept


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("classes", "cow", "class 'cow'. Expected one of cat, dog"),
        ("classes", None, "class None"),
        ("labels", ["cat", "cow"], "label 'cow'. Expected one of cat, dog"),
        ("labels", None, "Expected a list of labels, empty for none"),
        ("labels", {"cat": 1}, "Expected a list of labels"),
        ("number", "x", "got 'x'. Expected a number"),
        ("number", math.nan, "got nan. Expected a number"),
        ("number", math.inf, "got inf"),
        ("number", 1e39, "got 1e+39"),
        ("number", True, "got True"),
        ("number", 10**400, "a number of more than 19 digits"),
        ("boxes", "cat", "Expected a list of boxes"),
        ("boxes", [BOX, {"box": [0, 0, 1, 1]}], "box 2: {'box': [0, 0, 1, 1]}. Expected box and class"),
        ("boxes", [{**BOX, "class": "cow"}], "box 1: class 'cow'. Expected one of cat, dog"),
        ("boxes", [{**BOX, "box": [0, 0, 1]}], "box 1: [0, 0, 1]. Expected x1, y1, x2, y2"),
        ("boxes", [{**BOX, "box": [0, 0, 1, "1"]}], "Expected four numbers"),
        ("boxes", [{**BOX, "box": [0, 0, 1, math.nan]}], "Expected four numbers"),
        ("boxes", [{**BOX, "box": [-0.1, 0, 1, 1]}], "box 1: [-0.1, 0.0, 1.0, 1.0] is not inside the picture"),
        ("boxes", [{**BOX, "box": [0, 0, 1.1, 1]}], "is not inside the picture"),
        ("boxes", [{**BOX, "box": [0.5, 0, 0.5, 1]}], "box 1: [0.5, 0.0, 0.5, 1.0] has no area"),
        ("boxes", [{**BOX, "box": [0.5, 0.4, 0.6, 0.2]}], "has no area. Expected x1 < x2 and y1 < y2"),
    ],
)
def test_what_is_no_label_is_named(name, given, text):
    with pytest.raises(Invalid) as problem:
        kind(name).label(given)
    assert text in str(problem.value)


def test_distances():
    assert Classes(("a", "b")).distance("a", "b") == 1
    assert Classes(("a", "b")).distance("a", "a") == 0
    assert Labels(("a", "b", "c")).distance(["a", "b"], ["b", "c"]) == pytest.approx(2 / 3)
    assert Labels(("a", "b", "c")).distance([], []) == 0
    assert Number().distance(1.0, 4.0) == 9
    boxes = Boxes(("cat", "dog"))
    assert boxes.distance([], []) == 0
    assert boxes.distance([BOX], []) == 1
    assert boxes.distance([BOX, FAR], [FAR]) == pytest.approx(1 / 3)
    assert boxes.distance([BOX], [{**BOX, "class": "dog"}]) == 1
    assert boxes.distance([BOX, BOX], [BOX]) == pytest.approx(1 / 3)  # one partner each
    half = {"box": [0.1, 0.2, 0.5, 0.39], "class": "cat"}  # covers 0.475 of the other
    assert boxes.distance([BOX], [half]) == 1


def test_what_several_say():
    assert Classes(("a", "b")).consensus(["a", "b", "a"]) == "a"
    assert Classes(("a", "b")).consensus(["a", "b"]) is None
    assert Labels(("a", "b", "c")).consensus([["a"], ["a", "b"], ["c", "a"]]) == ["a"]
    assert Labels(("a", "b")).consensus([["a"], ["a", "b"]]) is None
    assert Number().consensus([1.0, 9.0, 2.0]) == 2
    boxes = Boxes(("cat", "dog"))
    assert boxes.consensus([[FAR], [BOX], [BOX]]) == [BOX]
    assert boxes.consensus([[FAR], [BOX]]) is None
    assert boxes.consensus([[BOX, FAR], [BOX, FAR], [BOX]]) == [BOX, FAR]


def test_what_the_model_says_as_a_label():
    assert Classes(("a", "b")).suggest({"label": "b", "probability": 0.9}) == "b"
    assert Labels(("a", "b")).suggest({"labels": ["b"], "probabilities": {}}) == ["b"]
    assert Number().suggest({"value": 2.0}) == 2.0
    answer = {"boxes": [{"label": "cat", "score": 0.9, "box": [-1, 20, 220, 60]}], "width": 200, "height": 100}
    assert Boxes(("cat",)).suggest(answer) == [{"box": [0.0, 0.2, 1.0, 0.6], "class": "cat"}]
