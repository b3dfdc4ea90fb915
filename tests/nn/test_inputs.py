"""Fixed-size inputs side by side; categories through their own tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deepen import config as configs
from deepen import registry
from deepen.data.prepare import prepare
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.kinds.density import Density
from deepen.models.mlp import MLP
from deepen.nn.inputs import Categories, Flat, network
from deepen.nn.layers import norm
from deepen.preprocess.array import Array
from deepen.preprocess.graph import Graph
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.signature import Signature
from deepen.training import plan
from deepen.training.assemble import build

TWO = {"label": Classes(("a", "b"))}


def test_every_column_has_its_own_table():
    torch.manual_seed(0)
    layer = Categories([3, 40, 100_000])
    assert layer.sizes == [3, 13, 50], "min(50, 1.6 n^0.56)"
    codes = torch.tensor([[0, 1, 2], [2, 39, 99_999]])
    expected = torch.cat([layer.tables[j].weight[codes[:, j]] for j in range(3)], 1)
    torch.testing.assert_close(layer(codes), expected)
    assert layer.width == expected.shape[1]


def test_inputs_stand_side_by_side_in_the_signatures_order():
    signature = Signature({"row": Row(("x", "y"), {}, {"c": ("u", "v")})}, TWO)
    flat = Flat(signature)
    numbers, codes = torch.tensor([[1.0, 2.0]]), torch.tensor([[3]])
    found = flat(numbers, codes)
    assert found.shape == (1, flat.width)
    assert found[0, :2].tolist() == [1, 2]
    torch.testing.assert_close(found[0, 2:], flat.embeddings["1"].tables[0].weight[3])
    assert Flat(Signature({"array": Array((2, 3))}, TWO)).width == 6


def test_what_has_no_fixed_size_is_refused():
    with pytest.raises(DeepenError, match="its size differs from item to item"):
        Flat(Signature({"graph": Graph(3)}, TWO))


def test_group_norm_finds_a_number_of_groups_that_divides():
    for channels, groups in ((16, 8), (12, 6), (7, 7), (13, 1), (1, 1)):
        assert norm("group", channels).num_groups == groups
    assert isinstance(norm("none", 4), torch.nn.Identity)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_instance_and_layer_norm_are_torchs(dimensions):
    x = torch.randn(3, 12, *[5, 4, 3][:dimensions]) * 3 + 2
    weight, bias = torch.randn(12), torch.randn(12)
    ours = {name: norm(name, 12, dimensions) for name in ("instance", "layer")}
    for layer in ours.values():
        layer.weight.data, layer.bias.data = weight, bias
    theirs = getattr(torch.nn, f"InstanceNorm{dimensions}d")(12, affine=True)
    theirs.weight.data, theirs.bias.data = weight, bias
    torch.testing.assert_close(ours["instance"](x), theirs(x))
    alike = (12, *[1] * dimensions)
    expected = F.layer_norm(x, x.shape[1:]) * weight.view(alike) + bias.view(alike)
    torch.testing.assert_close(ours["layer"](x), expected)


def test_instance_norm_of_a_single_place_is_refused():
    signature = Signature({"image": Image(4, 4, 1)}, TWO)
    with pytest.raises(DeepenError, match=r"model\.norm: instance, and a stage's maps have one place"):
        network({"name": "cnn", "channels": [4, 4, 4], "norm": "instance"}, signature)
    network({"name": "cnn", "channels": [4, 4], "norm": "instance"}, signature)


def test_batch_norm_has_the_inputs_dimensions():
    assert isinstance(norm("batch", 4, 3), torch.nn.BatchNorm3d)


def test_what_looks_at_the_items_before_it_learns_sees_the_unlabelled_too(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "few.npz", x=rng.normal(size=(60, 3)), y=np.where(np.arange(60) < 20, np.arange(60) % 2, np.nan)
    )
    config = configs.from_target(str(tmp_path / "few.npz"), {"model": "mlp", "threads": 1})
    prepared = prepare(registry.build("sources", config.data).read(), config)
    seen = []
    # a class of its own: whether a class has the method is remembered
    looking = type("Looking", (MLP,), {"measure": lambda _, rows: seen.append(len(rows))})
    monkeypatch.setattr("deepen.models.mlp.MLP", looking)
    build(plan.complete(config, prepared), prepared, None)
    assert seen == [len(prepared.parts["train"]) + 40]


def itself() -> Density:
    picture = Image(8, 8, 1)
    return Density.of(
        {"image": picture}, {"image": np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)}, np.arange(4)
    )


@pytest.mark.parametrize(
    ("model", "told"),
    [("flow", "No network here gives such an answer to such items"), ("tab_mlp", "model=alexnet or model=cnn")],
)
def test_what_is_proposed_can_answer_so(model, told):
    outputs = {"item": itself()} if model == "flow" else TWO
    with pytest.raises(DeepenError, match=told):
        network({"name": model}, Signature({"image": Image(8, 8, 1)}, outputs))
