"""Learning to tell items again, from a code that is too small to hold them or from items with noise on them.

    loss = mean over places of (again(spoilt(x)) - x)^2         spoilt: x + noise * n, or a share of x's places at 0

x is on the scale of training, so 0 is a place's mean. Noise is on what goes in alone: what is to come out is clean.
Papers   Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders" (masking);
         2010, JMLR 11, section 4.3 (additive noise).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.data.batch import Unlabeled
from deepen.data.data import Data
from deepen.data.feeds import Feed, UnlabeledFeed
from deepen.errors import DeepenError
from deepen.nn.coding import Retelling
from deepen.schema import NonNegative, Share
from deepen.training.method import Method


class Reconstruct(Method):
    """Items told again without labels; answers are the item told again, its code and its loss, a score of anomaly.

    noise    deviation of what is added to what goes in, on the scale of training: a denoising autoencoder
    masking  share of the places that are hidden in what goes in
    """

    labelled = False
    answers = "reconstruction"
    network = "autoencoder"
    aliases: ClassVar[dict[str, Any]] = {"denoise": {"noise": 0.5}}
    tiny: ClassVar[dict[str, Any]] = {"noise": 0.05}
    model: Any

    def __init__(self, model: nn.Module, noise: NonNegative = 0.0, masking: Share = 0.0) -> None:
        super().__init__()
        if not isinstance(model, Retelling):
            name = type(model).__name__.lower()
            raise DeepenError(
                "method.model", "method reconstruct", f"model {name}", "a network that tells items again",
                "model=autoencoder",
            )  # fmt: skip
        self.model, self.noise, self.masking = model, noise, masking

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        return UnlabeledFeed(data, size, seed)

    def loss(self, batch: Unlabeled, player: str) -> Tensor:
        (item,) = batch.inputs
        return F.mse_loss(self.model.again(self.spoilt(item)), item)

    def spoilt(self, item: Tensor) -> Tensor:
        """The item with what hides some of it."""
        if self.noise:
            item = item + self.noise * torch.randn_like(item)
        return item * (torch.rand_like(item) >= self.masking) if self.masking else item
