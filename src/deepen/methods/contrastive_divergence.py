"""Learning what items are likely by making those less so that a network makes up itself.

    gradient = mean of dF(v) over items - mean of dF(v') over what is made up        F: free energy
    v'       each item after so many times h, then v, drawn from each other (CD-k); persistent: chains that go on from
             step to step, whatever the items are (PCD)
    loss     that is told: mean over items of |v - p(v | p(h | v))|^2, as the likelihood itself is dear

Where nothing else is said, it learns by Adam at a rate of 0.01.
Papers   Hinton 2002, "Training products of experts by minimizing contrastive divergence"; persistent: Tieleman 2008,
         "Training restricted Boltzmann machines using approximations to the likelihood gradient".
Differs  hidden units are summed out of both sides, of which Hinton draws the first.
Letters  v visible, h hidden
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deepen.data.batch import Unlabeled
from deepen.data.data import Data
from deepen.data.feeds import Feed, UnlabeledFeed
from deepen.errors import DeepenError
from deepen.nn.boltzmann import Boltzmann
from deepen.schema import Count
from deepen.training.method import Method


@runtime_checkable
class Energetic(Protocol):
    """A network that is one Boltzmann machine on items of 0 and 1; models/rbm.py."""

    machine: Boltzmann

    def seen(self, *inputs: Tensor) -> Tensor:
        """(B, V) between 0 and 1."""


class ContrastiveDivergence(Method):
    """A probability learnt without labels; it answers an item with its logarithm, a score of what is usual.

    steps       of a chain, each of all hidden units and all visible ones
    persistent  chains go on from step to step
    chains      so many, where they are persistent
    """

    labelled = False
    answers = "density"
    told = "error of telling items again"
    ink = True
    network = "rbm"
    optimizer: ClassVar[dict[str, Any]] = {"name": "adam"}
    rate = 1e-2
    aliases: ClassVar[dict[str, Any]] = {"persistent_contrastive_divergence": {"persistent": True}}
    tiny: ClassVar[dict[str, Any]] = {}
    model: Any
    particles: Tensor
    seed: Tensor

    def __init__(self, model: nn.Module, steps: Count = 1, persistent: bool = False, chains: Count = 100) -> None:
        super().__init__()
        if not isinstance(model, Energetic):
            name = type(model).__name__.lower()
            raise DeepenError(
                "method.model", "method contrastive_divergence", f"model {name}", "a Boltzmann machine", "model=rbm"
            )
        self.model, self.steps = model, steps
        count = chains if persistent else 0
        self.register_buffer(
            "particles", torch.bernoulli(torch.sigmoid(model.machine.below.detach()).expand(count, -1))
        )
        self.register_buffer("seed", torch.randint(2**62, ()))

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        return UnlabeledFeed(data, size, seed)

    def loss(self, batch: Unlabeled, player: str) -> Tensor:
        """Its value is the error of telling items again, its gradient that of contrastive divergence."""
        machine, seen = self.model.machine, self.model.seen(*batch.inputs)
        made = self.particles if len(self.particles) else machine.walked(seen, self.steps)
        apart = machine.free_energy(seen).mean() - machine.free_energy(made).mean()
        with torch.no_grad():
            told = (seen - machine.down(machine(seen))).square().sum(1).mean()
        return told + (apart - apart.detach())

    def before(self, player: str) -> None:
        """Chains go on, in every process and however a batch is split in the same way."""
        if len(self.particles):
            draw = torch.Generator(self.particles.device).manual_seed(int(self.seed))
            self.particles.copy_(self.model.machine.walked(self.particles, self.steps, draw))
            self.seed += 1
