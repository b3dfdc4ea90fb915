"""Restricted Boltzmann machine with a linear layer on what its hidden units make of the input.

    p(h = 1 | v) = sigmoid(b + v W), pretrained by contrastive divergence; answer = linear(p(h = 1 | v))

Paper    Hinton 2002, "Training products of experts by minimizing contrastive divergence"; nn/boltzmann.py has the rest.
"""

from __future__ import annotations

from deepen.nn.boltzmann import Stack
from deepen.schema import Count, Natural, Positive
from deepen.signature import Signature


class RBM(Stack):
    """One layer that has learnt to make up items like those it saw; for pictures and arrays.

    pretrain  epochs over all training items, labelled or not, before the first step; 0: none
    steps     of each contrastive divergence
    """

    takes = ("image", "array")
    joins = True
    tiny = {"hidden": 32, "pretrain": 1}

    def __init__(
        self,
        signature: Signature,
        hidden: Count = 500,
        pretrain: Natural = 10,
        pretrain_lr: Positive = 0.05,
        steps: Count = 1,
    ) -> None:
        super().__init__(signature, (hidden,), pretrain, pretrain_lr, steps)
