"""Learning rate and batch size found by trying, on networks that are thrown away.

    rate   one step at each of a hundred rates, from 1e-6 up, ten times as large every 17 steps; the rate is a tenth of the
           one at which the smoothed loss was lowest before it ran away
    batch  twice as many items until memory is out, an epoch has too few steps, or a second takes in hardly more items; of
           those the smallest that is nearly as fast as the fastest

Paper    rate: Smith 2017, arXiv:1506.01186, section 3.3; the tenth is fast.ai's rule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from deepen.errors import DeepenError
from deepen.machine import out_of_memory

if TYPE_CHECKING:
    from deepen.training.engine import Engine

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
MEMORY = 0.9  # of the smoothed loss
AWAY = 4.0  # times the lowest loss: it ran away
SMALLEST, LARGEST = 8, 4096  # items
FEWEST = 8  # steps in an epoch
TIMED = 4  # steps of each size; the first warms up
NEARLY = 0.9  # of the fastest


def rate(engine: Engine) -> float:
    """The learning rate for a fresh engine, which is of no use afterwards."""
    if len(engine.players) > 1 or not next(iter(engine.players.values())).optimizer.parameters:
        raise DeepenError(
            "train.find",
            "train.find",
            "lr",
            "one network that learns by gradients: no single loss says which rate is best here",
            "train.lr=1e-3",
        )
    (player,) = engine.players.values()
    engine.method.train()
    lowest, best, mean = math.inf, LOWEST, 0.0
    for i in range(STEPS + 1):
        lr = LOWEST * (HIGHEST / LOWEST) ** (i / STEPS)
        loss = float(engine._gradients(player, 0, *divmod(i, len(engine.feed))))
        mean = MEMORY * mean + (1 - MEMORY) * loss
        smooth = mean / (1 - MEMORY ** (i + 1))
        if not math.isfinite(smooth) or (i > STEPS // 10 and smooth > AWAY * lowest):
            break
        if smooth < lowest:
            lowest, best = smooth, lr
        engine.method.before(player.name)
        player.optimizer.step(lr)
        player.optimizer.zero_grad()
        engine.method.after(player.name)
        engine.state.step += 1
    return float(f"{best / 10:.2g}")


class Tried(NamedTuple):
    """A batch size and how many items a second it takes in."""

    size: int
    speed: float


def batch_size(build: Callable[[int], Engine], count: int) -> tuple[int, list[Tried]]:
    """The batch size for `count` training items, and all that were tried; `build` gives an engine for a size."""
    tried: list[Tried] = []
    size = SMALLEST
    while size <= LARGEST and (not tried or size * FEWEST <= count):
        speed = _speed(build, size)
        if speed is None:
            break
        tried.append(Tried(size, speed))
        if len(tried) > 2 and tried[-1].speed < 1.05 * tried[-3].speed:
            break
        size *= 2
    if not tried:
        raise DeepenError(
            "train.memory", "train.batch_size", f"out of memory with {SMALLEST} items", "a network that fits",
            "a smaller network, or train.batch_size=1",
        )  # fmt: skip
    fastest = max(one.speed for one in tried)
    return next(one.size for one in tried if one.speed >= NEARLY * fastest), tried


def _speed(build: Callable[[int], Engine], size: int) -> float | None:
    """Items a second in steps of this size; None where memory does not suffice."""
    try:
        engine = build(size)
        engine.method.train()
        times = []
        for i in range(TIMED):
            start = time.monotonic()
            for turn, name in enumerate(dict.fromkeys(engine.method.players)):
                player = engine.players[name]
                if player.optimizer.parameters:
                    float(engine._gradients(player, turn, *divmod(i, len(engine.feed))))
                    player.optimizer.step(0.0)
                    player.optimizer.zero_grad()
            times.append(time.monotonic() - start)
            engine.state.step += 1
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        return None
    return engine.feed.items(0, 0) / min(times[1:])
