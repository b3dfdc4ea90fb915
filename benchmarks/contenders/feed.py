"""deepen's input pipeline alone: gather, crop, flip, normalise; a step is one batch."""

import tempfile

from benchmarks import work
from benchmarks.contenders.engine import build
from benchmarks.turns import Turns


def main() -> None:
    task = work.task()
    with tempfile.TemporaryDirectory() as folder:
        engine = build(task, folder)
    turns = Turns(task.block)
    for k in range(task.steps):
        engine.feed.batch(0, k)
        turns.step()
    turns.finish(0.0)


main()
