"""Our optimizers walk as torch.optim's do; penalties and averages against what they are defined as."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepen import registry
from deepen.config import Train
from deepen.errors import DeepenError
from deepen.models.deep_cross import Experts, Product
from deepen.models.tab_mlp import Pieces
from deepen.nn.boltzmann import Boltzmann
from deepen.nn.initialise import initialise
from deepen.optimizers import Rule
from deepen.training.average import Average, refresh_norms
from deepen.training.optimizers import Optimizer
from tests.training.engines import engine

TORCH = {
    "sgd": lambda p, t, momentum=0.9, nesterov=True: torch.optim.SGD(p, t.lr, momentum=momentum, nesterov=nesterov),
    "adam": lambda p, t: torch.optim.Adam(p, t.lr),
    "adamw": lambda p, t: torch.optim.AdamW(p, t.lr),
    "rmsprop": lambda p, t, momentum=0.9: torch.optim.RMSprop(p, t.lr, momentum=momentum),
    "adagrad": lambda p, t: torch.optim.Adagrad(p, t.lr),
    "gradient_descent": lambda p, t: torch.optim.SGD(p, t.lr),
    "lion": lambda p, t: Lion(p, {"lr": t.lr}),
    "muon": lambda p, t: Both(p, t.lr),
}


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of the paper, line by line: torch has none."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                with torch.no_grad():
                    update = torch.sign(0.9 * m + 0.1 * p.grad) + group["weight_decay"] * p
                    p.sub_(group["lr"] * update)
                    m.copy_(0.99 * m + 0.01 * p.grad)


class Both:
    """torch's Muon for matrices, AdamW for the others."""

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        matrices, vectors = groups
        self.both = [
            torch.optim.Muon(matrices["params"], lr, matrices["weight_decay"], adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW([vectors], lr),
        ]
        self.param_groups = [group for one in self.both for group in one.param_groups]

    def step(self) -> None:
        for one in self.both:
            one.step()

    def zero_grad(self) -> None:
        for one in self.both:
            one.zero_grad()


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
    options = {key: value for key, value in train.optimizer.items() if key != "name"}
    return TORCH[train.optimizer["name"]](groups, train, **options)


@pytest.mark.parametrize(
    "used", [lambda step: True, lambda step: step % 3 == 1, lambda step: False], ids=["all", "some", "none"]
)
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "options",
    [*({"name": name} for name in registry.names("optimizers")), {"name": "sgd", "momentum": 0.0, "nesterov": False},
     {"name": "sgd", "momentum": 0.9, "nesterov": False}, {"name": "rmsprop", "momentum": 0.0}],
    ids=lambda o: "-".join(map(str, o.values())),
)  # fmt: skip
def test_fifty_steps_as_torch(options: dict[str, Any], decay: float, used: Any):
    train = Train(lr=0.02, weight_decay=decay, optimizer=options)
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


def slope(place: np.ndarray) -> np.ndarray:
    """(B, 12 + 5) to gradients: of a quadratic in w, steeper one way than the other, and of Rosenbrock's function in v.

    0.5 sum(C w^2) + sum(w - 1)^2 / 24      sum(100 (v'' - v'^2)^2 + (1 - v')^2)      v', v'': v without last, first
    """
    w, head, bend = place[:, :12], place[:, 12:-1], place[:, 13:] - place[:, 12:-1] ** 2
    found = np.zeros_like(place)
    found[:, :12] = np.logspace(-1, 1, 12) * w + (w - 1).mean(1, keepdims=True)
    found[:, 12:-1] = -400 * bend * head - 2 * (1 - head)
    found[:, 13:] += 200 * bend
    return found


@pytest.mark.parametrize(
    ("name", "lr"),
    [("sgd", 2e-4), ("gradient_descent", 2e-4), ("adam", 1e-2), ("adamw", 1e-2), ("rmsprop", 1e-3), ("adagrad", 0.3),
     ("lion", 1e-3), ("muon", 1e-2)],
)  # fmt: skip
def test_a_thousand_steps_down_a_valley_as_torch(name: str, lr: float):
    """In float64 every step of the way; the way leads down."""
    train = Train(lr=lr, weight_decay=0.1, optimizer={"name": name})
    places, slopes = np.tile(np.random.default_rng(2).standard_normal(17), (2, 1)), np.zeros((2, 17))
    nets = [nn.ParameterList([torch.from_numpy(row[:12]).view(3, 4), torch.from_numpy(row[12:])]) for row in places]
    for net, row in zip(nets, slopes):
        net[0].grad, net[1].grad = torch.from_numpy(row[:12]).view(3, 4), torch.from_numpy(row[12:])
    ours, theirs = Optimizer(list(nets[0]), train), reference(nets[1], train)
    walk, begin = np.empty((1000, 2, 17)), slope(places)
    for there in walk:
        slopes[:] = slope(places)
        ours.step(lr)
        theirs.step()
        there[:] = places
    np.testing.assert_allclose(walk[:, 0], walk[:, 1], rtol=1e-10, atol=1e-12)
    for part in (slice(12), slice(12, 17)):
        assert np.linalg.norm(slope(places)[0, part]) < 0.5 * np.linalg.norm(begin[0, part])


