"""Noise on weights and labels while training alone; blocks computed twice: the same gradients, less memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from deepen.errors import DeepenError
from deepen.nn.heads import Classes, Labels
from deepen.training.recompute import blocks, recompute
from tests.training.engines import NORMS, engine, new_run

ROOT = Path(__file__).parents[2]


def gradients(trained) -> list[torch.Tensor]:
    player = trained.players["model"]
    trained.method.train()
    trained._gradients(player, 0, 0, 0)
    found = [g.clone() for g in player.optimizer.gradients()]
    player.optimizer.zero_grad()
    return found


def test_noise_on_weights_is_there_within_a_step_and_gone_after_it():
    wide = {"model": NORMS, "model.width": 64}
    plain, noisy = engine(**wide), engine(weight_noise=0.5, **wide)
    before = {k: v.clone() for k, v in noisy.method.state_dict().items() if "running" not in k and "num" not in k}
    seen = {}
    real = noisy.method.loss

    def loss(batch, player):
        seen.update({n: p.detach().clone() for n, p in noisy.method.named_parameters()})
        return real(batch, player)

    noisy.method.loss = loss
    a, b = gradients(plain), gradients(noisy)
    assert not all(torch.allclose(x, y) for x, y in zip(a, b))
    after = noisy.method.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items()), "bit for bit"
    for name, parameter in noisy.method.named_parameters():
        moved = (seen[name] - parameter.detach()).std(correction=0)
        if parameter.ndim > 1:
            assert float(moved / parameter.detach().std(correction=0)) == pytest.approx(0.5, rel=0.25)
        else:
            assert torch.equal(seen[name], parameter), "biases and scales have none"
    first, noisy.state.step = dict(seen), 1
    gradients(noisy)
    assert not any(torch.equal(seen[name], v) for name, v in first.items() if v.ndim > 1), "another one in each step"


def test_noise_on_weights_is_the_same_in_all_parts_of_a_step():
    whole, split = (
        engine(weight_noise=0.3, **{"model.dropout": 0}),
        engine(weight_noise=0.3, accumulate=4, **{"model.dropout": 0}),
    )
    for a, b in zip(gradients(whole), gradients(split)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_noisy_training_killed_and_resumed_is_uninterrupted(tmp_path):
    from tests.training.test_recovery import Killed, Killer

    settings = {"weight_noise": 0.2, "label_noise": 0.1, "epochs": 3}
    found = []
    for killed in (False, True):
        run = new_run(tmp_path / str(killed), **settings)
        trained = engine(run, Killer(12) if killed else None, **settings)
        if killed:
            with pytest.raises(Killed):
                trained.fit()
            trained = engine(run, **settings)
            trained.load()
        trained.fit()
        found.append(trained.method.state_dict())
    assert all(torch.equal(found[0][k], found[1][k]) for k in found[0])


def test_a_share_of_the_labels_is_drawn_anew():
    n, k = 40_000, 5
    target = torch.arange(n) % k
    raw = nn.functional.one_hot(target, k) * 200.0  # sure of the truth: the loss counts labels that are others
    torch.manual_seed(0)
    head = Classes(None)
    assert float(head.loss(raw, target)) == 0
    assert float(head.loss(raw, target, noise=0.2)) / 200 == pytest.approx(0.2 * (k - 1) / k, abs=0.01)
    shares = nn.functional.one_hot(target, k).float()
    assert float(head.loss(raw, shares, noise=0.2)) / 200 == pytest.approx(0.2 * (k - 1) / k, abs=0.01)
    several = (torch.arange(n * 3).view(n, 3) % 2).long()
    sure = (several * 2 - 1) * 200.0
    assert float(Labels(None).loss(sure, several, noise=0.3)) / 200 == pytest.approx(0.15, abs=0.01)
    with pytest.raises(DeepenError, match="method.label_noise: the answer is number"):
        engine(kind="number", label_noise=0.1)


def resnet(**settings):
    from deepen import config as configs
    from deepen import registry
    from deepen.data.prepare import prepare
    from deepen.training import plan
    from deepen.training.assemble import build

    given = {"model": "{name: cnn, channels: [8,8], residual: true, dropout: 0.2}", "batch_size": "64", "threads": "1"}
    config = configs.from_target("digits", {**given, **settings})
    prepared = prepare(registry.build("sources", config.data).read(), config)
    return build(plan.complete(config, prepared), prepared, None)


def test_computed_twice_gives_the_same_gradients_and_statistics():
    plain, twice = resnet(), resnet(recompute="true")
    for _ in range(2):
        for a, b in zip(gradients(plain), gradients(twice), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    buffers = dict(twice.method.named_buffers())
    assert any(name.endswith("running_mean") for name in buffers)
    for name, value in plain.method.named_buffers():
        torch.testing.assert_close(buffers[name], value, msg=name)
    assert plain.method.state_dict().keys() == twice.method.state_dict().keys()


def test_nothing_is_kept_within_a_block():
    def kept(trained) -> int:
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.setdefault(t.data_ptr(), t.numel()) and t, lambda t: t
        ):
            trained.method.loss(trained.feed.batch(0, 0), "model")
        return sum(sizes.values())

    assert kept(resnet(recompute="true")) < 0.6 * kept(resnet())


def test_blocks_are_the_innermost_in_a_row_of_blocks():
    layer = lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    inner = [layer(), layer()]
    net = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([nn.Sequential(*inner), layer()]), nn.ReLU())
    assert {*map(id, blocks(net))} == {*map(id, [*inner, net[1][1]])}
    with pytest.raises(DeepenError, match="linear has no blocks. Expected a network of blocks"):
        recompute(nn.Linear(2, 2))


PEAK = """
import sys, torch
from torch import nn
from deepen.training.recompute import recompute

def memory(which):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(which))

torch.set_num_threads(1)
convolution = lambda: [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
net = nn.Sequential(*(nn.Sequential(*convolution(), *convolution()) for _ in range(8)))
if sys.argv[1] == "true":
    recompute(net)
items = torch.randn(256, 32, 16, 16)
before = memory("VmRSS")
net(items).sum().backward()
print(memory("VmHWM") - before)
"""


@pytest.mark.slow
def test_the_measured_peak_is_lower():
    """Of the process. Large blocks are given back as they are freed, so that it is theirs and not the allocator's."""
    settings = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    peaks = []
    for word in ("false", "true"):
        command = [sys.executable, "-c", PEAK, word]
        done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < 0.75 * peaks[0], peaks
