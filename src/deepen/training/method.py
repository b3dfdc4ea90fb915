"""What a method is: a module that owns networks and state, and says what to minimise. The engine does the rest.

players    who learns in a step, in turn; each has its own parameters and optimizer
separable  False: the loss couples the items of a batch, so the engine never splits one
labelled   False: it learns without labels, from all items
answers    the kind that its network answers by, where no label says it (data/itself.py), or kinds by what goes in;
           None: by no kind
network    the model that is taken where none is said; `optimizer` and `rate` likewise
monitor    the figure that decides which weights are kept; None: the one of the answer's kind
told       what its loss is, where it has another unit than that of validation: the report draws it apart
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from deepen.data.data import Data
from deepen.data.feeds import Feed, LabeledFeed
from deepen.signature import Signature


class Method(nn.Module):
    """Most methods write `loss` and nothing else."""

    players: tuple[str, ...] = ("model",)
    separable = True
    labelled = True
    answers: ClassVar[str | dict[str, str] | None] = None
    monitor: str | None = None
    told: ClassVar[str] = "loss"
    model: nn.Module

    def loss(self, batch: Any, player: str) -> Tensor:
        """A scalar, the mean over the batch's items."""
        raise NotImplementedError

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        """The batches to learn from."""
        return LabeledFeed(data, size, seed)

    def learns(self, player: str) -> Iterable[nn.Parameter]:
        """A player's parameters: all of the method's, or with several players those of the attribute of that name."""
        owner = self if len(set(self.players)) == 1 else getattr(self, player)
        return (p for p in owner.parameters() if p.requires_grad)

    def pace(self, player: str) -> float:
        """A player's learning rate as a multiple of the configured one."""
        return 1.0

    def before(self, player: str) -> None:
        """Before a player's turn."""

    def after(self, player: str) -> None:
        """After a player's step: moving averages, queues."""

    def after_epoch(self) -> None:
        """After an epoch, before it is saved: what its steps have told."""

    def product(self) -> nn.Module:
        """The network all later stages see."""
        return self.model

    def signature(self, data: Signature) -> Signature:
        """The signature of the product: the data's own, unless the method makes something else of it."""
        return data

    def metrics(self, data: Data, part: str) -> dict[str, float] | None:
        """Own figures on a part of the data in place of those of the answer's kind; None: the kind's."""
        return None
