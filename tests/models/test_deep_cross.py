"""Deep and cross network: each cross layer against its formula, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen import config as configs
from deepen import registry
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.models.deep_cross import DeepCross, Experts, Matrix, Product
from deepen.preprocess.array import Array
from deepen.preprocess.row import Row
from deepen.signature import Signature
from deepen.training import plan
from deepen.training.assemble import build

TWO = {"label": Classes(("a", "b"))}
NUMBERS = Signature({"row": Row(("x", "y", "z"))}, TWO)


@pytest.mark.parametrize("shape", [(1, 3), (3,)], ids=["row", "vector"])
def test_version_1_by_hand(shape):
    """Also with weights that were kept as a vector."""
    layer = Product(3)
    layer.load_state_dict({"weight": torch.tensor([1.0, 2, 3]).view(shape), "bias": torch.tensor([10.0, 20, 30])})
    found = layer(torch.tensor([[1.0, 0, 2]]), torch.tensor([[4.0, 5, 6]]))
    assert found.tolist() == [[32 + 10 + 4, 0 + 20 + 5, 64 + 30 + 6]]  # 1 * 4 + 2 * 5 + 3 * 6 = 32


def test_what_a_parent_of_other_columns_lacks_stays_as_it_begins():
    layer = Product(3)
    begun = layer.weight.detach().clone()
    missing = layer.load_state_dict({"bias": torch.ones(3)}, strict=False).missing_keys
    assert missing == ["weight"]
    assert torch.equal(layer.weight, begun)


def test_version_2_by_hand():
    layer = Matrix(2)
    layer.load_state_dict({"outer.weight": torch.tensor([[1.0, 2], [3, 4]]), "outer.bias": torch.tensor([10.0, 20])})
    found = layer(torch.tensor([[2.0, 3]]), torch.tensor([[5.0, 6]]))
    assert found.tolist() == [[2 * (17 + 10) + 5, 3 * (39 + 20) + 6]]


def test_a_rank_is_a_product_of_thin_matrices():
    layer = Matrix(4, rank=2)
    start, x = torch.randn(5, 4), torch.randn(5, 4)
    expected = start * (x @ (layer.outer.weight @ layer.inner.weight).T + layer.outer.bias) + x
    torch.testing.assert_close(layer(start, x), expected)


def test_experts_are_weighed_by_what_goes_in():
    """Expert by expert and item by item."""
    torch.manual_seed(0)
    layer, start, x = Experts(4, rank=3, experts=2), torch.randn(5, 4), torch.randn(5, 4)
    torch.nn.init.normal_(layer.bias)
    for x0, row, found in zip(start, x, layer(start, x)):
        said = torch.stack([layer.gate.weight[i] @ row for i in range(2)]).exp()
        expected = row.clone()
        for i in range(2):
            inner = torch.tanh(layer.middle[i].T @ torch.tanh(layer.down[i].T @ row))
            expected = expected + said[i] / said.sum() * x0 * (layer.up[i].T @ inner + layer.bias)
        torch.testing.assert_close(found, expected)
    for wrong in ({"version": 1, "rank": 2}, {}):
        with pytest.raises(DeepenError, match=r"model.experts: 2 with .*Expected version 2 with a rank"):
            DeepCross(NUMBERS, experts=2, **wrong)


@pytest.mark.parametrize(("version", "mixed"), [(1, {}), (2, {}), (2, {"rank": 2, "experts": 3})])
def test_parallel_and_stacked(version, mixed):
    for shape in ("parallel", "stacked"):
        net = DeepCross(NUMBERS, version, shape, cross=2, hidden=(5,), **mixed).eval()
        x0 = torch.randn(4, 3)
        crossed = net.cross[1](x0, net.cross[0](x0, x0))
        dense = lambda x, net=net: torch.relu(net.deep[0](x))
        wanted = torch.cat([crossed, dense(x0)], 1) if shape == "parallel" else dense(crossed)
        torch.testing.assert_close(net.features(x0), wanted)
        torch.testing.assert_close(net(x0), net.last(wanted))


def test_feature_vectors_stand_beside_columns():
    row = Row(("x",), {}, {"city": ("oslo", "rome")})
    net = DeepCross(Signature({"vector": Array((4,)), "row": row}, TWO), hidden=(6,)).eval()
    given = torch.randn(3, 4), torch.randn(3, 1), torch.tensor([[0], [2], [3]])
    assert net(*given).shape == (3, 2)
    other = (given[0], given[1], torch.tensor([[1], [2], [3]]))
    assert torch.isclose(net(*given), net(*other)).all(1).tolist() == [False, True, True]


def test_short_names():
    assert registry.resolve("models", {"name": "dcn"}, "model") == {"name": "deep_cross"}
    assert registry.resolve("models", {"name": "DCN-v1"}, "model") == {"version": 1, "name": "deep_cross"}


def figure(tmp_path, model: str) -> float:
    """Validation R2 of a product of three of eight numbers."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.5, 1.5, size=(3000, 8)).astype(np.float32)
    np.savez(tmp_path / "product.npz", x=x, y=x[:, 0] * x[:, 3] * x[:, 5])
    settings = {"model": model, "threads": 1, "epochs": 12, "lr": 5e-3, "batch_size": 64, "weight_decay": 0.0}
    config = configs.from_target(str(tmp_path / "product.npz"), settings)
    prepared = prepare(registry.build("sources", config.data).read(), config)
    engine = build(plan.complete(config, prepared), prepared, None)
    engine.fit()
    return engine.validate("val")["r2"]


def test_products_are_learnt_that_a_perceptron_of_the_same_size_lags_at(tmp_path):
    crossed = figure(tmp_path, "{name: deep_cross, cross: 2, hidden: [8], dropout: 0}")
    dense = figure(tmp_path, "{name: mlp, hidden: [16, 8]}")
    assert crossed > 0.97
    assert dense < crossed - 0.05
