"""Batch norm over two processes is batch norm over their items together: answers, gradients, running statistics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from deepen.training.norms import JointNorms

ROOT = Path(__file__).parents[2]
PROGRAM = """
import copy, sys
import torch
from torch import nn
from deepen.training.norms import JointNorms
from deepen.training.processes import Processes

torch.set_num_threads(1)
processes = Processes()
rank = processes.rank
for shape, kind, momentum, affine in [
    ((7, 3), nn.BatchNorm1d, 0.1, True), ((7, 3, 5), nn.BatchNorm1d, None, True),
    ((7, 3, 4, 5), nn.BatchNorm2d, 0.3, True), ((7, 3, 2, 2, 2), nn.BatchNorm3d, 0.1, False),
]:
    generator = torch.Generator().manual_seed(1)
    whole = torch.nn.Sequential(kind(3, momentum=momentum, affine=affine))
    for p in whole.parameters():
        p.data = torch.rand(p.shape, generator=generator) + 0.5
    mine = copy.deepcopy(whole)
    norms = JointNorms(mine, processes, True)
    part = slice(0, 5) if rank == 0 else slice(5, 7)
    for step in range(3):
        items = torch.randn(shape, generator=generator) * 3 + 100
        pull = torch.randn(shape, generator=generator)
        given, own = items.clone().requires_grad_(), items[part].clone().requires_grad_()
        expected = whole(given)
        (expected * pull).sum().backward()
        with norms:
            found = mine(own)
        (found * pull[part]).sum().backward()
        close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        close(found, expected[part])
        close(own.grad, given.grad[part])
        for a, b in zip(mine.parameters(), whole.parameters()):
            total = a.grad.clone()
            processes.sum([total])
            close(total, b.grad)
        for (name, a), (_, b) in zip(mine.named_buffers(), whole.named_buffers()):
            close(a, b)
        mine.zero_grad()
        whole.zero_grad()
    outside = mine(items[part])
    assert not torch.allclose(outside, whole(items)[part], atol=1e-3), "outside each looks at its own"
    mine.eval()
    whole.load_state_dict(mine.state_dict())
    whole.eval()
    with norms:
        assert torch.equal(mine(items[part]), whole(items[part])), "not while it is evaluated"
assert not JointNorms(nn.BatchNorm1d(2), processes, False).norms
processes.close()
print("equal")
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT / "src")}
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "program.py")]
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["equal", "equal"]


class Twins:
    """Two processes of which one is here; the other holds the same items, each once or twice: a sum is so many times."""

    world = 2

    def __init__(self, times: int) -> None:
        self.times = times

    def sum(self, tensors: list[torch.Tensor]) -> None:
        for tensor in tensors:
            tensor.mul_(self.times)


@pytest.mark.parametrize("times", [2, 3])
def test_processes_with_the_same_items_equal_one_with_all_of_them_as_often(times):
    """Without any process: how many there are of an item shows in the running variance alone."""
    torch.manual_seed(0)
    mine, whole = nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.BatchNorm2d(3))
    items, pull = (torch.randn(5, 3, 2, 2) * 3 + 7).requires_grad_(), torch.randn(5, 3, 2, 2)
    together = torch.cat([items] * times).detach().requires_grad_()
    expected = whole(together)
    (expected * torch.cat([pull] * times)).sum().backward()
    with JointNorms(mine, Twins(times), True):  # type: ignore[arg-type]
        found = mine(items)
    (found * pull).sum().backward()
    torch.testing.assert_close(found, expected[:5])
    torch.testing.assert_close(items.grad, together.grad[:5])
    for (name, a), (_, b) in zip(mine.named_buffers(), whole.named_buffers()):
        torch.testing.assert_close(a, b, msg=name)
