"""Learning to make items from draws, against a critic that learns to tell them from true ones.

    bce     critic  mean softplus(-c(x)) + mean softplus(c(g(z)))       generator  mean softplus(-c(g(z)))
    hinge   critic  mean relu(1 - c(x)) + mean relu(1 + c(g(z)))        generator  -mean c(g(z))

Where nothing else is said, both learn by AdamW with b1 0.5 at a rate of 2e-4 (Radford et al. 2016, section 4).
Papers   Goodfellow et al. 2014, arXiv:1406.2661 (the generator's loss that does not saturate); hinge: Lim and Ye 2017,
         arXiv:1705.02894; a rate for each player: Heusel et al. 2017, arXiv:1706.08500.
Letters  x true items, z draws, g generator, c critic
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.data.batch import Labeled
from deepen.errors import DeepenError
from deepen.nn.adversarial import Adversaries
from deepen.nn.untaught import Likeness
from deepen.schema import Count, Positive
from deepen.training.method import Method


class Gan(Method):
    """A generator learnt against a critic; it answers a draw, or a seed, with an item.

    draws         standard normal numbers an item is made from
    loss          bce, or hinge
    critic_steps  the critic's updates for each of the generator
    critic_rate   the critic's learning rate, as a multiple of the generator's
    """

    players: tuple[str, ...] = ("critic", "generator")
    labelled = False
    answers = "sample"
    network = "dcgan"
    optimizer: ClassVar[dict[str, Any]] = {"name": "adamw", "beta1": 0.5}
    rate = 2e-4
    tiny: ClassVar[dict[str, Any]] = {"draws": 4}
    model: Any

    def __init__(
        self,
        model: nn.Module,
        output: Any,
        draws: Count = 64,
        loss: Literal["bce", "hinge"] = "bce",
        critic_steps: Count = 1,
        critic_rate: Positive = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(model, Adversaries):
            name = type(model).__name__.lower()
            raise DeepenError(
                "method.model", "method gan", f"model {name}", "a generator with a critic", "model=dcgan, model=sagan"
            )
        self.model, self.hinge = model, loss == "hinge"
        self.draws, self.critic_rate = draws, critic_rate
        self.players = ("critic",) * critic_steps + ("generator",)
        self.likeness = Likeness(output)

    def learns(self, player: str) -> Iterable[nn.Parameter]:
        return getattr(self.model, player).parameters()

    def pace(self, player: str) -> float:
        return self.critic_rate if player == "critic" else 1.0

    def loss(self, batch: Labeled, player: str) -> Tensor:
        """The batch's inputs are the draws that judge it; what it learns from are fresh ones."""
        draws = torch.randn(len(batch.target), self.draws, device=batch.target.device)
        if player == "generator":
            said = self.model.critic(self.model.generator(draws))
            return -said.mean() if self.hinge else F.softplus(-said).mean()
        with torch.no_grad():
            made = self.model.generator(draws)
        true, false = self.model.critic(self.likeness.scaled(batch.target)), self.model.critic(made)
        if self.hinge:
            return F.relu(1 - true).mean() + F.relu(1 + false).mean()
        return F.softplus(-true).mean() + F.softplus(false).mean()
