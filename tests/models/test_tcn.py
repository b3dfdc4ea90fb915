"""Convolutions that look back only, as far as their paper says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.formats.onnx import Onnx
from deepen.kinds.classes import Classes
from deepen.models.tcn import TCN, Back, Block
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.preprocess.array import Array
from deepen.preprocess.text import Text
from deepen.runtimes.onnx import Onnx as Runtime
from deepen.signature import Signature

CLASSES = Classes(("a", "b", "c"))
TEXT = Signature({"text": Text(tuple("abcdefgh"))}, {"label": CLASSES})
SERIES = Signature({"array": Array((2, 80))}, {"label": CLASSES})


def test_a_convolution_by_hand():
    torch.manual_seed(0)
    layer, x = Back(3, 4, 2, apart=5), torch.randn(2, 12, 3)
    found = layer(x)
    assert found.shape == (2, 12, 4)
    for step in (0, 4, 5, 11):
        earlier = x[:, step - 5] if step >= 5 else torch.zeros(2, 3)
        expected = earlier @ layer.weight[:, :, 0].T + x[:, step] @ layer.weight[:, :, 1].T + layer.bias
        torch.testing.assert_close(found[:, step], expected)


@pytest.mark.parametrize(("kernel", "blocks", "field"), [(2, 3, 15), (3, 2, 13), (5, 3, 57)])
def test_a_state_sees_as_far_as_the_formula_says_and_nothing_after_it(kernel, blocks, field):
    torch.manual_seed(0)
    net = TCN(SERIES, (6,) * blocks, kernel, "silu", dropout=0.0).double()
    x = torch.randn(1, 2, 80, dtype=torch.float64, requires_grad=True)
    net.states(x)[0][0, 70].square().sum().backward()
    seen = x.grad.abs().sum((0, 1)).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (70 - field + 1, 70)


def test_a_block_whose_inner_way_gives_nothing_is_its_shortcut():
    for inside in (4, 3):
        block, x = Block(inside, 4, 3, 2, "relu", 0.0), torch.randn(2, 9, inside)
        torch.nn.init.zeros_(block.norms[1].weight)
        torch.testing.assert_close(block(x), block.shortcut(x))


def tokens(lengths: list[int]) -> torch.Tensor:
    there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.where(there, torch.randint(1, 10, there.shape, generator=torch.Generator().manual_seed(0)), 0)


@pytest.mark.parametrize("pool", ["last", "mean", "max", "attention"])
def test_what_fills_up_changes_nothing(pool):
    torch.manual_seed(0)
    net = TCN(TEXT, (8, 8), pool=pool, embedding=6).eval()
    given = tokens([4, 9, 1, 7])
    torch.testing.assert_close(net(torch.cat([given, torch.zeros(4, 30, dtype=torch.int64)], 1)), net(given))
    alone = torch.cat([net(given[i : i + 1, :n]) for i, n in enumerate([4, 9, 1, 7])])
    torch.testing.assert_close(net(given), alone)


@pytest.mark.slow
def test_the_exported_graph_takes_any_length(tmp_path):
    torch.manual_seed(0)
    model = Packaged(Normalise(TEXT), TCN(TEXT, (8, 8), embedding=6), head(CLASSES)).eval()
    Onnx().write(model, TEXT, {"tokens": tokens([4, 7, 3]).numpy()}, tmp_path / "graph.onnx")
    runtime = Runtime(tmp_path / "graph.onnx")
    for lengths in ([1], [2, 9, 4], [70, 1, 5, 30, 2]):
        given = tokens(lengths)
        with torch.inference_mode():
            expected = model(given).numpy()
        np.testing.assert_allclose(runtime.run({"tokens": given.numpy()})["probabilities"], expected, atol=1e-5)
