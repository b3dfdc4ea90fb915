"""The words for a gap."""

from __future__ import annotations

import pytest

from deepen.evaluation.measure import Part, _verdict
from deepen.evaluation.verdict import judge, shift
from deepen.kinds.columns import Columns
from deepen.kinds.density import Density


def judged(train, held, baseline=0.1, higher=True, **of):
    return judge("accuracy" if higher else "rmse", higher, train, held, "test", baseline, [], 0, **of)


def word(*figures, **of):
    return judged(*figures, **of).word


@pytest.mark.parametrize(
    ("train", "held", "expected"),
    [
        ((0.99, 0.985, 0.995), (0.80, 0.78, 0.82), "overfit"),
        ((0.82, 0.81, 0.83), (0.81, 0.80, 0.82), "agree"),
        ((0.20, 0.19, 0.21), (0.20, 0.19, 0.21), "underfit"),
        ((0.97, 0.95, 0.99), (0.90, 0.70, 1.00), "unsure"),
        ((1.0, 0.995, 1.0), (1.0, 0.995, 1.0), "agree"),
    ],
)
def test_shares(train, held, expected):
    assert word(train, held) == expected


@pytest.mark.parametrize(
    ("train", "held", "expected"),
    [
        ((100, 95, 105), (200, 190, 210), "overfit"),
        ((200, 190, 210), (205, 195, 215), "agree"),
        ((390, 380, 400), (395, 385, 405), "underfit"),
    ],
)
def test_errors(train, held, expected):
    assert word(train, held, baseline=400, higher=False) == expected


@pytest.mark.parametrize(("loss", "expected"), [(395.0, "agree"), (401.0, "underfit")])
@pytest.mark.parametrize(
    "kind",
    [
        Density(shape=(2,), picture=False, mean=(0.0, 0.0), scale=(1.0, 1.0)),
        Columns(borders={}, categories={"a": ("x",)}),
    ],
    ids=["density", "columns"],
)
def test_of_a_density_nobody_knows_how_far_the_way_is(kind, loss, expected):
    parts = {name: Part(99, 99, {"loss": (loss, loss - 5, loss + 5)}) for name in ("train", "val")}
    assert _verdict(kind, parts, "val", ("all alike", 400.0), [], 0, False).word == expected


@pytest.mark.parametrize(("train", "held"), [(0.99, 0.8), (0.2, 0.2), (0.8, 0.8)])
def test_no_epochs_are_advised_where_there_are_none(train, held):
    learnt, fitted = (
        judged((train, train - 0.01, train + 0.01), (held, held - 0.01, held + 0.01), fitted=fitted)
        for fitted in (False, True)
    )
    assert learnt.word == fitted.word
    for advice in ("longer training", "another lr", "weight decay", "larger network"):
        assert advice not in fitted.sentences[0]
    assert any(advice in learnt.sentences[0] for advice in ("longer training", "weight decay"))


def test_without_interval_or_baseline():
    nan = float("nan")
    assert word((0.9, nan, nan), (0.5, nan, nan), baseline=None) == "unsure"


def test_the_course_of_training():
    history = [{"step": i, "epoch": i, "val_accuracy": 0.5} for i in range(1, 11)]
    same = (0.82, 0.81, 0.83)
    last = judge("accuracy", True, same, same, "test", 0.1, history, 10).sentences
    early = judge("accuracy", True, same, same, "test", 0.1, history, 2).sentences
    assert "very last of 10 epochs" in last[-1]
    assert "epoch 2 of 10" in early[-1]
    assert len(judge("accuracy", True, same, same, "test", 0.1, history, 7).sentences) == 1


def test_validation_and_test_that_differ():
    assert "better than test" in shift("accuracy", True, (0.9, 0.89, 0.91), (0.8, 0.79, 0.81))
    assert "better than validation" in shift("rmse", False, (9, 8.9, 9.1), (8, 7.9, 8.1))
    assert shift("accuracy", True, (0.9, 0.8, 1.0), (0.8, 0.7, 0.9)) == ""
