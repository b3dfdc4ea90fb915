"""Several answers about one item: each asked for its own part, missing ones left out of loss and figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from deepen import metrics
from deepen.evaluation.intervals import intervals
from deepen.kinds.classes import Classes
from deepen.kinds.labels import Labels
from deepen.kinds.number import Number
from deepen.kinds.several import Several
from deepen.nn.heads import head
from deepen.panels import Gallery
from deepen.preprocess.array import Array
from deepen.signature import Signature

VALUES = [
    {"colour": "red", "price": 3.0, "tags": "a; b"},
    {"colour": "blue", "price": math.nan, "tags": None},
    {"colour": None, "price": 5.0, "tags": ";"},
    {"colour": "blue", "price": 7.0, "tags": "b"},
]
KIND = Several.fit(VALUES, kinds={"colour": Classes(("blue", "red")), "price": Number, "tags": Labels(("a", "b"))})


def outputs(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    p = draw.random((n, 2)).astype(np.float32)
    return {
        "colour.probabilities": p / p.sum(1, keepdims=True),
        "price.value": draw.normal(5, 2, (n, 1)).astype(np.float32),
        "tags.probabilities": draw.random((n, 2)).astype(np.float32),
    }


def test_targets_stand_side_by_side():
    assert KIND.width == 2 + 1 + 2
    assert KIND.kinds["price"] == Number(5.0, float(np.std([3, 5, 7])))
    target = KIND.encode([*VALUES, {"colour": None, "price": None, "tags": None}])
    np.testing.assert_array_equal(
        target, [[1, 3, 1, 1], [0, np.nan, np.nan, np.nan], [-1, 5, 0, 0], [0, 7, 0, 1], [-1, *[np.nan] * 3]]
    )
    assert KIND.labelled(target).tolist() == [True, True, True, True, False]
    assert KIND.own("colour", target).dtype == np.int64
    assert KIND.own("tags", target).shape == (5, 2)
    assert KIND.strata(target).tolist() == [1, 0, -1, 0, -1]


def test_figures_are_each_kinds_own_over_the_items_that_have_the_answer():
    values = [VALUES[i % 4] for i in range(40)]
    target, given = KIND.encode(values), outputs(40)
    found = KIND.metrics(target, given)
    rows = np.array([i for i in range(40) if values[i]["colour"]])
    own = metrics.classes(target[rows, 0].astype(int), given["colour.probabilities"][rows])
    assert found["colour.accuracy"] == own["accuracy"]
    rows = np.flatnonzero(np.isfinite(target[:, 1]))
    number = metrics.number(target[rows, 1].astype(np.float32), given["price.value"][rows, 0])
    assert found["price.rmse"] == pytest.approx(number["rmse"])
    assert found["score"] == pytest.approx((own["accuracy"] + number["r2"] + found["tags.f1_micro"]) / 3)
    assert math.isnan(KIND.metrics(np.array([[-1, *[np.nan] * 3]]), outputs(1))["score"])
    low, high = intervals(KIND, target, given)["colour.accuracy"][1:]
    assert low < found["colour.accuracy"] < high
    assert not metrics.higher_is_better("price.rmse")
    assert metrics.higher_is_better("colour.accuracy")


def test_answers_and_their_gaps():
    given = outputs(3)
    answers = KIND.decode(given)
    assert answers[0].keys() == KIND.kinds.keys()
    assert answers[1]["colour"] == KIND.kinds["colour"].decode({"probabilities": given["colour.probabilities"]})[1]
    other = {name: array.copy() for name, array in given.items()}
    other["price.value"] += 1.0
    assert KIND.difference(given, other) == pytest.approx(1 / KIND.kinds["price"].scale, rel=1e-5)
    assert KIND.agreement(given, other) == 0.0
    assert KIND.agreement(given, given) == 1.0
    assert KIND.gap(answers[0], KIND.decode(other)[0]) > 0.1
    assert KIND.gap(answers[0], {}) == math.inf
    np.testing.assert_allclose(KIND.outputs(answers)["tags.probabilities"], given["tags.probabilities"], rtol=1e-6)
    assert {"colour.class", "price.value", "tags.label a"} <= KIND.statistics(given).keys()
    assert KIND.uncertainty(given).shape == (3,)


def test_the_report_names_each_answer_and_its_items():
    values = [VALUES[i % 4] for i in range(40)]
    panels = KIND.panels(KIND.encode(values), outputs(40))
    worst = next(panel for panel in panels if panel.title == "colour: Worst errors")
    assert isinstance(worst, Gallery)
    assert all(values[row]["colour"] for row in worst.rows)
    for row, lines in zip(worst.rows, worst.captions):
        assert lines[0] == f"is {values[row]['colour']}"
    assert any(panel.title == "price: Errors" for panel in panels)


def test_the_loss_is_that_of_each_answer_over_the_items_that_have_it():
    torch.manual_seed(0)
    raw, target = torch.randn(4, 5, requires_grad=True), torch.from_numpy(KIND.encode(VALUES))
    several = head(KIND)
    colour, price, tags = (head(kind) for kind in KIND.kinds.values())
    expected = (
        3 / 4 * colour.loss(raw[[0, 1, 3], :2], torch.tensor([1, 0, 0]))
        + 3 / 4 * price.loss(raw[[0, 2, 3], 2:3], torch.tensor([3.0, 5.0, 7.0]))
        + 3 / 4 * tags.loss(raw[[0, 2, 3], 3:], torch.tensor([[1.0, 1], [0, 0], [0, 1]]))
    )
    loss = several.loss(raw, target)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert raw.grad[1, 2:].abs().sum() == 0, "no gradient where there is no answer"
    assert raw.grad[2, :2].abs().sum() == 0
    halves = [several.loss(raw[part], target[part]) for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, loss, msg="parts of a batch add up to the batch")
    there = several.to("meta").loss(raw.to("meta"), target.to("meta"), smoothing=0.1)
    assert there.shape == (), "no step asks for a value: on a device of no values it goes as well"
    several = head(KIND)
    nothing = several.loss(raw, torch.tensor([[-1.0, *[math.nan] * 3]] * 4, dtype=torch.float64))
    assert nothing.item() == 0.0
    assert [x.shape for x in several(raw)] == [(4, 2), (4, 1), (4, 2)]


def test_it_travels_in_the_signature():
    signature = Signature({"x": Array((3,))}, {"colour, price, tags": KIND})
    again = Signature.from_json(signature.to_json())
    assert again.answer == KIND
    assert again.answer.kinds["price"] == KIND.kinds["price"]
    assert [t.name for t in again.output_tensors] == ["colour.probabilities", "price.value", "tags.probabilities"]


@pytest.mark.parametrize("options", [{}, {"smoothing": 0.1}, {"focus": 2.0}])
def test_the_losses_of_each_item_have_the_loss_as_their_mean(options):
    torch.manual_seed(0)
    target = {"colour": torch.tensor([1, 0, 1]), "tags": torch.tensor([[1.0, 0], [0, 1], [1, 1]])}
    for name, truth in target.items():
        own, raw = head(KIND.kinds[name]), torch.randn(3, 2)
        each = own.each(raw, truth, **options)
        assert each.shape == (3,)
        torch.testing.assert_close(each.mean(), own.loss(raw, truth, **options))
        torch.testing.assert_close(each[1], own.loss(raw[1:2], truth[1:2], **options))
