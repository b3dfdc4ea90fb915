"""Layers that learn what they see without labels, by contrastive divergence, one after the other.

    energy          E(v, h) = -a.v - b.h - v W h                 visible v, hidden h: 0 or 1
    given the other p(h = 1 | v) = sigmoid(b + v W)              p(v = 1 | h) = sigmoid(a + h W^T)
    free energy     F(v) = -a.v - sum softplus(b + v W)          p(v) = exp(-F(v)) / Z
    CD-k            dW ~ <v h>_data - <v h>_k                    k: after k times h, then v, drawn from each other
    log Z           log mean over chains of exp(sum over t of F_{t-1}(v_{t-1}) - F_t(v_{t-1})) + log Z_0
                    F_t(v) = -((1 - t / T) a_0 + t / T a).v - sum softplus(t / T (b + v W)); v_t drawn as F_t has it

Papers   Hinton 2002, "Training products of experts by minimizing contrastive divergence"; the settings of Hinton 2010,
         "A practical guide to training restricted Boltzmann machines"; stacked: Hinton, Osindero, Teh 2006.
         log Z by annealed importance sampling: Neal 2001; Salakhutdinov and Murray 2008, "On the quantitative analysis
         of deep belief networks", eq. 10 to 16. Its mean is that of Z: of log Z it is rather too low than too high.
Differs  what the data shows between 0 and 1 is taken as a probability; of hidden units the last drawing is left out.
Letters  B items, V visible, H hidden, T temperatures; a_0 the biases of places that do not know of each other
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from deepen.nn.inputs import Flat
from deepen.signature import Signature

BATCH = 100
DECAY = 2e-4  # of the weights, each step
CHAINS = 100  # that log Z is estimated from
FEWEST = 14  # hidden units: up to so many all their states are gone through
SLOW, FAST = 0.5, 0.9  # momentum, before and after the fifth epoch


class Boltzmann(nn.Module):
    """A restricted Boltzmann machine; forward: p(h = 1 | v), (B, V) to (B, H)."""

    inputs_first = ("weight",)
    below: Tensor

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(visible, hidden) * 0.01)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("below", torch.zeros(visible))  # a: only the pretraining needs it

    def forward(self, seen: Tensor) -> Tensor:
        return torch.sigmoid(seen @ self.weight + self.bias)

    def down(self, hidden: Tensor) -> Tensor:
        """p(v = 1 | h)."""
        return torch.sigmoid(hidden @ self.weight.T + self.below)

    def free_energy(self, seen: Tensor) -> Tensor:
        """F(v), (B,)."""
        return -(seen @ self.below) - nn.functional.softplus(seen @ self.weight + self.bias).sum(1)

    def log_partition(self) -> Tensor:
        """log Z by going through all states of the hidden units: for at most 20."""
        hidden = torch.tensor([*itertools.product((0.0, 1.0), repeat=len(self.bias))], device=self.bias.device)
        return (hidden @ self.bias + nn.functional.softplus(hidden @ self.weight.T + self.below).sum(1)).logsumexp(0)

    @torch.no_grad()
    def annealed(self, start: Tensor, temperatures: int) -> Tensor:
        """log Z by annealed importance sampling from biases (V,) alone; the same draws each time."""
        draw = torch.Generator(self.bias.device).manual_seed(0)
        drawn = lambda chance: torch.bernoulli(chance, generator=draw)
        seen = drawn(torch.sigmoid(start).expand(CHAINS, -1))
        weight = nn.functional.softplus(start).sum() + len(self.bias) * math.log(2)
        before = torch.zeros((), device=start.device)
        for now in torch.linspace(0, 1, temperatures + 1, device=start.device)[1:]:
            reach = self.bias + seen @ self.weight
            softer, sharper = (nn.functional.softplus(share * reach).sum(1) for share in (before, now))
            weight = weight + (now - before) * (seen @ (self.below - start)) + sharper - softer
            hidden = drawn(torch.sigmoid(now * reach))
            seen = drawn(torch.sigmoid((1 - now) * start + now * (self.below + hidden @ self.weight.T)))
            before = now
        return weight.logsumexp(0) - math.log(CHAINS)

    @torch.no_grad()
    def walked(self, seen: Tensor, steps: int, draw: torch.Generator | None = None) -> Tensor:
        """Items (B, V) of 0 and 1, so many times h, then v, drawn from each other."""
        for _ in range(steps):
            hidden = torch.bernoulli(self(seen), generator=draw)
            seen = torch.bernoulli(self.down(hidden), generator=draw)
        return seen

    @torch.no_grad()
    def divergence(self, seen: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """What to add to weight, bias and below, by CD-k on a batch (B, V)."""
        first, made = self(seen), self.walked(seen, steps)
        last, count = self(made), len(seen)
        return (seen.T @ first - made.T @ last) / count, (first - last).mean(0), (seen - made).mean(0)

    @torch.no_grad()
    def learn(self, seen: Tensor, epochs: int, rate: float, steps: int = 1) -> None:
        """Pretrain on items (n, V) between 0 and 1."""
        self.below.copy_(torch.logit(seen.mean(0).clamp(0.01, 0.99)))  # how often each is on, as the guide has it
        parts = (self.weight, self.bias, self.below)
        speeds = [torch.zeros_like(part) for part in parts]
        for epoch in range(epochs):
            momentum = SLOW if epoch < 5 else FAST
            for rows in torch.randperm(len(seen)).split(BATCH):
                found = self.divergence(seen[rows.to(seen.device)], steps)
                for part, speed, change in zip(parts, speeds, found):
                    decay = DECAY * part if part is self.weight else 0.0
                    speed.mul_(momentum).add_(rate * (change - decay))
                    part.add_(speed)


class Stack(nn.Module):
    """Boltzmann machines one above the other, pretrained from below, then a linear layer; all of it can be fine-tuned."""

    low: Tensor
    scale: Tensor

    def __init__(self, signature: Signature, hidden: tuple[int, ...], epochs: int, rate: float, steps: int) -> None:
        super().__init__()
        self.flat = Flat(signature)
        sizes = [self.flat.width, *hidden]
        self.epochs, self.rate, self.steps = epochs, rate, steps
        self.register_buffer("low", torch.zeros(self.flat.width))
        self.register_buffer("scale", torch.ones(self.flat.width))
        self.machines = nn.ModuleList(Boltzmann(a, b) for a, b in itertools.pairwise(sizes))
        self.last = nn.Linear(sizes[-1], signature.answer.width)

    @torch.no_grad()
    def measure(self, *inputs: Tensor) -> None:
        """Bring every number to between 0 and 1, then pretrain layer by layer."""
        rows = self.flat(*inputs)
        low, high = rows.min(), rows.max()
        self.low.fill_(low)
        self.scale.fill_(1 / (high - low).clamp(min=1e-6))
        seen = self.seen(*inputs)
        for machine in self.machines:
            if isinstance(machine, Boltzmann) and self.epochs:
                machine.learn(seen, self.epochs, self.rate, self.steps)
                seen = machine(seen)

    def seen(self, *inputs: Tensor) -> Tensor:
        """What the lowest machine sees, (B, V) between 0 and 1."""
        return ((self.flat(*inputs) - self.low) * self.scale).clamp(0, 1)

    def features(self, *inputs: Tensor) -> Tensor:
        """To (B, H) of the highest machine."""
        found = self.seen(*inputs)
        for machine in self.machines:
            found = machine(found)
        return found

    def forward(self, *inputs: Tensor) -> Tensor:
        """To (B, K)."""
        return self.last(self.features(*inputs))
