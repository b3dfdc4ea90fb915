"""The same by hand, without checkpoints or validation."""

import os

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import work
from benchmarks.turns import peak, tell

torch.set_num_threads(1)
with np.load(os.environ["BENCHMARK_FILE"]) as file:
    x, y = file["x_train"], torch.from_numpy(file["y_train"])
views = work.windows(x)
net = work.network(0)
step = work.optimizer(net, fused=True)
for rows in torch.randperm(len(y)).split(128):
    dy, dx = torch.randint(0, 2 * work.PADDING + 1, (2, len(rows)))
    images = views[rows, dy, dx]
    images = torch.where((torch.rand(len(rows)) < work.FLIP)[:, None, None], images.flip(2), images)
    F.cross_entropy(net(images[:, None].float().sub_(33).mul_(1 / 78)), y[rows]).backward()
    step.step()
    step.zero_grad()
tell(peak_mib=peak())
