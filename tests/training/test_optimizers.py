"""Our optimizers walk as torch.optim's do; schedules, averages and clipping against what they are defined as."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepen.config import Train
from deepen.training.average import Average, refresh_norms
from deepen.training.optimizers import OPTIMIZERS, Optimizer
from deepen.training.schedules import SCHEDULES, rate

TORCH = {
    "sgd": lambda p, t: torch.optim.SGD(p, t.lr, momentum=t.momentum, nesterov=t.nesterov and t.momentum > 0),
    "adam": lambda p, t: torch.optim.Adam(p, t.lr),
    "adamw": lambda p, t: torch.optim.AdamW(p, t.lr),
    "rmsprop": lambda p, t: torch.optim.RMSprop(p, t.lr, momentum=t.momentum),
    "adagrad": lambda p, t: torch.optim.Adagrad(p, t.lr),
}


class Net(nn.Module):
    """Matrices and vectors of unlike sizes; `rare` has a gradient only where it is used."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = {"a": (7, 5), "b": (5,), "c": (5, 3), "d": (3,), "rare": (5, 5), "rare_scale": (5,)}
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.randn(shape, generator=generator)))

    def forward(self, x: Tensor, rare: bool) -> Tensor:
        h = torch.tanh(x @ self.a + self.b)
        if rare:
            h = h @ self.rare * self.rare_scale
        return h @ self.c + self.d


def reference(net: Net, train: Train) -> torch.optim.Optimizer:
    """torch's optimizer with biases and scales in a group that is not decayed."""
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    return TORCH[train.optimizer](groups, train)


@pytest.mark.parametrize(
    "used", [lambda step: True, lambda step: step % 3 == 1, lambda step: False], ids=["all", "some", "none"]
)
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "options",
    [*({"optimizer": name, "momentum": 0.0} for name in OPTIMIZERS), {"optimizer": "sgd", "momentum": 0.9, "nesterov": False},
     {"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, {"optimizer": "rmsprop", "momentum": 0.9}],
    ids=lambda o: "-".join(map(str, o.values())),
)  # fmt: skip
def test_fifty_steps_as_torch(options: dict[str, Any], decay: float, used: Any):
    train = Train(lr=0.02, weight_decay=decay, **options)
    ours, theirs = Net(), Net()
    optimizer, oracle = Optimizer(list(ours.parameters()), train), reference(theirs, train)
    generator = torch.Generator().manual_seed(1)
    for step in range(50):
        x, y = torch.randn(16, 7, generator=generator), torch.randn(16, 3, generator=generator)
        optimizer.zero_grad()
        oracle.zero_grad()
        for net in (ours, theirs):
            (net(x, used(step)) - y).square().mean().backward()
        factor = 1 / (1 + step)
        for group in oracle.param_groups:
            group["lr"] = 0.02 * factor
        optimizer.step(0.02 * factor)
        oracle.step()
        for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
            torch.testing.assert_close(
                mine, other, rtol=1e-6, atol=1e-6, msg=lambda m, n=name, s=step: f"{n} at {s}: {m}"
            )
    if not used(1):
        assert torch.equal(ours.rare, Net().rare)


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0.0: 1, 0.5: 1, 1.0: 1}),
        ("linear", {0.0: 1, 0.25: 0.75, 1.0: 0}),
        ("cosine", {0.0: 1, 0.25: 0.8535533905932737, 0.5: 0.5, 1.0: 0}),
        ("step", {0.0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1.0: 0.01}),
        ("exponential", {0.0: 1, 0.5: 0.1, 1.0: 0.01}),
    ],
)
def test_schedules_by_hand(schedule, values):
    for progress, wanted in values.items():
        assert SCHEDULES[schedule](progress) == pytest.approx(wanted, abs=1e-12)


def test_every_schedule_is_checked_by_hand():
    assert set(SCHEDULES) == {"constant", "linear", "cosine", "step", "exponential"}


def test_warm_up_then_the_schedule():
    factors = [rate("linear", step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(n + 1) / 11 for n in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(1 / 90)


def test_cosine_as_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for step in range(40):
        assert rate("cosine", step, 40, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        oracle.step()


# ---------------------------------------------------------------- averages


def walk(net: nn.Module, steps: int) -> list[dict[str, Tensor]]:
    """Random weights at each step, as a training would leave them."""
    generator = torch.Generator().manual_seed(3)
    return [{k: torch.randn(v.shape, generator=generator) for k, v in net.state_dict().items()} for _ in range(steps)]


def test_ema_is_its_loop():
    net = nn.Linear(3, 2)
    average, states = Average(net, "ema", 0.9), walk(net, 60)
    shadow: dict[str, Tensor] = {}
    for n, state in enumerate(states):
        net.load_state_dict(state)
        average.after_step()
        d = min(0.9, (1 + n) / (10 + n))
        shadow = {k: v.clone() if n == 0 else d * shadow[k] + (1 - d) * v for k, v in state.items()}
        with average.applied():
            for name, tensor in net.state_dict().items():
                torch.testing.assert_close(tensor, shadow[name], rtol=1e-5, atol=1e-6)
        assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items()), "the live weights came back"


def test_swa_is_the_mean_of_the_last_quarter():
    net = nn.Linear(3, 2)
    average, states = Average(net, "swa", 0.0), walk(net, 12)
    for n, state in enumerate(states, 1):
        net.load_state_dict(state)
        average.after_step()  # swa looks at epochs only
        average.after_epoch(n / 12)
    with average.applied():
        for name, tensor in net.state_dict().items():
            torch.testing.assert_close(tensor, torch.stack([s[name] for s in states[8:]]).mean(0))


def test_batch_norm_is_measured_anew_as_torch_does():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3), nn.BatchNorm1d(3))
    batches = [torch.randn(16, 4) * 3 + 1 for _ in range(5)]
    twin = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3), nn.BatchNorm1d(3))
    twin.load_state_dict(net.state_dict())
    torch.optim.swa_utils.update_bn(batches, twin)
    net.eval()
    refresh_norms(net, ((batch,) for batch in batches))
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, twin.state_dict()[name], msg=name)
    assert not net.training
    assert all(m.momentum == 0.1 for m in net.modules() if isinstance(m, nn.BatchNorm1d))


def test_measuring_batch_norm_anew_draws_nothing():
    """Dropout would make it depend on what ran before: a resumed run would not be the same."""
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 6), nn.BatchNorm1d(6))
    batch, found = torch.randn(16, 4), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        refresh_norms(net, iter([(batch,)]))
        found.append(net[2].running_mean.clone())
    assert torch.equal(*found)
    assert math.isfinite(float(found[0].sum()))
