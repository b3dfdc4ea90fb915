"""What the engine costs: against the best hand-written loop, and against a batch that never changes."""

from __future__ import annotations

from benchmarks.pairs import Contender, Row, alternate, shown

SIZES = {128: (15, 0.03), 8: (150, 0.10)}  # batch -> steps to a turn, how much slower than by hand is allowed
TURNS = 8
NAMES = ("engine", "hand", "floor", "feed")


def rows(pairs: int) -> list[Row]:
    """LeNet-5 on 28 x 28 pictures; contenders in turn, one thread each."""
    return [row for batch in SIZES for row in of_batch(batch, pairs)]


def of_batch(batch: int, pairs: int) -> list[Row]:
    """CPU time per step of deepen's engine over the hand-written loop's and over the floor's."""
    block, slower = SIZES[batch]
    results = []
    for seed in range(pairs):
        task = {"batch": batch, "steps": block * TURNS, "block": block, "threads": 1, "seed": seed}
        results.append(alternate([Contender(name, task) for name in NAMES], TURNS))
    cpu = {name: [result[name]["cpu"] for result in results] for name in NAMES}
    learnt = {name: shown([result[name]["accuracy"] for result in results]) for name in ("engine", "hand")}
    note = f"accuracy {learnt['engine']}, by hand {learnt['hand']}"
    found = [Row(
        f"engine, batch {batch}: CPU time over the best hand-written loop",
        [a / b for a, b in zip(cpu["engine"], cpu["hand"])], "x", f"<= {1 + slower:.2f}x", lambda v: v <= 1 + slower, note,
    )]  # fmt: skip
    if batch == 128:
        steps = block * (TURNS - 1)
        found += [
            Row("engine, batch 128: CPU time over the fixed-batch floor",
                [a / b for a, b in zip(cpu["engine"], cpu["floor"])], "x", "<= 1.08x", lambda v: v <= 1.08,
                "gather, crop, flip, normalise on"),
            Row("input pipeline, per 128 pictures", [1000 * a / steps for a in cpu["feed"]], "ms", "<= 1.5 ms",
                lambda v: v <= 1.5, "one core"),
        ]  # fmt: skip
    return found
