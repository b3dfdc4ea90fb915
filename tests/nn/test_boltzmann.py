"""Restricted Boltzmann machines small enough to go through all their states; pretraining against a random start."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import deepen
from deepen.kinds.classes import Classes
from deepen.models.dbn import DBN
from deepen.nn.boltzmann import Boltzmann
from deepen.preprocess.array import Array
from deepen.signature import Signature


def machine(visible: int = 4, hidden: int = 3, seed: int = 0) -> Boltzmann:
    torch.manual_seed(seed)
    found = Boltzmann(visible, hidden)
    for part in (found.weight.data, found.bias.data, found.below):
        torch.nn.init.normal_(part)
    return found


def states(n: int) -> torch.Tensor:
    return torch.tensor([*itertools.product((0.0, 1.0), repeat=n)])


def energies(found: Boltzmann) -> torch.Tensor:
    """E(v, h) of every pair, by the formula."""
    seen, hidden = states(len(found.below)), states(len(found.bias))
    return -(seen @ found.below)[:, None] - hidden @ found.bias - seen @ found.weight @ hidden.T


def test_free_energy_and_partition_are_sums_over_all_states():
    found = machine()
    whole = -energies(found)
    torch.testing.assert_close(found.free_energy(states(4)), -whole.logsumexp(1))
    torch.testing.assert_close(found.log_partition(), whole.logsumexp((0, 1)))


def test_each_side_given_the_other():
    found = machine()
    joint = (-energies(found)).exp()
    share = joint / joint.sum(1, keepdim=True)
    torch.testing.assert_close(found(states(4)), share @ states(3))
    share = joint / joint.sum(0, keepdim=True)
    torch.testing.assert_close(found.down(states(3)), share.T @ states(4))


@torch.no_grad()
def likelihood(found: Boltzmann, seen: torch.Tensor) -> float:
    """The exact mean log-likelihood."""
    return float((-found.free_energy(seen) - found.log_partition()).mean())


def test_many_steps_of_divergence_are_the_likelihoods_gradient():
    found = machine()
    seen = states(4)[torch.randint(16, (20_000,), generator=torch.Generator().manual_seed(1))]
    seen[:, 0] = seen[:, 1]
    torch.manual_seed(2)
    changes = found.divergence(seen, 30)
    found.below.requires_grad_()
    loss = found.free_energy(seen).mean() + found.log_partition()
    wanted = torch.autograd.grad(loss, [found.weight, found.bias, found.below])
    for change, gradient in zip(changes, wanted):
        torch.testing.assert_close(change, -gradient, atol=0.02, rtol=0)


def bars() -> torch.Tensor:
    """(14, 9)."""
    bars = [np.repeat(np.array(code)[:, None], 3, 1) for code in itertools.product((0, 1), repeat=3)]
    return torch.tensor(np.unique([p.ravel() for b in bars for p in (b, b.T)], axis=0), dtype=torch.float32)


@pytest.mark.parametrize(("steps", "gain"), [(1, 0.3), (10, 0.5)])
def test_learning_raises_the_exact_likelihood(steps, gain):
    """Bars and stripes of 3 x 3: 14 pictures, on which no model can do better than log(1 / 14) in the mean."""
    pictures = bars()
    assert len(pictures) == 14
    torch.manual_seed(0)
    found = Boltzmann(9, 12)
    before = 9 * math.log(0.5)
    found.learn(pictures.repeat(20, 1), epochs=150, rate=0.05, steps=steps)
    now = likelihood(found, pictures)
    assert before + gain * (math.log(1 / 14) - before) < now < math.log(1 / 14)


def test_what_pretraining_begins_with_how_weights_decay_and_steps_go_on():
    """Seven epochs of one batch by hand, every step wanted being 1: half of the last step is made again, from the sixth 0.9."""
    found, weight, speed = machine(), machine().weight.detach(), 0.0
    found.divergence = lambda seen, steps: (torch.ones(4, 3), torch.zeros(3), torch.zeros(4))  # type: ignore[method-assign]
    bias = found.bias.detach().clone()
    found.learn(torch.tensor([0.0, 0.25, 0.5, 1.0]).expand(100, -1), epochs=7, rate=0.1)
    for epoch in range(7):
        speed = (0.5 if epoch < 5 else 0.9) * speed + 0.1 * (1 - 2e-4 * weight)
        weight = weight + speed
    torch.testing.assert_close(found.weight.detach(), weight, rtol=0, atol=1e-6)
    assert torch.equal(found.bias, bias)
    torch.testing.assert_close(found.below.sigmoid(), torch.tensor([0.01, 0.25, 0.5, 0.99]))  # what is seen of each


@pytest.mark.parametrize("hidden", [3, 12])
def test_log_z_is_estimated_within_a_tenth_of_a_nat(hidden):
    """Of a machine drawn at random and of one that has learnt, from biases alone, whatever they are."""
    found, start = machine(9, hidden), torch.linspace(-2, 0, 9)
    if hidden == 12:
        found = Boltzmann(9, hidden)
        found.learn(bars().repeat(20, 1), epochs=100, rate=0.05)
    exact = float(found.log_partition().detach())
    assert float(found.annealed(start, 400)) == pytest.approx(exact, abs=0.1)
    assert float(found.annealed(start, 400)) == float(found.annealed(start, 400)), "the same draws each time"


def network(pretrain: int) -> DBN:
    torch.manual_seed(0)
    return DBN(Signature({"array": Array((6,))}, {"label": Classes(("a", "b"))}), (5, 4), pretrain, 0.05)


def test_each_layer_learns_what_the_one_below_shows():
    rows = torch.randn(150, 6, generator=torch.Generator().manual_seed(0)) * 3
    found = network(2)
    torch.manual_seed(1)
    found.measure(rows)
    seen = found.seen(rows)
    assert (seen.min(), seen.max()) == (0, 1)
    first, second = Boltzmann(6, 5), Boltzmann(5, 4)
    fresh = network(2)
    first.load_state_dict(fresh.machines[0].state_dict())
    second.load_state_dict(fresh.machines[1].state_dict())
    torch.manual_seed(1)
    first.learn(seen, 2, 0.05)
    second.learn(first(seen), 2, 0.05)
    for ours, wanted in zip(found.machines, (first, second)):
        torch.testing.assert_close(ours.weight, wanted.weight)
        torch.testing.assert_close(ours.bias, wanted.bias)
    torch.testing.assert_close(found.features(rows), second(first(seen)))
    torch.testing.assert_close(found(rows), found.last(second(first(seen))))


def test_without_pretraining_the_start_is_random():
    found, fresh = network(0), network(0)
    found.measure(torch.randn(150, 6))
    assert torch.equal(found.machines[0].weight, fresh.machines[0].weight)


@pytest.mark.slow
def test_pretraining_beats_a_random_start_with_few_labels(real_data, tmp_path):
    """1,000 labelled digits among 20,000, three seeds: every one is better, by 2 points in the mean."""
    data = np.load(real_data / "images" / "mnist.npz")
    x, y = data["x_train"][:20_000], data["y_train"][:20_000].astype(np.float32)
    y[1000:] = np.nan
    np.savez(
        tmp_path / "few.npz", x_train=x, y_train=y, x_test=data["x_test"], y_test=data["y_test"].astype(np.float32)
    )
    accuracy: dict[int, list[float]] = {}
    for pretrain in (10, 0):
        for seed in range(3):
            settings = {
                "model": f"{{name: dbn, pretrain: {pretrain}}}",
                "augment": "[]",
                "epochs": 40,
                "lr": 1e-3,
                "data.kind": "classes",
            }
            run = deepen.train(str(tmp_path / "few.npz"), output=str(tmp_path), threads=1, seed=seed, **settings)
            accuracy.setdefault(pretrain, []).append(deepen.evaluate(str(run.path))["metrics"]["accuracy"][0])
    print(accuracy)
    assert all(a > b for a, b in zip(accuracy[10], accuracy[0]))
    assert np.mean(accuracy[10]) > np.mean(accuracy[0]) + 0.02
