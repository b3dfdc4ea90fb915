"""The loop of PyTorch's tutorials: a DataLoader over pictures changed one by one, the loss read at every step."""

from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks import work
from benchmarks.contenders.pictures_one_by_one import Digits
from benchmarks.turns import Turns


def main() -> None:
    task = work.task()
    data = work.pictures(task.batch * task.steps)
    net = work.network(task.seed)
    optimizer = work.optimizer(net)
    loader = DataLoader(Digits(data), task.batch, shuffle=True)
    running = 0.0
    turns = Turns(task.block)
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
        turns.step()
    turns.finish(work.accuracy(net, data))


main()
