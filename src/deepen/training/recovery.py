"""How a training goes on after a step that went wrong: skip, lower the rate, roll back, split the batch; then give up.

not finite once            the step is left out
twice in a row             the rate is halved too
three times, or in weights back to the last anchor, the rate halved, the bad steps left out this time
more often than allowed    stop, naming the items at fault
loss far above what it was for three steps: back likewise; more often than allowed: go on as it is
out of memory              the same batch in twice as many parts
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from deepen.data.feeds import share
from deepen.errors import DeepenError
from deepen.training.incidents import NotFinite

RECENT, FEWEST = 100, 20  # losses that say what is usual; how many must be known
FAR = 3.0
LASTING = 3  # steps

if TYPE_CHECKING:
    from deepen.training.engine import Engine


def recover(engine: Engine, bad: NotFinite) -> None:
    """Skip the step; the second time in a row lower the rate too; then, or when the weights are hurt, roll back."""
    state = engine.state
    if engine.weights_broken():
        bad = guilty(engine)
    hurt = not engine.sound()
    state.bad += bad.steps
    state.recoveries += 1
    if state.recoveries > engine.incidents.budget:
        raise engine.incidents.spent(bad, *suspects(engine, bad, hurt))
    if state.bad < 3 and not hurt:
        state.rate *= 0.5 if state.bad == 2 else 1.0
        engine.note("skipped" if state.bad == 1 else "skipped, rate halved", **bad.document())
        state.step += 1
    else:
        _roll_back(engine, bad)


def spikes(engine: Engine, loss: float) -> bool:
    """Whether the loss is far above what it was, for the third step in a row. A single bad batch is left alone.

    Far above: three times as far from the median of the last hundred losses as any of them, and by more than all that
    the training has gained. An outlier of the data or a step up in an easy task is not that much.
    """
    state = engine.state
    if not engine.kept or state.recoveries >= engine.incidents.budget:
        return False
    if state.first is not None and loss > max(state.recent):
        usual = sorted(state.recent)[len(state.recent) // 2]
        apart = max(FAR * (max(state.recent) - usual), state.first - usual, abs(usual) / 2)
        if loss > usual + apart:
            state.high += 1
            return state.high == LASTING
    state.high = 0
    state.recent = [*state.recent, loss][-RECENT:]
    if state.first is None and len(state.recent) == FEWEST:
        state.first = sorted(state.recent)[FEWEST // 2]
    return False


def _roll_back(engine: Engine, bad: NotFinite) -> None:
    """To the last anchor, with a lower rate, leaving out the bad steps this time."""
    old = engine.state
    window = range(bad.step - old.bad + 1, bad.step + 1)
    if not engine.back():
        raise DeepenError(
            "train.diverged", f"step {old.step}", f"{bad.what} not finite and nothing was saved to go back to",
            "", "lower train.lr",
        )  # fmt: skip
    state = engine.state
    state.recoveries, state.rate, state.incidents = old.recoveries, old.rate * 0.5, old.incidents
    state.skip = sorted({*old.skip, *window})
    state.probes = [probe for probe in old.probes if probe["step"] <= state.step]
    engine.note("rolled back", to=state.step, **bad.document())
    engine.save(anchor=True)


def guilty(engine: Engine) -> NotFinite:
    """Weights that are not finite are the work of the last step that was not left out."""
    step = engine.state.step - 1
    while step in engine.state.skip:
        step -= 1
    return NotFinite("weights", engine.method.players[0], step, *divmod(step * engine.batches, len(engine.feed)))


def suspects(engine: Engine, bad: NotFinite, hurt: bool) -> tuple[list[str], int]:
    """Of a bad batch, the items that alone give a loss or gradient that is not finite (all, where none does)."""
    if hurt:
        engine.back()
    names, items = engine.feed.names(bad.epoch, bad.k), engine.feed.items(bad.epoch, bad.k)
    found: list[str] = []
    player = engine.players[bad.player]
    engine.method.eval()  # an item alone has no batch statistics
    for i in range(items if engine.method.separable else 0):
        loss = engine.method.loss(engine.feed.batch(bad.epoch, bad.k, i, items), bad.player)
        loss.backward()
        values = [loss, *player.optimizer.gradients()]
        if not all(bool(torch.isfinite(v).all()) for v in values):
            found += names[share(len(names), i, items)]
        player.optimizer.zero_grad()
    engine.method.train()
    return found or names, len(names)


def shrink(engine: Engine, epoch: int, k: int, problem: BaseException) -> bool:
    """Twice as many parts of half the size after an out-of-memory; the effective batch stays."""
    for player in engine.players.values():
        player.optimizer.zero_grad()
    if engine.norms.norms:  # in the middle of an exchange with others, who would wait for ever
        raise DeepenError(
            "train.memory", f"step {engine.state.step}", "out of memory with batch norm over several processes",
            "a batch that fits", "train.batch_size=..., train.accumulate=..., or train.joint_norms=false",
        ) from problem  # fmt: skip
    parts = engine.state.parts * engine.train.accumulate * engine.processes.world
    if not engine.method.separable or parts >= engine.feed.items(epoch, k):
        raise DeepenError(
            "train.memory", f"step {engine.state.step}", "out of memory",
            "a batch that fits" if engine.method.separable else "this method cannot split a batch: a smaller batch_size", "train.batch_size=...",
        ) from problem  # fmt: skip
    engine.state.parts *= 2
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in engine.method.modules())
    engine.note(
        "out of memory: batches in more parts",
        parts=engine.state.parts,
        **({"warning": "batch norm sees smaller batches"} if norms else {}),
    )
    return True
