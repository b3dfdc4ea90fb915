"""deepen: its engine with its own data path, built from a file of arrays as `deepen.train` builds it."""

import tempfile
from pathlib import Path

import deepen  # noqa: F401  (sets how threads wait, before torch loads)

import numpy as np  # isort: skip
import torch  # isort: skip

from benchmarks import work  # isort: skip
from benchmarks.turns import Turns  # isort: skip


class Watch:
    """Gives the turn away between steps."""

    def __init__(self, block: int) -> None:
        self.turns = Turns(block)

    def step(self, engine: object) -> None:
        self.turns.step()

    def epoch(self, engine: object, row: dict) -> None:
        self.row = row


def build(task: work.Task, folder: str, observer: Watch | None = None) -> object:
    """The engine as the verb builds it, with the first weights all contenders have."""
    from deepen import config, registry
    from deepen.data.prepare import prepare
    from deepen.training import plan
    from deepen.training.assemble import build

    data = work.pictures(task.batch * task.steps)
    path = Path(folder) / "digits.npz"
    parts = {"x_train": data.x, "y_train": data.y, "x_val": data.test_x, "y_val": data.test_y}
    np.savez(path, **parts, x_test=data.test_x[:100], y_test=data.test_y[:100])
    settings = config.from_target(str(path), {
        "model": "lenet", "epochs": 1, "seed": task.seed, "batch_size": task.batch, "optimizer": "sgd", "lr": work.LR,
        "momentum": work.MOMENTUM, "weight_decay": work.DECAY, "schedule": "constant", "warmup": 0,
        "augment": f"[{{name: crop, padding: {work.PADDING}}}, {{name: flip, p: {work.FLIP}}}]",
        **({"threads": task.threads} if task.threads else {}),
    })  # fmt: skip
    prepared = prepare(registry.build("sources", settings.data).read(), settings)
    engine = build(plan.complete(settings, prepared), prepared, None, observer)
    with torch.no_grad():
        for mine, first in zip(engine.method.parameters(), work.network(task.seed).parameters(), strict=True):
            mine.copy_(first)
    return engine


def main() -> None:
    task = work.task()
    with tempfile.TemporaryDirectory() as folder:
        engine = build(task, folder)
    assert engine.total == task.steps
    engine.observer = Watch(task.block)
    engine.fit()
    engine.observer.turns.finish(engine.observer.row["val_accuracy"])


if __name__ == "__main__":
    main()
