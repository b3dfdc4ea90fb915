"""Arithmetic of 16 bits: it is used, its gradients are those of 32 bits, and the loss scale goes as GradScaler's does."""

from __future__ import annotations

import pytest
import torch

from tests.training.engines import engine, hurt

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def gradients(precision: str, **settings: object) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Of a first batch: as they come, and as they go into the step."""
    trained = engine(precision=precision, **settings)
    player = trained.players["model"]
    trained._gradients(player, 0, 0, 0)
    raw = [g.clone() for g in player.optimizer.gradients()]
    assert trained._unscaled(player, 0, 0)
    return raw, player.optimizer.gradients()


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("more", [{}, {"accumulate": 3, "clip": 0.5}])
def test_gradients_are_those_of_full_precision(precision, more):
    """Of halves they come 65,536 times as large, so that small ones are not lost, and are clipped when they are not."""
    (_, whole), (raw, found) = gradients("fp32", **more), gradients(precision, **more)
    for a, b in zip(whole, found, strict=True):
        torch.testing.assert_close(b, a, rtol=0.05, atol=0.02 * float(a.abs().max()))
    larger = float(torch.stack([r.norm() for r in raw]).norm() / torch.stack([f.norm() for f in found]).norm())
    if not more:
        assert larger == pytest.approx(65536 if precision == "fp16" else 1, rel=1e-3)


@pytest.mark.parametrize("precision", [*HALF, "fp32"])
def test_products_are_of_that_precision_and_weights_and_answers_are_not(precision):
    trained, seen = engine(precision=precision, steps=1), []
    linear = next(m for m in trained.method.modules() if isinstance(m, torch.nn.Linear))
    linear.register_forward_hook(lambda _, __, out: seen.append((torch.is_grad_enabled(), out.dtype)))
    trained._advance()
    trained.validate("val")
    assert {dtype for learning, dtype in seen if learning} == {HALF.get(precision, torch.float32)}
    assert {dtype for learning, dtype in seen if not learning} == {torch.float32}
    assert linear.weight.dtype == torch.float32


def test_a_step_that_overflows_is_left_out_at_half_the_scale_and_good_ones_raise_it_again():
    trained = engine(precision="fp16", steps=9)
    hurt(trained, lambda at, batch, loss: loss * (1e30 if at.state.step == 1 else 1.0))
    scales, weights = [], []
    for _ in range(3):
        trained._advance()
        scales.append(trained.state.scale)
        weights.append(next(trained.method.parameters()).detach().clone())
    good = 2 ** (1 / 2000)
    assert scales == pytest.approx([65536 * good, 65536 * good / 2, 65536 * good / 2 * good])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
