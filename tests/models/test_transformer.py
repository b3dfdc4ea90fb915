"""Transformers against torch's own layers, and learning what needs attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.formats.onnx import Onnx
from deepen.kinds.classes import Classes
from deepen.models.transformer import Transformer
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.nn.transformer import Block, EncoderDecoder, Learned, Sinusoids, Stack
from deepen.preprocess.text import Text
from deepen.runtimes.onnx import Onnx as Runtime
from deepen.signature import Signature

CLASSES = Classes(("a", "b", "c"))
TEXT = Signature({"text": Text(tuple("abcdefgh"))}, {"label": CLASSES})
LENGTHS = [4, 9, 1, 7]


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens(lengths: list[int], seed: int = 0) -> torch.Tensor:
    there = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    drawn = torch.randint(1, 10, there.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(there, drawn, torch.zeros_like(drawn))


def copy_attention(ours: nn.Module, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


@torch.no_grad()
def copied(ours: Block, theirs: nn.Module) -> nn.Module:
    norms = [ours.norm, *([ours.cross_norm] if ours.cross is not None else []), ours.dense_norm]
    for p in (*(p for norm in norms for p in norm.parameters()), *ours.attention.parameters()):
        p.add_(torch.randn_like(p) * 0.1)  # norms and biases must not stay at their start
    copy_attention(ours.attention, theirs.self_attn)
    if ours.cross is not None:
        copy_attention(ours.cross, theirs.multihead_attn)
    for i, norm in enumerate(norms, 1):
        getattr(theirs, f"norm{i}").load_state_dict(norm.state_dict())
    theirs.linear1.load_state_dict(ours.dense[0].state_dict())
    theirs.linear2.load_state_dict(ours.dense[3].state_dict())
    return theirs


@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_block_is_torchs(norm, activation):
    torch.manual_seed(0)
    ours = Block(8, 2, 16, activation, norm=norm).double()
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, 0.0, activation, batch_first=True, norm_first=norm == "before"
    ).double()  # fmt: skip
    copied(ours, theirs)
    x, there = rows(4, 9, 8), tokens(LENGTHS) > 0
    expected = theirs(x, src_key_padding_mask=~there)
    torch.testing.assert_close(ours(x, there)[there], expected[there])
    late = torch.ones(9, 9).triu(1).bool()
    torch.testing.assert_close(ours(x, causal=True), theirs(x, src_mask=late))


@pytest.mark.parametrize("norm", ["before", "after"])
def test_a_decoder_block_is_torchs_at_unequal_lengths(norm):
    torch.manual_seed(0)
    ours = Block(8, 2, 16, norm=norm, cross=True).double()
    theirs = nn.TransformerDecoderLayer(
        8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=norm == "before"
    ).double()  # fmt: skip
    copied(ours, theirs)
    x, source, there = rows(4, 5, 8), rows(4, 9, 8, seed=1), tokens(LENGTHS) > 0
    late = torch.ones(5, 5).triu(1).bool()
    expected = theirs(x, source, tgt_mask=late, memory_key_padding_mask=~there)
    torch.testing.assert_close(ours(x, None, True, source, there), expected)


@pytest.mark.parametrize("norm", ["before", "after"])
def test_a_stack_is_torchs_encoder(norm):
    torch.manual_seed(0)
    ours = Stack(8, 2, 3, norm=norm).double()
    layer = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=norm == "before")
    last = nn.LayerNorm(8) if norm == "before" else None
    theirs = nn.TransformerEncoder(layer, 3, last, enable_nested_tensor=False).double()
    for block, other in zip(ours.blocks, theirs.layers):
        copied(block, other)
    torch.testing.assert_close(ours(rows(4, 9, 8)), theirs(rows(4, 9, 8)))


def test_waves_by_hand():
    found = Sinusoids(6)(torch.zeros(1, 40, 6))[0]
    for place, i in ((0, 0), (7, 2), (39, 4)):
        angle = place / 10_000 ** (i / 6)
        assert found[place, i] == pytest.approx(math.sin(angle), abs=1e-5)
        assert found[place, i + 1] == pytest.approx(math.cos(angle), abs=1e-5)
    assert Sinusoids(5)(torch.zeros(1, 3, 5)).shape == (1, 3, 5)


def test_learned_places():
    layer = Learned(9, 4)
    assert torch.equal(layer(torch.zeros(2, 3, 4))[1], layer.rows[:3])


@pytest.mark.parametrize("pool", ["mean", "max", "attention", "last"])
@pytest.mark.parametrize("causal", [False, True])
def test_what_fills_up_changes_nothing(pool, causal):
    torch.manual_seed(0)
    net = Transformer(TEXT, width=8, heads=2, pool=pool, causal=causal).eval()
    given = tokens(LENGTHS)
    wide = torch.cat([given, torch.zeros(4, 20, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(wide), net(given))
    alone = torch.cat([net(given[i : i + 1, :n]) for i, n in enumerate(LENGTHS)])
    torch.testing.assert_close(net(given), alone)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_the_order_of_pieces_matters(positions):
    torch.manual_seed(0)
    net = Transformer(TEXT, width=8, heads=2, positions=positions).eval()
    given = torch.arange(1, 9)[None]
    assert not torch.allclose(net.features(given), net.features(given.flip(1)), rtol=0, atol=1e-4)


def test_causal_rows_do_not_see_what_follows():
    torch.manual_seed(0)
    net = Transformer(TEXT, width=8, heads=2, causal=True).eval()
    given, other = tokens([9]), tokens([9])
    other[0, 6:] = given[0, 6:] % 9 + 1
    a, b = net.states(given)[0], net.states(other)[0]
    torch.testing.assert_close(a[:, :6], b[:, :6])
    assert not torch.allclose(a[:, 6], b[:, 6])
    both = Transformer(TEXT, width=8, heads=2).eval()
    assert not torch.allclose(both.states(given)[0][:, :6], both.states(other)[0][:, :6])


def test_what_ends_a_block_starts_smaller_with_depth():
    torch.manual_seed(0)
    stack = Stack(64, 4, 8)
    block = stack.blocks[3]
    for layer, deviation in (
        (block.attention.query, 0.02), (block.dense[0], 0.02), (block.attention.out, 0.005), (block.dense[3], 0.005)
    ):  # fmt: skip
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.1)


def test_a_decoder_writes_what_it_finds_likeliest():
    torch.manual_seed(0)
    net = EncoderDecoder(12, 8, 2, 1).eval()
    source = tokens(LENGTHS)
    written = net.write(source, 1, 5)
    whole = torch.cat([torch.ones(4, 1, dtype=torch.int64), written], 1)
    assert torch.equal(net(source, whole[:, :-1]).argmax(2), written)
    wide = torch.cat([source, torch.zeros(4, 3, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(wide, whole), net(source, whole))
    other = torch.cat([whole[:, :3], whole[:, 3:] % 9 + 1], 1)
    torch.testing.assert_close(net(source, other)[:, :3], net(source, whole)[:, :3])  # what follows is not seen
    assert not torch.allclose(net(source, other)[:, 3:], net(source, whole)[:, 3:])


@pytest.mark.slow
def test_the_exported_graph_takes_any_length(tmp_path):
    torch.manual_seed(0)
    model = Packaged(Normalise(TEXT), Transformer(TEXT, width=8, heads=2, causal=True), head(CLASSES)).eval()
    Onnx().write(model, TEXT, {"tokens": tokens([4, 7, 3]).numpy()}, tmp_path / "graph.onnx")
    runtime = Runtime(tmp_path / "graph.onnx")
    for lengths in ([1], [2, 9, 4], [70, 1, 5, 30, 2], [5, 0]):  # one without a single piece sees nothing
        given = tokens(lengths, seed=1)
        with torch.inference_mode():
            expected = model(given).numpy()
        np.testing.assert_allclose(runtime.run({"tokens": given.numpy()})["probabilities"], expected, atol=1e-5)


def sequences(count: int, generator: torch.Generator) -> torch.Tensor:
    """int64 (count, 8) of pieces 2 to 11, 3 to 8 long, filled up with 0."""
    pieces = torch.randint(2, 12, (count, 8), generator=generator)
    lengths = torch.randint(3, 9, (count, 1), generator=generator)
    return pieces * (torch.arange(8) < lengths)


def turned(source: torch.Tensor) -> torch.Tensor:
    length = (source > 0).sum(1, keepdim=True)
    place = torch.arange(8).expand_as(source)
    return source.gather(1, torch.where(place < length, length - 1 - place, place))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["copy", "reverse"])
def test_encoder_and_decoder_learn_to_copy_and_to_reverse(task):
    """Whole sequences of unseen pieces right, at least 99 of 100, written piece by piece."""
    torch.manual_seed(0)
    net = EncoderDecoder(12, 64, 4, 2)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    make = turned if task == "reverse" else torch.clone
    steps = 400
    for step in range(steps):
        source = sequences(64, generator)
        target = make(source)
        written = torch.cat([torch.ones(64, 1, dtype=torch.int64), target[:, :-1]], 1)
        loss = F.cross_entropy(net(source, written).flatten(0, 1), target.flatten(), ignore_index=0)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source = sequences(500, torch.Generator().manual_seed(1))
    found = net.eval().write(source, 1, 8)
    there = source > 0
    right = ((found == make(source)) | ~there).all(1).float().mean()
    assert right >= 0.99, right
