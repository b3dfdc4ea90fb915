"""A small GAN on points, to see whether the engine's contract holds two players. Run as a script: one of several processes."""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepen.config import Config, Split, Train
from deepen.data.augment import Augment
from deepen.data.batch import Unlabeled
from deepen.data.data import Data
from deepen.data.feeds import UnlabeledFeed
from deepen.data.prepare import prepare
from deepen.nn.normalise import Normalise
from deepen.signature import Signature
from deepen.sources.blobs import Blobs
from deepen.training.engine import Engine
from deepen.training.method import Method


class Gan(Method):
    """Non-saturating GAN (Goodfellow et al. 2014), `rounds` critic turns to one of the generator."""

    labelled = False

    def __init__(self, width: int = 2, rounds: int = 1) -> None:
        super().__init__()
        self.players = ("critic",) * rounds + ("generator",)
        self.critic = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 1))
        self.generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, width))
        self.turns: list[str] = []

    def feed(self, data, size, seed):
        return UnlabeledFeed(data, size, seed)

    def loss(self, batch: Unlabeled, player: str) -> Tensor:
        (real,) = batch.inputs
        fake = self.generator(torch.randn(len(real), 4))
        if player == "generator":
            return F.softplus(-self.critic(fake)).mean()
        return (F.softplus(-self.critic(real)) + F.softplus(self.critic(fake.detach()))).mean()

    def after(self, player: str) -> None:
        self.turns.append(player)

    def product(self) -> nn.Module:
        return self.generator

    def signature(self, data: Signature) -> Signature:
        return Signature(data.inputs, {})


def engine(rounds: int = 1, **train) -> Engine:
    """An engine for the GAN on 96 points."""
    torch.set_num_threads(1)
    config = Config({"name": "blobs"}, split=Split(val=0.1, test=0.1))
    prepared = prepare(Blobs(items=120, width=2, classes=2).read(), config)
    prepared.columns["numbers"] = prepared.columns["numbers"] * 0.3 + 3  # away from where the generator starts
    normalise = Normalise(prepared.signature)  # left as it is, for the same reason
    torch.manual_seed(0)
    settings = Train(**{"steps": 12, "batch_size": 16, "lr": 1e-2, "device": "cpu", "weight_decay": 0.0, **train})
    return Engine(Gan(rounds=rounds), Data(prepared, normalise, Augment((), prepared.signature)), settings)


def weights(of: Engine) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in of.method.state_dict().items()}


if __name__ == "__main__":
    trained = engine()
    trained.fit()
    if trained.processes.first:
        from safetensors.torch import save_file

        save_file(weights(trained), sys.argv[1])
    trained.processes.close()
