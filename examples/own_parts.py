"""One's own data, layer, activation, network, loss, method, optimizer: each named `own_parts.py:Class` in own_parts.yaml."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.data.items import Items
from deepen.methods.supervised import Supervised
from deepen.nn.layers import activation
from deepen.optimizers import Rule
from deepen.schema import Activation, Count, Natural, NonNegative, Share, Spec


class Spirals:
    """Data: points on the arms of a spiral, the last fifth of them to be tested on."""

    def __init__(self, items: Count = 600, arms: Count = 3, seed: Natural = 0) -> None:
        self.items, self.arms, self.seed = items, arms, seed

    def read(self) -> Items:
        rng = np.random.default_rng(self.seed)
        arm, way = rng.integers(self.arms, size=self.items), rng.random(self.items)
        angle = 2 * np.pi * arm / self.arms + 4 * way
        points = np.stack([way * np.cos(angle), way * np.sin(angle)], 1)
        return Items(
            [f"spirals:{i}" for i in range(self.items)], {"point": points}, {"point": ("array", {})},
            [f"arm {number}" for number in arm], "classes",
            split=[None if i < 0.8 * self.items else "test" for i in range(self.items)],
        )  # fmt: skip


class Snake(nn.Module):
    """Activation: x + sin^2(x), Ziyin et al. 2020."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.sin() ** 2


class Gated(nn.Module):
    """Layer: a way around that is opened and closed by what goes in."""

    def __init__(self, width: int, activate: str) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), activation(activate))
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate(x).sigmoid() * self.body(x)


class Net(nn.Module):
    """Network: some gated layers."""

    def __init__(self, signature, width: Count = 32, depth: Count = 2, activate: Activation = "relu") -> None:
        super().__init__()
        self.first = nn.Linear(signature.tensors[0].shape[1], width)
        self.last = nn.Linear(width, signature.answer.width)
        self.body = nn.Sequential(*(Gated(width, activate) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self.first(x)))


class Hinge:
    """Loss: the right class is to be ahead of every other by a margin."""

    def __init__(self, margin: NonNegative = 1.0) -> None:
        self.margin = margin

    def __call__(self, raw: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(raw, target, margin=self.margin)


class Steady(Supervised):
    """Method: supervised, and items with a little noise are to be answered alike."""

    def __init__(self, model: nn.Module, output, own: Spec | None = None, noise: NonNegative = 0.1) -> None:
        super().__init__(model, output, own=own)
        self.noise = noise

    def loss(self, batch, player: str) -> Tensor:
        x = batch.inputs[0]
        change = self.model(x + self.noise * torch.randn_like(x)) - self.model(x)
        return super().loss(batch, player) + change.square().mean()


class SignMomentum(Rule):
    """Optimizer: every weight moves by the same amount, along the sign of the mean gradient."""

    names, lr = ("mean",), 1e-3

    def __init__(self, memory: Share = 0.9) -> None:
        self.memory = memory

    def update(self, params, grads, state, lr, decay, steps) -> None:
        for param, grad, mean in zip(params, grads, state["mean"]):
            mean.lerp_(grad, 1 - self.memory)
            param.mul_(1 - lr * decay).add_(mean.sign(), alpha=-lr)
