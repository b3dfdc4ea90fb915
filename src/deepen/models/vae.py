"""Variational autoencoder: a code with a density, from which items can be made and under which they can be judged.

    q(z | x) = N(m(x - a), diag s(x - a)^2)   p(z) = N(0, I), or sum over k of w_k N(u_k, diag v_k^2)
    p(x | z) = Bernoulli(sigmoid(b + back(z))), or N(b + back(z), sigma^2 I) with one sigma that is learnt
    bound_k  = log mean over k draws of p(x | z) p(z) / q(z | x)       k 1: the ELBO; k large: log p(x)

What it answers is without chance: the item told again from the mean of its code, and minus the ELBO over EIGHT fixed
draws. Levels of a picture as Bernoulli are chances of ink: learning draws a picture of ink from them each time, judging
takes their mean.

Papers   Kingma and Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082; bound_k: Burda et al. 2016,
         arXiv:1509.00519, eq. 8; a mixture as prior: Dilokthanakul et al. 2016, arXiv:1611.02648.
Letters  B items, d code, K components of the prior, S draws; a the mean training item, b a or its logits
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.kinds.reconstruction import Reconstruction
from deepen.nn.coding import (
    LOG_2PI,
    WIDEST,
    Convolutional,
    ConvolutionalBack,
    Dense,
    DenseBack,
    Standard,
    form_of,
    from_standard,
    shape_of,
)
from deepen.nn.layers import activation as activation_of
from deepen.nn.untaught import Likeness
from deepen.schema import Activation, Count
from deepen.signature import Signature

EIGHT = 8
LEAST = 1e-3  # chance of ink that telling begins with, where no training item has any


class VAE(nn.Module):
    """Items told again from a code that is drawn; with labels the code's mean is classified. As `autoencoder`.

    code        numbers an item is told from
    form        dense, convolutional; auto: convolutional for pictures
    hidden      widths of the dense layers on the way to the code
    channels    of the convolutional stages on the way to the code
    components  of the prior: 1 the standard normal, more a mixture that is learnt
    """

    takes = ("image", "array", "row")
    kinds = ("reconstruction",)
    alone = "elbo"
    tiny = {"code": 4, "hidden": [12], "channels": [4, 8]}
    draws: Tensor
    usual: Tensor
    begun: Tensor

    def __init__(
        self,
        signature: Signature,
        code: Count = 32,
        form: Literal["auto", "dense", "convolutional"] = "auto",
        hidden: tuple[Count, ...] = (256, 128),
        channels: tuple[Count, ...] = (32, 64),
        activation: Activation = "relu",
        components: Count = 1,
    ) -> None:
        super().__init__()
        shape = shape_of(signature, "vae")
        self.register_buffer("usual", torch.zeros(shape))
        dense = not channels or form_of(form, shape) == "dense"
        self.body: Dense | Convolutional = (
            Dense(shape, hidden, activation) if dense else Convolutional(shape, channels, activation)
        )
        self.mean = nn.Linear(self.body.width, code)
        self.tells = isinstance(signature.answer, Reconstruction)
        if not self.tells:
            self.last = nn.Sequential(activation_of(activation), nn.Linear(code, signature.answer.width))
            return
        self.spread = nn.Linear(self.body.width, code)
        self.back: nn.Module = (
            DenseBack(code, hidden, shape, activation)
            if dense
            else ConvolutionalBack(code, channels, shape, activation)
        )
        self.prior = Mixture(components, code) if components > 1 else Standard()
        self.ink = signature.answer.likelihood == "bernoulli"
        self.likeness = Likeness(signature.answer)
        self.sigma = None if self.ink else nn.Parameter(torch.zeros(()))  # its logarithm
        self.register_buffer("begun", torch.zeros(shape))
        self.register_buffer("draws", torch.randn(EIGHT, code))

    def measure(self, item: Tensor) -> None:
        """The mean of training items: what goes in is seen as what differs from it, what is told begins with it."""
        self.usual.copy_(item.mean(0))
        if self.tells:
            truth = self.inked(item, False)[1].mean(0)
            self.begun.copy_(truth.clamp(LEAST, 1 - LEAST).logit() if self.ink else truth)

    def seen(self, item: Tensor) -> Tensor:
        """(B, width)."""
        return self.body(item - self.usual)

    def told(self, code: Tensor) -> Tensor:
        """Items from codes (B, d): numbers on the scale of training, or logits of ink."""
        return self.begun + self.back(code)

    def features(self, item: Tensor) -> Tensor:
        """The code's mean, (B, d)."""
        return self.mean(self.seen(item))

    def again(self, item: Tensor) -> Tensor:
        """The item as it is told from its code's mean."""
        return self.told(self.features(item))

    def posterior(self, item: Tensor) -> tuple[Tensor, Tensor]:
        """m and log s, each (B, d)."""
        h = self.seen(item)
        return self.mean(h), self.spread(h).clamp(-WIDEST, WIDEST)

    def inked(self, item: Tensor, draw: bool) -> tuple[Tensor, Tensor]:
        """What goes in and what is to be told: the item, or with `draw` a picture of ink from its levels."""
        if not self.ink:
            return item, item
        chance = (self.likeness.own(item) / 255).clamp(0, 1)
        if not draw:
            return item, chance
        ink = torch.bernoulli(chance)
        return (ink * 255 - self.likeness.mean) * self.likeness.scale, ink

    def log_likelihood(self, truth: Tensor, told: Tensor) -> Tensor:
        """log p(x | z) in nats, (B,)."""
        if self.sigma is None:
            return -F.binary_cross_entropy_with_logits(told, truth, reduction="none").flatten(1).sum(1)
        apart = ((truth - told) / self.sigma.exp()).square() + LOG_2PI
        return -0.5 * apart.flatten(1).sum(1) - self.sigma * truth[0].numel()

    def divergence(self, mean: Tensor, spread: Tensor, code: Tensor) -> Tensor:
        """KL(q || p) in nats, (B,): in closed form, of a mixture log q - log p at the code that was drawn."""
        if isinstance(self.prior, Standard):
            return from_standard(mean, spread)
        return log_normal(code, mean, spread) - self.prior(code)

    def drawn(self, item: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A code of each item (B, d); log p(x | z) and KL(q || p) in nats, each (B,)."""
        item, truth = self.inked(item, True)
        mean, spread = self.posterior(item)
        code = mean + spread.exp() * torch.randn_like(mean)
        return code, self.log_likelihood(truth, self.told(code)), self.divergence(mean, spread, code)

    def weights(self, item: Tensor, truth: Tensor, count: int) -> Tensor:
        """log p(x | z) p(z) / q(z | x) of `count` draws, (B, count)."""
        mean, spread = (part.repeat_interleave(count, 0) for part in self.posterior(item))
        code = mean + spread.exp() * torch.randn_like(mean)
        told = self.log_likelihood(truth.repeat_interleave(count, 0), self.told(code))
        return (told + self.prior(code) - log_normal(code, mean, spread)).view(-1, count)

    def bound(self, item: Tensor, count: int) -> Tensor:
        """bound_k in nats, (B,), on a picture of ink drawn from the levels where they are chances."""
        return self.weights(*self.inked(item, True), count).logsumexp(1) - math.log(count)

    def forward(self, item: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """To again, code (B, d) and loss (B,), minus the ELBO in nats; for labels to (B, K)."""
        if not self.tells:
            return self.last(self.features(item))
        mean, spread = self.posterior(item)
        _, truth = self.inked(item, False)
        lost = torch.zeros_like(mean[:, 0])
        for draw in self.draws:
            code = mean + spread.exp() * draw
            told = self.log_likelihood(truth, self.told(code))
            lost = lost + (self.divergence(mean, spread, code) - told) / EIGHT
        return self.told(mean), mean, lost

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights that were kept before the mean item was: they were learnt from 0 on."""
        for name in {"usual", "begun"} & {*self._buffers}:
            state.setdefault(prefix + name, torch.zeros_like(self.usual))
        super()._load_from_state_dict(state, prefix, *rest)

    def sample(self, count: int) -> Tensor:
        """Items made from draws of the prior, as they are told: levels as logits where they are chances."""
        return self.told(self.prior.sample(count, self.draws))


class Mixture(nn.Module):
    """log sum over k of w_k N(z; u_k, diag v_k^2), (B,)."""

    def __init__(self, components: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, width))
        self.spread = nn.Parameter(torch.zeros(components, width))

    def forward(self, code: Tensor) -> Tensor:
        each = log_normal(code.unsqueeze(1), self.mean, self.spread)  # (B, K)
        return (each + self.weight.log_softmax(0)).logsumexp(1)

    def sample(self, count: int, like: Tensor) -> Tensor:
        place = torch.multinomial(self.weight.softmax(0), count, replacement=True)
        return self.mean[place] + self.spread[place].exp() * torch.randn(count, like.shape[1], device=like.device)


def log_normal(code: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """log N(z; m, diag s^2) over the last axis; `spread`: log s."""
    return -0.5 * (((code - mean) / spread.exp()).square() + 2 * spread + LOG_2PI).sum(-1)
