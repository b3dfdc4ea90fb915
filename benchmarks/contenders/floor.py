"""The floor: forward, backward and the fused step on one batch that is never changed."""

import torch
from torch.nn import functional as F

from benchmarks import work
from benchmarks.turns import Turns


def main() -> None:
    task = work.task()
    data = work.pictures(task.batch * task.steps)
    net = work.network(task.seed, best=True)
    step = work.optimizer(net, fused=True)
    x = (torch.from_numpy(data.x[: task.batch])[:, None].float() - data.mean) / data.deviation
    y = torch.from_numpy(data.y[: task.batch])
    turns = Turns(task.block)
    for _ in range(task.steps):
        F.cross_entropy(net(x), y).backward()
        step.step()
        step.zero_grad()
        turns.step()
    turns.finish(work.accuracy(net, data))


main()
