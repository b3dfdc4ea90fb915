"""Transformers against torch's own layers, and learning what needs attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from deepen.formats.onnx import Onnx
from deepen.kinds.classes import Classes
from deepen.kinds.text import Text as Answer
from deepen.models.transformer import Transformer
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.nn.transformer import Block, Learned, Sinusoids, Stack
from deepen.preprocess.pair import Pair
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


PAIRS = Signature({"text": Pair(tuple("abcdefg"), 9)}, {"answer": Answer(tuple("abcdefg"), "word", 9)})


def paired(norm: str) -> tuple[Transformer, nn.Transformer]:
    """Our encoder and decoder and torch's with the same weights; the rows that go in are ours."""
    torch.manual_seed(0)
    ours = Transformer(PAIRS, width=8, heads=2, depth=2, norm=norm, dropout=0.0).double()  # type: ignore[arg-type]
    own = {"batch_first": True, "norm_first": norm == "before"}
    theirs = nn.Transformer(8, 2, 2, 2, 32, 0.0, "gelu", **own).double()
    assert ours.source is not None
    for blocks, layers in ((ours.source.blocks, theirs.encoder.layers), (ours.stack.blocks, theirs.decoder.layers)):
        for block, layer in zip(blocks, layers):
            copied(block, layer)
    if norm == "after":
        theirs.encoder.norm = theirs.decoder.norm = None
    return ours, theirs


@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_encoder_and_decoder_are_torchs_at_unequal_lengths_gradients_too(norm):
    ours, theirs = paired(norm)
    source, written = tokens(LENGTHS), tokens([5, 3, 4, 1], seed=1)
    rows, asked = ours.rows(written)[0].detach(), ours.rows(source)[0].detach()
    late, there = torch.ones(5, 5).triu(1).bool(), written > 0
    given = {"src_key_padding_mask": source == 0, "memory_key_padding_mask": source == 0}
    expected = theirs(asked, rows, tgt_mask=late, **given)
    found = ours.states(source, written)[0]
    torch.testing.assert_close(found[there], expected[there])
    weight = torch.randn_like(expected) * there.unsqueeze(2)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    assert ours.source is not None
    pairs = zip((*ours.source.blocks, *ours.stack.blocks), (*theirs.encoder.layers, *theirs.decoder.layers))
    for block, layer in pairs:
        torch.testing.assert_close(block.dense[0].weight.grad, layer.linear1.weight.grad)
        own = torch.cat(
            [part.weight.grad for part in (block.attention.query, block.attention.key, block.attention.value)]
        )
        torch.testing.assert_close(own, layer.self_attn.in_proj_weight.grad)


def test_a_decoder_sees_the_whole_source_and_what_it_has_written():
    torch.manual_seed(0)
    net = Transformer(PAIRS, width=8, heads=2, dropout=0.0).eval()
    source, written = tokens(LENGTHS), tokens([6] * 4, seed=1)
    whole = net(source, written)
    assert whole.shape == (4, 6, PAIRS.answer.width)
    wide = torch.cat([source, torch.zeros(4, 3, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(wide, written), whole)  # what fills up says nothing
    other = torch.cat([written[:, :3], written[:, 3:] % 9 + 1], 1)
    torch.testing.assert_close(net(source, other)[:, :3], whole[:, :3])  # what follows is not seen
    assert not torch.allclose(net(source, other)[:, 3:], whole[:, 3:])
    asked = source.clone()
    asked[1, 8] = asked[1, 8] % 9 + 1  # the last piece of the source reaches the first of the answer
    assert not torch.allclose(net(asked, written)[1, 0], whole[1, 0])
    torch.testing.assert_close(net(asked, written)[[0, 2, 3]], whole[[0, 2, 3]])


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
