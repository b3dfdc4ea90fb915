"""Learning the density of items by making the training items likely.

    loss = -mean(log p(x))        x on the scale of training, in nats

For networks that know log p exactly, such as models/flow.py; where it has only a bound, methods/elbo.py raises that.

Paper    Fisher 1922, Philosophical Transactions of the Royal Society A 222, 309-368.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from deepen.data.batch import Unlabeled
from deepen.data.data import Data
from deepen.data.feeds import Feed, UnlabeledFeed
from deepen.errors import DeepenError
from deepen.nn.coding import Known
from deepen.training.method import Method


class MaxLikelihood(Method):
    """A density learnt without labels; it answers an item with its log density, a score of what is usual."""

    labelled = False
    answers = "density"
    network = "flow"
    tiny: ClassVar[dict[str, Any]] = {}
    model: Any

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, Known):
            name = type(model).__name__.lower()
            raise DeepenError(
                "method.model", "method max_likelihood", f"model {name}", "a network that knows densities", "model=flow"
            )
        self.model = model

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        return UnlabeledFeed(data, size, seed)

    def loss(self, batch: Unlabeled, player: str) -> Tensor:
        return -self.model.log_density(*batch.inputs).mean()
