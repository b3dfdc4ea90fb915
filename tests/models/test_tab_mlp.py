"""Piecewise-linear codes: against the paper's formula, item by item; borders from training rows only."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from deepen import config as configs
from deepen import registry
from deepen.data.prepare import prepare
from deepen.kinds.classes import Classes
from deepen.models.tab_mlp import Pieces, TabMLP, borders_of
from deepen.nn.inputs import Measured
from deepen.preprocess.row import Row
from deepen.signature import Signature
from deepen.training import plan
from deepen.training.assemble import build


def code(x: float, borders: list[float]) -> list[float]:
    """Equation 1 of the paper, with the outer pieces going on to -1 and 2."""
    found, last = [], len(borders) - 2
    for t, (low, high) in enumerate(itertools.pairwise(borders)):
        share = (x - low) / (high - low)
        found.append(min(max(share, -1.0 if t == 0 else 0.0), 2.0 if t == last else 1.0))
    return found


def test_codes_follow_the_formula_item_by_item():
    torch.manual_seed(0)
    numbers = torch.stack([torch.randn(200), torch.arange(200) % 3.0, torch.full((200,), 7.0)], 1)
    pieces = Pieces(3, 6, 5)
    pieces.fit(numbers)
    x = torch.tensor([[-9.0, 0.0, 7.0], [0.1, 1.5, 8.0], [0.7, 9.0, 6.0]])
    expected = torch.zeros(3, 3, 5)
    for row in range(3):
        for column in range(2):
            borders = borders_of(numbers[:, column].double(), 6).tolist()
            codes = torch.tensor(code(float(x[row, column]), borders))
            expected[row, column] = codes @ pieces.weight[column, : len(codes)]
    expected = torch.relu(expected + pieces.bias)  # the constant third column: only its bias
    torch.testing.assert_close(pieces(x), expected.flatten(1))


def test_borders_are_quantiles_of_rows_and_of_values():
    mostly_zero = torch.cat([torch.zeros(900), torch.arange(1, 101)]).double()
    borders = borders_of(mostly_zero, 8)
    assert borders[0] == 0
    assert borders[-1] == 100
    assert len(borders) >= 5, "the tenth that is not zero has pieces of its own"
    assert (borders.diff() > 0).all()
    assert len(borders_of(torch.linspace(0, 1, 50).double(), 8)) <= 9
    assert borders_of(torch.tensor([0.0, 1, 1, 0]).double(), 8).tolist() == [0, 1]


@pytest.mark.parametrize("pieces", [1, 2, 3, 32])
def test_any_number_of_pieces_fits_and_stays_finite(pieces):
    net = Pieces(2, pieces, 3)
    net.fit(torch.tensor([[0.0, 1e-7], [1.0, 0.0], [2.0, 5.0]]))
    assert torch.isfinite(net(torch.tensor([[10.0, -10.0]]))).all()


def test_the_network_is_measured_and_starts_linear_without():
    signature = Signature({"row": Row(("x", "y"), {}, {"c": ("u", "v")})}, {"label": Classes(("a", "b"))})
    net = TabMLP(signature, hidden=(8,), pieces=4, embedding=3)
    assert isinstance(net, Measured)
    before = net.pieces.slope.clone()
    assert before.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
    net.measure(torch.from_numpy(np.random.default_rng(0).normal(size=(50, 2)).astype("float32")), torch.zeros(50, 1))
    assert not torch.equal(before, net.pieces.slope)
    assert "pieces.low" in net.state_dict(), "the borders travel with the weights"


def test_training_measures_the_training_rows_and_no_others():
    config = configs.parse({"data": {"name": "blobs", "items": 90}, "model": {"name": "tab_mlp", "pieces": 4}})
    prepared = prepare(registry.build("sources", config.data).read(), config)
    prepared.columns["numbers"][prepared.parts["test"]] = 1e6
    engine = build(plan.complete(config, prepared), prepared, None)
    train = engine.data.inputs(engine.data.parts["train"])[0]
    pieces = engine.method.product().pieces
    highest = (pieces.low + 1 / pieces.slope).nan_to_num(posinf=0).max(1).values
    torch.testing.assert_close(highest, train.max(0).values)
    torch.testing.assert_close(pieces.low[:, 0], train.min(0).values)
