"""The dense net: what is left out while it learns."""

from __future__ import annotations

import numpy as np
import torch

from deepen.kinds.classes import Classes
from deepen.models.mlp import MLP
from deepen.preprocess.array import Array
from deepen.signature import Signature


def test_a_fifth_of_the_inputs_is_left_out_and_the_others_make_up_for_it():
    signature = Signature({"x": Array(shape=(1000,))}, {"y": Classes(classes=("a", "b"))})
    torch.manual_seed(0)
    net = MLP(signature, hidden=(4,), input_dropout=0.2)
    seen: list[torch.Tensor] = []
    net.body.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    ones = torch.ones(50, 1000)
    net.train()(ones)
    net.eval()(ones)
    learning, serving = seen
    assert np.isclose((learning == 0).float().mean().item(), 0.2, atol=0.01)
    assert set(learning.unique().tolist()) == {0.0, 1.25}
    assert torch.equal(serving, ones)
