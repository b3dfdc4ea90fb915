"""Learning the density of items by a bound on it: variational autoencoders.

    loss = -mean(log p(x | z)) + beta KL(q(z | x) || p(z)) + mmd MMD^2(codes, draws of p)        z drawn from q(z | x)
    samples k > 1: loss = -mean(log mean over k draws of p(x | z) p(z) / q(z | x))
    MMD^2 = mean k(z, z') + mean k(y, y') - 2 mean k(z, y),    k(a, b) = exp(-|a - b|^2 / (2 d))   z codes, y draws

Papers   Kingma and Welling 2014, arXiv:1312.6114, eq. 3; beta: Higgins et al. 2017; samples: Burda et al. 2016,
         arXiv:1509.00519, eq. 8; MMD (InfoVAE): Zhao et al. 2019, arXiv:1706.02262, eq. 6.
Letters  d numbers of a code
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from deepen.data.batch import Labeled, Unlabeled
from deepen.data.data import Data
from deepen.data.feeds import Feed, LabeledFeed, UnlabeledFeed
from deepen.errors import DeepenError
from deepen.nn.coding import Bounded
from deepen.schema import Count, NonNegative
from deepen.training.method import Method


class Elbo(Method):
    """A density learnt without labels; answers are the item told again, its code and minus the bound in nats.

    Of one graph's links the answer is whether two nodes are linked; of many graphs it is one that is made from a draw.

    likelihood  gaussian: numbers around what is told; bernoulli: a picture's levels are chances of ink
    beta        weight of the divergence from the prior
    samples     draws of a code in each bound; more than 1 make it tighter (importance weighted)
    mmd         weight of how far the codes of a batch are from draws of the prior; with beta 0: InfoVAE
    """

    labelled = False
    answers: ClassVar[dict[str, str]] = {"graph": "graphs", "": "reconstruction"}  # by what goes in, and of all else
    unit = "nats"
    network = "vae"
    aliases: ClassVar[dict[str, Any]] = {
        "info_ae": {"beta": 0.0, "mmd": 1000.0},
        "info_vae": {"beta": 0.0, "mmd": 1000.0},
    }
    tiny: ClassVar[dict[str, Any]] = {"beta": 0.01}
    model: Any

    def __init__(
        self,
        model: nn.Module,
        output: Any,
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
        beta: NonNegative = 1.0,
        samples: Count = 1,
        mmd: NonNegative = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(model, Bounded):
            name = type(model).__name__.lower()
            raise DeepenError(
                "method.model",
                "method elbo",
                f"model {name}",
                "a network whose codes have a density",
                "model=vae, of graphs model=graph_autoencoder",
            )
        if likelihood == "bernoulli" and not getattr(output, "picture", False):
            raise DeepenError(
                "method.likelihood",
                "method.likelihood",
                f"bernoulli for {output.describe()}",
                "pictures",
                "method.likelihood=gaussian",
            )
        if samples > 1 and (beta != 1 or mmd):
            raise DeepenError(
                "method.samples", "method.samples", f"{samples} with beta {beta:g} and mmd {mmd:g}", "beta 1, mmd 0",
                "a bound of several draws has no divergence of its own to weigh",
            )  # fmt: skip
        self.model, self.beta, self.samples, self.mmd = model, beta, samples, mmd
        self.separable = not mmd
        self.makes = hasattr(output, "reads")

    def feed(self, data: Data, size: int, seed: int) -> Feed:
        return LabeledFeed(data, size, seed) if self.makes else UnlabeledFeed(data, size, seed)

    def loss(self, batch: Labeled | Unlabeled, player: str) -> Tensor:
        """Where what is answered is made from draws, the items themselves are the batch's targets."""
        inputs = (batch.target,) if isinstance(batch, Labeled) else batch.inputs
        if self.samples > 1:
            return -self.model.bound(*inputs, count=self.samples).mean()
        code, told, divergence = self.model.drawn(*inputs)
        loss = -told.mean()
        if self.beta:
            loss = loss + self.beta * divergence.mean()
        return loss + self.mmd * discrepancy(code, self.model.prior.sample(len(code), code)) if self.mmd else loss


def discrepancy(codes: Tensor, draws: Tensor) -> Tensor:
    """MMD^2 of two sets of rows (n, d) and (m, d), with every pair (a row with itself too)."""

    def alike(a: Tensor, b: Tensor) -> Tensor:
        apart = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        return (-apart / (2 * a.shape[1])).exp().mean()

    return alike(codes, codes) + alike(draws, draws) - 2 * alike(codes, draws)