def trained(**settings: Any) -> tuple[Net, Optimizer]:
    """A net with gradients everywhere, and its optimizer."""
    net = Net()
    optimizer = Optimizer(list(net.parameters()), Train(lr=0.1, weight_decay=0.0, **settings))
    net(torch.randn(16, 7, generator=torch.Generator().manual_seed(1)), True).square().mean().backward()
    return net, optimizer


def test_muon_takes_kernels_as_matrices():
    """One step of convolutions equals the step of the same numbers as matrices."""
    generator = torch.Generator().manual_seed(0)
    kernel, gradient = torch.randn(4, 3, 2, 2, generator=generator), torch.randn(4, 3, 2, 2, generator=generator)
    found = []
    for shape in ((4, 3, 2, 2), (4, 12)):
        weight = nn.Parameter(kernel.clone().view(shape))
        weight.grad = gradient.view(shape)
        Optimizer([weight], Train(optimizer={"name": "muon"})).step(0.1)
        found.append(weight.detach().view(4, 12))
    assert torch.equal(*found)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_a_transposed_convolution_is_seen_by_its_units(name: str, groups: int):
    """Its weights are (in, out / groups, k, k): a step is that of (out, in / groups, k, k); so are bounds and what it begins as."""
    torch.manual_seed(0)
    net = nn.ConvTranspose2d(6, 4, 3, groups=groups)
    train = Train(weight_decay=0.1, optimizer={"name": name}, max_norm=0.9)
    turn = lambda t: torch.cat([part.transpose(0, 1) for part in t.detach().chunk(groups)]).contiguous()
    weights = [nn.Parameter(part) for part in turn(net.weight).chunk(groups)]
    ours, theirs = Optimizer([net.weight], train, net), Optimizer(weights, train)
    for _ in range(3):
        net(torch.randn(2, 6, 5, 5)).square().sum().backward()
        for weight, gradient in zip(weights, turn(net.weight.grad).chunk(groups)):
            weight.grad = gradient
        ours.step(0.1)
        theirs.step(0.1)
        ours.zero_grad()
        torch.testing.assert_close(turn(net.weight), torch.cat([w.detach() for w in weights]))
    assert float(turn(net.weight).flatten(1).norm(dim=1).max()) < 0.9 + 1e-6
    initialise(net, registry.build("initialisers", {"name": "orthogonal"}), ())
    for part in turn(net.weight).flatten(1).chunk(groups):
        torch.testing.assert_close(part @ part.T, torch.eye(len(part)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layer", [Boltzmann(6, 4), Pieces(3, 4, 5), Experts(6, 4, 3)], ids=["one", "columns", "experts"]
)
def test_max_norm_is_of_what_leads_into_a_unit_where_inputs_come_first(layer: nn.Module):
    for p in layer.parameters():
        p.data.fill_(1.0)
        p.grad = torch.zeros_like(p)
    Optimizer(list(layer.parameters()), Train(max_norm=0.5, weight_decay=0.0), layer).step(0.1)
    for name in layer.inputs_first:
        lengths = getattr(layer, name).norm(dim=-2)  # (..., units)
        torch.testing.assert_close(lengths, torch.full_like(lengths, 0.5))


def test_a_bias_of_two_dimensions_is_free_and_a_weight_of_one_row_is_not():
    net = nn.ModuleDict({"pieces": Pieces(3, 4, 5), "cross": Product(4)})
    (held, yes), (free, no) = Optimizer(list(net.parameters()), Train(), net).groups
    assert (yes, no) == (True, False)
    assert {id(p) for p in held} == {id(net["pieces"].weight), id(net["cross"].weight)}
    assert {id(p) for p in free} == {id(net["pieces"].bias), id(net["cross"].bias)}


def test_l1_is_a_proximal_step_on_weights_alone():
    """Weights that the step left within lr * l1 of zero are zero exactly, the others are nearer by that much."""
    (net, with_l1), (plain, without) = trained(optimizer={"name": "sgd"}, l1=2.0), trained(optimizer={"name": "sgd"})
    with_l1.step(0.1)
    without.step(0.1)
    some = 0
    for (name, w), v in zip(net.named_parameters(), plain.parameters()):
        if w.ndim == 1:
            assert torch.equal(w, v), f"{name} is not penalised"
            continue
        torch.testing.assert_close(w, v.sign() * (v.abs() - 0.2).clamp(min=0))
        assert torch.equal(w == 0, v.abs() <= 0.2)
        some += int((w == 0).sum())
    assert some > 5


def test_max_norm_holds_after_every_step():
    """For each unit's incoming weights, in the direction they had; what is shorter is left alone; biases are free."""
    (net, bounded), (plain, free) = trained(max_norm=1.5), trained()
    bounded.step(0.1)
    free.step(0.1)
    touched = 0
    for (name, w), v in zip(net.named_parameters(), plain.parameters()):
        if w.ndim == 1:
            assert torch.equal(w, v), name
            continue
        for row, before in zip(w, v):
            wanted = before * min(1.0, 1.5 / float(before.detach().norm()))
            torch.testing.assert_close(row, wanted)
            touched += float(before.detach().norm()) > 1.5
    assert 0 < touched < 17
    for _ in range(5):
        bounded.step(1.0)
        assert all(float(w.detach().norm(dim=1).max()) <= 1.5 + 1e-5 for w in net.parameters() if w.ndim > 1)


def test_max_norm_of_a_convolution_is_of_whole_kernels():
    kernel = nn.Parameter(torch.full((2, 3, 2, 2), 1.0))
    kernel.grad = torch.zeros_like(kernel)
    Optimizer([kernel], Train(max_norm=1.0, weight_decay=0.0)).step(0.1)
    torch.testing.assert_close(kernel.flatten(1).norm(dim=1), torch.ones(2))


def test_penalties_that_are_off_change_nothing():
    nets = [trained()[0], trained(l1=0.0, max_norm=None)[0]]
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters()))


