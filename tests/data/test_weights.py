"""How likely items are drawn: a column's numbers, weights of classes, and what is said of wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.config import Config
from deepen.data.items import Items
from deepen.data.prepare import prepare
from deepen.data.weights import weights
from deepen.errors import DeepenError
from deepen.preprocess.row import Rows
from tests.training.engines import engine


def prepared(cells, kind="classes", count=90):
    """Rows of one number; the weights stand in a further column."""
    x = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    target = [str(i % 3) for i in range(count)] if kind == "classes" else [float(i) for i in range(count)]
    column = np.empty(count, object)
    column[:] = cells
    split = ["train"] * (count - 20) + ["val"] * 10 + ["test"] * 10
    return prepare(
        Items(
            [f"row {i}" for i in range(count)], {"array": x}, {"array": ("array", {})}, target, kind, split=split,
            columns=Rows({"often": column}),
        ),
        Config({"name": "arrays"}),
    )  # fmt: skip


def test_a_column_weighs_items_whatever_the_answer_is():
    cells = [str(i % 4) for i in range(90)]
    for kind in ("classes", "number"):
        found = weights(prepared(cells, kind), 0.0, "often")
        assert found.tolist() == [i % 4 for i in range(90)]


def test_a_column_is_written_as_numbers_are():
    found = weights(prepared(["1,000", "2.5"] * 45), 0.0, "often")
    assert found[:2].tolist() == [1000.0, 2.5]


def test_weights_of_classes_and_the_evening_out_of_classes_multiply():
    data = prepared(["1"] * 90)
    assert weights(data, 0.0, {"1": 3, "2": 0}).tolist() == [1.0, 3.0, 0.0] * 30
    counts = np.bincount(data.target[data.parts["train"]])
    np.testing.assert_allclose(weights(data, 1.0, {"1": 3})[:3], [1 / counts[0], 3 / counts[1], 1 / counts[2]])
    np.testing.assert_allclose(weights(data, 0.5, None)[:3], counts**-0.5)


def test_nothing_said_is_a_plain_shuffle():
    assert weights(prepared(["1"] * 90), 0.0, None) is None


@pytest.mark.parametrize(
    ("cells", "given", "told"),
    [
        (["1"] * 90, "offen", "did you mean|Did you mean 'often'"),
        (["1", "x"] * 45, "often", "column 'often' of row 1: holds 'x'"),
        (["1", "-2"] * 45, "often", "column 'often' of row 1: holds '-2'"),
        (["", "2"] * 45, "often", "column 'often' of row 0: holds"),
        (["0"] * 90, "often", "every training item weighs 0"),
        (["1"] * 90, {"4": 2}, "class '4'|unknown"),
        (["1"] * 90, {"1": -1}, "train.item_weights.1: got -1"),
        (["1"] * 90, {"1": "much"}, "train.item_weights.1: got 'much'"),
    ],
)
def test_wrong_weights_are_told(cells, given, told):
    with pytest.raises(DeepenError, match=told):
        weights(prepared(cells), 0.0, given)


def test_held_out_items_need_no_weight():
    assert weights(prepared(["1"] * 70 + [""] * 20), 0.0, "often")[:70].all()


def test_classes_cannot_be_weighed_where_there_are_none():
    with pytest.raises(DeepenError, match="the answer is not one of several classes"):
        weights(prepared(["1"] * 90, "number"), 0.0, {"1": 2})


def test_what_weighs_three_times_as_much_is_seen_three_times_as_often():
    """From the configuration on."""
    trained = engine(item_weights="{blob1: 3}", **{"data.items": 400})
    name = trained.data.signature.answer.classes.index("blob1")
    target = trained.data.targets(trained.data.parts["train"])
    share = 3 * (target == name).double().mean() / (1 + 2 * (target == name).double().mean())
    seen = torch.cat([trained.feed.batch(0, k).target for k in range(len(trained.feed))])
    assert abs(float((seen == name).double().mean() - share)) < 2 / len(target) * 3


@pytest.mark.parametrize(
    ("share", "new", "raised"),
    [(0.5, 7, 0.5), (0.25, 7, 0.25), (0.5, 60, None), (0.0, 7, None), (0.5, 0, None), (0.5, 70, None)],
)
def test_what_a_parent_did_not_know_is_drawn_that_often_at_least(share, new, raised):
    data = prepared(["1"] * 90)
    train = data.parts["train"]
    known = {data.items.ids[int(row)] for row in train[new:]}
    found = weights(data, 0.0, None, share, known)
    if raised is None:
        assert found is None
        return
    assert found[train[:new]].sum() / found[train].sum() == pytest.approx(raised)
    assert set(found[train[new:]]) == {1.0}
    weighed = weights(data, 0.0, {"1": 3}, share, known)  # it multiplies what is there
    assert weighed[train[:new]].sum() / weighed[train].sum() == pytest.approx(raised)
    for some in (train[:new], train[new:]):
        ratios = weighed[some] / np.where(data.target[some] == 1, 3, 1)
        assert ratios == pytest.approx(ratios[0])


def test_without_a_parent_nothing_is_new():
    assert weights(prepared(["1"] * 90), 0.0, None, 0.5, None) is None
