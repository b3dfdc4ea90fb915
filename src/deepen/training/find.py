"""Learning rate, batch size and parts of a batch found by trying, on networks that are thrown away.

    rate   one step at each of a hundred rates, from 1e-6 up, ten times as large every 17 steps; the rate is a tenth of the
           one at which the smoothed loss was lowest before it ran away
    batch  twice as many items until memory is out, an epoch has too few steps, or a second takes in hardly more items; of
           those the smallest that is nearly as fast as the fastest

    parts  as few as keep the peak of memory in a step below a limit; tried from many to few, as freed memory is not always
           given back

Paper    rate: Smith 2017, arXiv:1506.01186, section 3.3; the tenth is fast.ai's rule.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from deepen.console import say
from deepen.errors import DeepenError
from deepen.machine import out_of_memory
from deepen.training import plan
from deepen.training.assemble import build
from deepen.training.engine import Engine

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
MEMORY = 0.9  # of the smoothed loss
AWAY = 4.0  # times the lowest loss: it ran away
SMALLEST, LARGEST = 8, 4096  # items
FEWEST = 8  # steps in an epoch
TIMED = 4  # steps of each size; the first warms up
NEARLY = 0.9  # of the fastest


def found(config: Any, prepared: Any) -> Any:
    """The configuration with what is to be found by trying: a batch size, then a learning rate for it."""
    wanted = [name for name in ("batch_size", "lr") if name in config.train.find]
    if wanted:
        _alone("find")
    for name in wanted:
        if (given := getattr(config.train, name)) is not None:
            say(f"note     train.{name} {given:g} is not used: train.find looks for it")
    config = replace(config, train=replace(config.train, find=(), **dict.fromkeys(wanted)))
    for name in wanted:
        trial = plan.complete(config, prepared)

        def of_size(size: int, trial: Any = trial) -> Any:
            return build(replace(trial, train=replace(trial.train, batch_size=size)), prepared, None)

        if name == "lr":
            value: Any = rate(build(trial, prepared, None))
        else:
            value, tried = batch_size(of_size, len(prepared.parts["train"]))
            say("tried    " + ", ".join(f"{one.size}: {one.speed:,.0f} items a second" for one in tried))
        say(f"found    {name} {value:g}")
        config = replace(config, train=replace(config.train, **{name: value}))
    limit = config.train.max_memory
    if limit is not None:
        _alone("max_memory")
        trial = plan.complete(replace(config, train=replace(config.train, max_memory=None)), prepared)
        value = parts(
            lambda count: build(replace(trial, train=replace(trial.train, accumulate=count)), prepared, None),
            trial.train.batch_size or 1, limit,
        )  # fmt: skip
        say(f"found    accumulate {value}, for at most {limit:g} GiB")
        config = replace(config, train=replace(config.train, max_memory=None, accumulate=value))
    return config


def _alone(setting: str) -> None:
    """What is found by trying is found in one process."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise DeepenError(
            "train.find",
            f"train.{setting}",
            "several processes",
            "one process",
            "find it there, then set what was found",
        )


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


def parts(build: Callable[[int], Engine], size: int, limit: float) -> int:
    """In how many parts a batch of `size` items stays below `limit` GiB; `build` gives an engine for a number of parts."""
    found = None
    count = 2 ** (size - 1).bit_length()
    while count >= 1:
        taken = _peak(build, min(count, size))
        if taken is None or taken > limit * 2**30:
            break
        found, count = min(count, size), count // 2
    if found is None:
        need = "more than there is" if taken is None else f"{taken / 2**30:.2f} GiB"
        raise DeepenError(
            "train.memory", "train.max_memory", f"{limit:g} GiB", f"{need}: that is what a step of single items takes",
            "a higher limit, train.recompute=true, or a smaller network",
        )  # fmt: skip
    return found


def _peak(build: Callable[[int], Engine], count: int) -> int | None:
    """Bytes of memory, of the process or on the GPU, at the most in a step; None where it does not suffice."""
    try:
        engine = build(count)
        engine.method.train()
        player = next(iter(engine.players.values()))
        clear_peak(engine.data.device)
        engine._gradients(player, 0, 0, 0)
        player.optimizer.step(0.0)
        player.optimizer.zero_grad()
        return peak(engine.data.device)
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        return None


def clear_peak(device: str) -> None:
    """Forget the highest use of memory so far."""
    import torch

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as problem:
        raise DeepenError(
            "train.memory", "train.max_memory", "this system does not tell the peak of memory", "Linux or a GPU",
            "train.accumulate=..., by hand",
        ) from problem  # fmt: skip


def peak(device: str) -> int:
    """Bytes, the highest use of memory since `clear_peak`."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


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