def test_neither_a_step_nor_counting_multiply_adds_loads_the_compiler():
    """torch.optim would, and cost a second before training begins."""
    code = (
        "import sys, torch; from deepen.config import Train; from deepen.training.optimizers import Optimizer\n"
        "w = torch.nn.Parameter(torch.ones(2, 2)); w.grad = torch.ones(2, 2)\n"
        "for name in sys.argv[1:]: Optimizer([w], Train(optimizer={'name': name})).step(0.1)\n"
        "from deepen.nn.multiply_adds import multiply_adds; multiply_adds(torch.nn.Linear(2, 2), w)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    names = registry.names("optimizers")
    subprocess.run([sys.executable, "-c", code, *names], check=True, timeout=120, env=environment)


# ---------------------------------------------------------------- descent to the end


def test_gradient_descent_sees_all_items_and_stops_where_the_slope_ends():
    trained = engine(optimizer="gradient_descent", batch_size="null", tolerance=0.5, epochs=60)
    assert trained.epoch_steps == 1
    assert trained.train.batch_size == len(trained.data.parts["train"])
    lengths: list[float] = []
    real = Optimizer.step

    def step(self: Optimizer, lr: float) -> None:
        lengths.append(math.sqrt(sum(float(g.square().sum()) for g in self.gradients())))
        real(self, lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimizer, "step", step)
        state = trained.fit()
    assert 2 < len(lengths) == state.step < 60
    assert lengths[-1] <= 0.5 < min(lengths[:-1])


def test_gradient_descent_on_part_of_the_items_is_refused():
    with pytest.raises(DeepenError, match="train.batch_size: 16 of .* looks at all of them. train.accumulate"):
        engine(optimizer="gradient_descent")


def test_ones_own_optimizer_is_used_and_saved():
    trained = engine(optimizer="{name: 'tests.training.test_optimizers:Signs', power: 0.5}", epochs=1)
    before = [p.clone() for p in trained.method.parameters()]
    trained._round()
    assert any(not torch.equal(a, b) for a, b in zip(before, trained.method.parameters()))
    assert {name.split(".")[1] for name in trained.players["model"].optimizer.tensors()} == {"seen"}


class Signs(Rule):
    """A user's rule."""

    names = ("seen",)

    def __init__(self, power: float) -> None:
        self.power = power

    def update(self, params, grads, state, lr, decay, steps):
        for p, g, seen in zip(params, grads, state["seen"]):
            seen += 1
            p -= lr * g.sign() / seen**self.power


# ---------------------------------------------------------------- averages


def floats(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in net.state_dict().items() if tensor.is_floating_point()}


def walk(net: nn.Module, steps: int) -> list[dict[str, Tensor]]:
    """Random weights at each step, as a training would leave them."""
    generator = torch.Generator().manual_seed(3)
    return [{k: torch.randn(v.shape, generator=generator) for k, v in floats(net).items()} for _ in range(steps)]


def test_ema_is_its_loop():
    """Of running statistics too, which belong to the averaged weights."""
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average, states = Average(net, "ema", 0.9), walk(net, 60)
    shadow: dict[str, Tensor] = {}
    for n, state in enumerate(states):
        net.load_state_dict(state, strict=False)
        average.after_step()
        d = min(0.9, (1 + n) / (10 + n))
        shadow = {k: v.clone() if n == 0 else d * shadow[k] + (1 - d) * v for k, v in state.items()}
        with average.applied():
            for name, tensor in floats(net).items():
                torch.testing.assert_close(tensor, shadow[name], rtol=1e-5, atol=1e-6)
        assert all(torch.equal(v, state[k]) for k, v in floats(net).items()), "the live weights came back"


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
