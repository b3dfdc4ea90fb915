"""Amounts with a long upper tail are learnt on their logarithm; answers and figures stay in the target's unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.errors import DeepenError
from deepen.kinds.number import Number
from deepen.nn.heads import head
from deepen.preprocess.row import Row
from deepen.signature import Signature

RNG = np.random.default_rng(0)
PRICES = np.exp(RNG.normal(12, 1, 500))


def test_only_positive_amounts_with_a_long_tail_take_the_logarithm():
    kind = Number.fit(PRICES)
    assert kind.log == pytest.approx((np.log(PRICES).mean(), np.log(PRICES).std()), rel=1e-5)
    assert kind.mean == pytest.approx(PRICES.mean(), rel=1e-5)
    assert Number.fit(RNG.normal(50, 5, 500)).log is None
    assert Number.fit(np.append(PRICES, 0.0)).log is None, "zero has no logarithm"
    assert Number.fit(-PRICES).log is None
    assert Number.fit(RNG.uniform(1, 2, 500)).log is None
    assert Number.fit([*RNG.normal(50, 5, 500), 5000.0]).log is None, "one outlier is no long tail"


def test_head_learns_the_logarithm_and_answers_in_the_unit():
    kind = Number.fit(PRICES)
    layer = head(kind)
    target = torch.tensor([50_000.0, 400_000.0])
    raw = ((target.log() - kind.log[0]) / kind.log[1])[:, None]
    assert float(layer.loss(raw, target)) == pytest.approx(0, abs=1e-9)
    assert float(layer.loss(raw + 0.5, target)) == pytest.approx(0.25, rel=1e-4)
    torch.testing.assert_close(layer(raw)[:, 0], target, rtol=1e-5, atol=0)
    assert torch.isfinite(layer(torch.tensor([[1e30], [-1e30]]))).all()


def test_signatures_of_before_are_read_and_new_ones_come_back_equal():
    for kind in (Number(3.0, 2.0), Number.fit(PRICES)):
        signature = Signature({"row": Row(("x",))}, {"price": kind})
        assert Signature.from_json(signature.to_json()).answer == kind
    text = Signature({"row": Row(("x",))}, {"price": Number(3.0, 2.0)}).to_json()
    old = "\n".join(line for line in text.splitlines() if '"log"' not in line).replace('"scale": 2.0,', '"scale": 2.0')
    assert Signature.from_json(old).answer == Number(3.0, 2.0)


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e39, np.float64(-1e300)])
def test_a_number_beyond_float32_is_refused_and_not_taken_for_a_missing_one(value):
    with pytest.raises(DeepenError, match=r"y\[1\]: .* is too large\. Expected numbers of at most 3.4e38"):
        Number().encode([1.0, value], "y")
    assert np.isnan(Number().encode([None, float("nan")])).all()
