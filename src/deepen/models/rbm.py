"""Restricted Boltzmann machine: without labels the probability of items, with labels a linear layer on its hidden units.

    p(h = 1 | v) = sigmoid(b + v W), pretrained by contrastive divergence; answer = linear(p(h = 1 | v))
    without labels, by method contrastive_divergence:                      answer = log p(v) = -F(v) - log Z

log Z is exact for up to 14 hidden units, beyond estimated by annealed importance sampling, which finds it rather too low
than too high, and what is told of items rather too high. v between 0 and 1 is a chance of ink: as F is concave,
-F(v) - log Z is a lower bound of the mean log p over the items of 0 and 1 that v stands for.

Paper    Hinton 2002, "Training products of experts by minimizing contrastive divergence"; nn/boltzmann.py has the rest.
Letters  v visible, h hidden, F free energy
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from deepen.errors import DeepenError
from deepen.kinds.density import Density
from deepen.nn.boltzmann import FEWEST, Stack
from deepen.nn.coding import shape_of
from deepen.schema import Count, Natural, Positive
from deepen.signature import Signature

SWEEPS = 1000  # before an item is made up
LEAST = 1e-2  # chance of ink in a place, to begin with
SLACK = 1e-3  # beyond 0 and 1, as numbers are rounded
LARGEST = 10.0  # deviations, as nn/normalise.py bounds numbers


class RBM(Stack):
    """One layer that has learnt to make up items like those it saw; for pictures and arrays, with classes or without.

    hidden        hidden units
    pretrain      epochs over all training items, labelled or not, before the first step; 0: none. Not without labels
    steps         of each contrastive divergence of the pretraining
    temperatures  that log Z is estimated over, without labels
    """

    takes = ("image", "array")
    joins = True
    alone = "contrastive_divergence"
    tiny = {"hidden": 64, "pretrain": 1, "temperatures": 20}
    log_z: Tensor
    start: Tensor

    def __init__(
        self,
        signature: Signature,
        hidden: Count = 500,
        pretrain: Natural = 10,
        pretrain_lr: Positive = 0.05,
        steps: Count = 1,
        temperatures: Count = 1000,
    ) -> None:
        super().__init__(signature, (hidden,), pretrain, pretrain_lr, steps)
        kind: Any = signature.answer
        self.known, self.temperatures = isinstance(kind, Density), temperatures
        if not self.known:
            return
        if not kind.ink:
            raise DeepenError(
                "model.method", "model rbm", "a method for densities of numbers", "one for items of 0 and 1",
                "method=contrastive_divergence, or model=flow",
            )  # fmt: skip
        self.shape = shape_of(signature, "rbm")
        low, high = (end.expand(self.shape).flatten() for end in _ends(kind))
        self.low.copy_(low)
        self.scale.copy_(1 / (high - low))
        self.register_buffer("log_z", torch.zeros(()))
        self.register_buffer("start", torch.zeros(self.flat.width))
        below = self.machine.below
        del self.last, self.machine.below
        self.machine.below = nn.Parameter(below)  # here it is learnt by steps, as all else

    @torch.no_grad()
    def measure(self, *inputs: Tensor) -> None:
        """Without labels: how often each place is on, which is where the biases begin."""
        if not self.known:
            super().measure(*inputs)
            return
        found = (self.flat(*inputs) - self.low) * self.scale
        if found.min() < -SLACK or found.max() > 1 + SLACK:
            raise DeepenError(
                "model.input", "model rbm", f"numbers from {found.min():.3g} to {found.max():.3g}",
                "numbers from 0 to 1, each the chance that a place is 1", "model=gaussian_mixture or model=flow",
            )  # fmt: skip
        self.start.copy_(torch.logit(self.seen(*inputs).mean(0).clamp(LEAST, 1 - LEAST)))
        self.machine.below.copy_(self.start)

    @property
    def machine(self) -> Any:
        """The only one."""
        return self.machines[0]

    def settle(self) -> None:
        """log Z of the weights as they are now."""
        if self.known:
            exact = len(self.machine.bias) <= FEWEST
            found = self.machine.log_partition() if exact else self.machine.annealed(self.start, self.temperatures)
            self.log_z.copy_(found.detach())

    def log_density(self, item: Tensor) -> Tensor:
        """log p in nats, (B,)."""
        return -self.machine.free_energy(self.seen(item)) - self.log_z

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K); without labels to log p (B,)."""
        return self.log_density(*inputs) if self.known else super().forward(*inputs)

    def sample(self, count: int) -> Tensor:
        """Items made up (count, ...) on the scale of training: how likely each place is on, after SWEEPS of chance."""
        seen = self.machine.walked(torch.bernoulli(torch.sigmoid(self.start).expand(count, -1)), SWEEPS)
        return (self.machine.down(self.machine(seen)) / self.scale + self.low).unflatten(1, self.shape)


def _ends(kind: Any) -> tuple[Tensor, Tensor]:
    """What 0 and 1 are on the scale of training, where nothing is further than LARGEST from the mean."""
    shape = (-1, 1, 1) if kind.picture else kind.shape
    mean, scale = (torch.tensor(values).view(shape) for values in (kind.mean, kind.scale))
    high = (255.0 if kind.picture else 1.0) - mean
    return (-mean * scale).clamp(min=-LARGEST), (high * scale).clamp(max=LARGEST)
