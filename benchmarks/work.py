"""The work every contender does: LeNet-5 on MNIST from the same first weights, with the same steps and augmentation.

28 x 28 grey uint8, moved by up to 2 pixels, mirrored in half the cases, normalised; SGD with Nesterov momentum 0.9,
learning rate 0.02, weight decay 5e-4. Where MNIST is not at hand, random blobs of the same shape.
Needs torch and NumPy alone: peers' Pythons import it too.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

PADDING, FLIP = 2, 0.5
LR, MOMENTUM, DECAY = 0.02, 0.9, 5e-4
TEST = 2000  # pictures the accuracy is taken from


class Task(NamedTuple):
    """What the driver asks of a contender: `steps` of `batch` pictures, `block` steps to a turn; threads 0: as it comes."""

    batch: int
    steps: int
    block: int
    threads: int
    seed: int


class Pictures(NamedTuple):
    """uint8 (N, 28, 28) and int64 (N,); mean and deviation of the training pixels on the scale 0..255."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    mean: float
    deviation: float


def task() -> Task:
    """The task on the command line."""
    parser = argparse.ArgumentParser()
    for name in Task._fields:
        parser.add_argument(f"--{name}", type=int, required=True)
    found = Task(**vars(parser.parse_args()))
    if found.threads:
        torch.set_num_threads(found.threads)
    return found


def real() -> Path | None:
    """The folder of real data sets, where there is one."""
    place = os.environ.get("DEEPEN_DATA")
    return Path(place) if place and Path(place).is_dir() else None


def pictures(count: int) -> Pictures:
    """`count` training pictures and 2,000 test pictures."""
    place = real()
    if place:
        with np.load(place / "images" / "mnist.npz") as file:
            x, y, test_x, test_y = (file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    else:
        x, y = synthetic(min(count, 60_000), 0)
        test_x, test_y = synthetic(TEST, 1)
    again = np.arange(count) % len(x)  # more pictures than there are: from the start again
    x, y = x[again], y[again]
    return Pictures(x, y, test_x[:TEST], test_y[:TEST], float(x.mean()), float(x.std()))


def synthetic(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten patterns under noise."""
    patterns = np.random.default_rng(0).integers(0, 200, (10, 28, 28))
    random = np.random.default_rng(seed)
    y = random.integers(0, 10, count)
    return (patterns[y] + random.integers(0, 56, (count, 28, 28))).astype(np.uint8), y


def network(seed: int, best: bool = False) -> nn.Sequential:
    """LeNet-5 with its first weights, which sets torch's seed too; flat, so that its parameters can be copied in order.

    best  as one writes it who knows what it costs: pooled before activated, which for these is the same, channels last
    """
    torch.manual_seed(seed)
    after = (nn.MaxPool2d(2), nn.ReLU()) if best else (nn.ReLU(), nn.MaxPool2d(2))
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), *after, nn.Conv2d(6, 16, 5), *after,
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return net.to(memory_format=torch.channels_last) if best else net


@torch.no_grad()
def accuracy(net: nn.Module, data: Pictures) -> float:
    """Share of the test pictures answered right."""
    net.eval()
    x = (torch.from_numpy(data.test_x)[:, None].float() - data.mean) / data.deviation
    return float((net(x).argmax(1) == torch.from_numpy(data.test_y)).float().mean())


def optimizer(net: nn.Module, **more: bool) -> torch.optim.Optimizer:
    """The textbook optimizer."""
    return torch.optim.SGD(net.parameters(), LR, MOMENTUM, weight_decay=DECAY, nesterov=True, **more)


def windows(x: np.ndarray) -> Tensor:
    """Every window the crop can choose, as a view of the padded pictures: (N, 5, 5, 28, 28)."""
    padded = torch.from_numpy(np.pad(x, ((0, 0), (PADDING, PADDING), (PADDING, PADDING))))
    return padded.unfold(1, 28, 1).unfold(2, 28, 1)
