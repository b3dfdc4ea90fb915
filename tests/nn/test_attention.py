"""Attention against torch's own, and by hand where they differ."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepen.errors import DeepenError
from deepen.nn.attention import Additive, MultiHead, attend, past


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Q, K, V = drawn(2, 3, 5, 8), drawn(2, 3, 7, 8, seed=1), drawn(2, 3, 7, 4, seed=2)
MASK = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(3)) < 0.6


def test_it_is_the_formula():
    expected = ((Q @ K.transpose(2, 3)) / 8**0.5).softmax(-1) @ V
    torch.testing.assert_close(attend(Q, K, V), expected)


def test_a_mask_as_torch_has_it():
    assert MASK.any(-1).all()
    torch.testing.assert_close(attend(Q, K, V, MASK), F.scaled_dot_product_attention(Q, K, V, MASK))


def test_causal_as_torch_has_it_and_beside_a_mask():
    ours = attend(Q, Q, V[:, :, :5], causal=True)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(Q, Q, V[:, :, :5], is_causal=True))
    there = torch.tensor([True, True, False, True, True])
    expected = F.scaled_dot_product_attention(Q, Q, V[:, :, :5], there & torch.ones(5, 5).tril().bool())
    torch.testing.assert_close(attend(Q, Q, V[:, :, :5], there, causal=True), expected)


def test_the_last_query_sees_every_key():
    assert past(2, 4).tolist() == [[True, True, True, False], [True] * 4]
    assert past(3, 2).tolist() == [[False, False], [True, False], [True, True]]
    whole = attend(Q, Q, V[:, :, :5], causal=True)
    torch.testing.assert_close(attend(Q[:, :, 3:], Q, V[:, :, :5], causal=True), whole[:, :, 3:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_that_sees_nothing_gets_nothing(dtype):
    mask = MASK.clone()
    mask[1, :, 2] = False
    given = [x.to(dtype).requires_grad_() for x in (Q, K, V)]
    found = attend(*given, mask)
    assert (found[1, :, 2] == 0).all()
    rest = attend(*given, MASK)
    torch.testing.assert_close(found[0], rest[0])
    found.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in given)


def copied(ours: MultiHead, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        if theirs.in_proj_weight is not None:
            theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        else:
            for name, part in zip("qkv", parts):
                getattr(theirs, f"{name}_proj_weight").copy_(part.weight)
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())


@pytest.mark.parametrize("source", [None, 6])
def test_multi_head_is_torchs_with_gradients(source):
    torch.manual_seed(0)
    ours = MultiHead(8, 2, source=source).double()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True, kdim=source, vdim=source).double()
    copied(ours, theirs)
    rows = drawn(3, 5, 8).requires_grad_()
    other = rows if source is None else drawn(3, 7, source, seed=1)
    there = torch.ones(3, other.shape[1], dtype=torch.bool)
    there[1, 3:] = False
    found = ours(rows, None if source is None else other, there)
    expected = theirs(rows, other, other, key_padding_mask=~there, need_weights=False)[0]
    torch.testing.assert_close(found, expected)
    (a,), (b,) = torch.autograd.grad(found.square().sum(), rows), torch.autograd.grad(expected.square().sum(), rows)
    torch.testing.assert_close(a, b)


def test_multi_head_causal_and_a_mask_for_each_query():
    torch.manual_seed(0)
    ours, theirs = MultiHead(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    copied(ours, theirs)
    rows, late = drawn(3, 5, 8), torch.ones(5, 5).triu(1).bool()
    expected = theirs(rows, rows, rows, attn_mask=late, need_weights=False)[0]
    torch.testing.assert_close(ours(rows, causal=True), expected)
    torch.testing.assert_close(ours(rows, mask=~late.expand(3, 5, 5)), expected)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    ours, rows = MultiHead(8, 2, dropout=0.5).double(), drawn(3, 5, 8)
    assert not torch.equal(ours(rows), ours(rows))
    ours.eval()
    assert torch.equal(ours(rows), ours(rows))


def test_heads_must_divide_the_width():
    with pytest.raises(DeepenError, match="3 heads of a width of 8.*model.heads=2"):
        MultiHead(8, 3)


def test_additive_is_the_formula():
    torch.manual_seed(0)
    layer = Additive(3, 4, 6).double()
    queries, keys, values = drawn(2, 5, 3), drawn(2, 7, 4, seed=1), drawn(2, 7, 2, seed=2)
    there = torch.ones(2, 7, dtype=torch.bool)
    there[1, 4:] = False
    expected = torch.zeros(2, 5, 2, dtype=torch.float64)
    for b, n in ((0, 7), (1, 4)):
        for q in range(5):
            scores = torch.stack(
                [layer.score(torch.tanh(layer.query(queries[b, q]) + layer.key(keys[b, k]))) for k in range(n)]
            )
            expected[b, q] = (scores.softmax(0) * values[b, :n]).sum(0)
    torch.testing.assert_close(layer(queries, keys, values, there), expected)
    torch.testing.assert_close(layer(queries, keys, values)[:1], expected[:1])
    nowhere = layer(queries, keys, values, torch.zeros(2, 7, dtype=torch.bool))
    assert (nowhere == 0).all()
