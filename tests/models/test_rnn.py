"""Recurrent networks against torch's own on packed sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from deepen.formats.onnx import Onnx
from deepen.kinds.classes import Classes
from deepen.models.rnn import RNN
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image
from deepen.preprocess.text import Text
from deepen.runtimes.onnx import Onnx as Runtime
from deepen.signature import Signature

CLASSES = Classes(("a", "b", "c"))
TEXT = Signature({"text": Text(tuple("abcdefgh"))}, {"label": CLASSES})
LENGTHS = [4, 9, 1, 7]
TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def tokens(lengths: list[int], seed: int = 0) -> torch.Tensor:
    there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    drawn = torch.randint(1, 10, there.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(there, drawn, torch.zeros_like(drawn))


def theirs(net: RNN, cell: str) -> nn.Module:
    """torch's network of several layers with the weights of ours."""
    layers, both = len(net.layers), net.layers[0].backwards is not None
    first = net.layers[0].forwards
    found = TORCH[cell](first.input_size, first.hidden_size, layers, batch_first=True, bidirectional=both).double()
    with torch.no_grad():
        for i, layer in enumerate(net.layers):
            for direction, end in ((layer.forwards, ""), (layer.backwards, "_reverse")):
                for name, p in direction.named_parameters() if direction is not None else ():
                    getattr(found, f"{name.replace('_l0', f'_l{i}')}{end}").copy_(p)
    return found


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
def test_states_and_gradients_are_those_of_torch_on_packed_sequences(cell, layers, both):
    torch.manual_seed(0)
    net = RNN(TEXT, cell, width=5, layers=layers, bidirectional=both, embedding=6).double()
    other = theirs(net, cell)
    given = tokens(LENGTHS)
    states, there = net.states(given)
    assert there.sum(1).tolist() == LENGTHS
    packed = pack_padded_sequence(
        net.steps.embedding(given), torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
    )
    packed_states, final = other(packed)
    expected = pad_packed_sequence(packed_states, batch_first=True)[0]
    torch.testing.assert_close(states * there[..., None], expected, rtol=1e-10, atol=1e-10)
    final = final[0] if cell == "lstm" else final
    final = torch.cat([final[-2], final[-1]], 1) if both else final[-1]
    torch.testing.assert_close(net.features(given), final, rtol=1e-10, atol=1e-10)
    (ours,) = torch.autograd.grad(net.features(given).square().sum(), net.layers[0].forwards.weight_hh_l0)
    (wanted,) = torch.autograd.grad(final.square().sum(), other.weight_hh_l0)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pool", ["last", "mean", "max", "attention"])
def test_what_fills_up_changes_nothing(pool):
    torch.manual_seed(0)
    net = RNN(TEXT, "gru", width=5, bidirectional=True, embedding=6, pool=pool).eval()
    given = tokens(LENGTHS)
    wide = torch.cat([given, torch.zeros(4, 30, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(wide), net(given))
    alone = torch.cat([net(given[i : i + 1, :n]) for i, n in enumerate(LENGTHS)])
    torch.testing.assert_close(net(given), alone)


def test_pools_by_hand():
    torch.manual_seed(0)
    given = tokens(LENGTHS)
    states, _ = RNN(TEXT, width=5, embedding=6).states(given)
    for pool, wanted in (("mean", lambda s: s.mean(0)), ("max", lambda s: s.amax(0)), ("last", lambda s: s[-1])):
        torch.manual_seed(0)
        net = RNN(TEXT, width=5, embedding=6, pool=pool)
        expected = torch.stack([wanted(states[i, :n]) for i, n in enumerate(LENGTHS)])
        torch.testing.assert_close(net.features(given), expected)
    torch.manual_seed(0)
    net = RNN(TEXT, width=5, embedding=6, pool="attention")
    expected = torch.stack(
        [(net.pool.score(states[i, :n]).softmax(0) * states[i, :n]).sum(0) for i, n in enumerate(LENGTHS)]
    )
    torch.testing.assert_close(net.features(given), expected)


def test_series_step_by_step_and_pictures_row_by_row():
    series = RNN(Signature({"array": Array((3, 20))}, {"label": CLASSES})).steps
    x = torch.randn(2, 3, 20)
    steps, there = series(x)
    assert series.width == 3
    torch.testing.assert_close(steps[1, 7], x[1, :, 7])
    assert there.all()
    assert there.shape == (2, 20)
    picture = RNN(Signature({"image": Image(10, 8, 3)}, {"label": CLASSES})).steps
    x = torch.randn(2, 3, 10, 8)
    assert picture.width == 24
    torch.testing.assert_close(picture(x)[0][1, 4], x[1, :, 4].flatten())
    row = RNN(Signature({"array": Array((6,))}, {"label": CLASSES})).steps
    assert row.width == 1
    assert row(torch.randn(2, 6))[0].shape == (2, 6, 1)


def test_how_it_starts():
    torch.manual_seed(0)
    net = RNN(TEXT, "lstm", width=6, embedding=5)
    layer = net.layers[0].forwards
    for block in layer.weight_hh_l0.view(4, 6, 6):
        torch.testing.assert_close(block @ block.T, torch.eye(6), rtol=0, atol=1e-5)
    assert layer.bias_ih_l0.view(4, 6).sum(1).tolist() == [0, 6, 0, 0]  # the forget gate is the second
    assert net.steps.embedding.weight[0].abs().sum() == 0


@pytest.mark.slow
def test_it_reads_pictures_row_by_row():
    import deepen

    run = deepen.train("digits", model={"name": "rnn", "width": 48}, epochs=25, threads=1, lr=5e-3, augment=[])
    assert run.info["metrics"]["val_accuracy"] > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize("pool", ["last", "mean", "max", "attention"])
def test_the_exported_graph_takes_any_length(cell, pool, tmp_path):
    torch.manual_seed(0)
    net = RNN(TEXT, cell, width=5, layers=2, bidirectional=True, embedding=6, pool=pool)
    model = Packaged(Normalise(TEXT), net, head(CLASSES)).eval()
    Onnx().write(model, TEXT, {"tokens": tokens([4, 7, 3]).numpy()}, tmp_path / "graph.onnx")
    runtime = Runtime(tmp_path / "graph.onnx")
    for lengths in ([1], [2, 9, 4], [70, 1, 5, 30, 2]):
        given = tokens(lengths, seed=1)
        with torch.inference_mode():
            expected = model(given).numpy()
        np.testing.assert_allclose(runtime.run({"tokens": given.numpy()})["probabilities"], expected, atol=1e-5)
