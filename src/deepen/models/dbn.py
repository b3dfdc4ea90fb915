"""Deep belief network: restricted Boltzmann machines stacked, pretrained from below, fine-tuned as one network.

    h_0 = input between 0 and 1,  h_l = sigmoid(b_l + h_{l-1} W_l),  answer = linear(h_L)
    each W_l, b_l first learns h_{l-1} by contrastive divergence, when those below have learnt

Paper    Hinton, Osindero, Teh 2006, "A fast learning algorithm for deep belief nets"; fine-tuned by backpropagation as
         Hinton and Salakhutdinov 2006 do. nn/boltzmann.py has the rest.
Differs  no up-down pass of the generative weights.
"""

from __future__ import annotations

from deepen.nn.boltzmann import Stack
from deepen.schema import Count, Natural, Positive
from deepen.signature import Signature


class DBN(Stack):
    """Layers that each learnt to make up what the one below shows; for pictures and arrays with few labels.

    pretrain  epochs over all training items, labelled or not, for each layer before the first step; 0: none
    steps     of each contrastive divergence
    """

    takes = ("image", "array")
    joins = True
    tiny = {"hidden": [12, 8], "pretrain": 1}

    def __init__(
        self,
        signature: Signature,
        hidden: tuple[Count, ...] = (500, 500),
        pretrain: Natural = 10,
        pretrain_lr: Positive = 0.05,
        steps: Count = 1,
    ) -> None:
        super().__init__(signature, hidden, pretrain, pretrain_lr, steps)
