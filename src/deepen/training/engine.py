"""The loop. It knows no method: a method says what to minimise, the engine alone scales, goes backward, clips,
accumulates, sums over processes, steps, averages, saves and recovers, for every player.

A step is one round of the players. A batch is passed from player to player; one that comes a second time within the
round gets a new batch. Randomness inside a step is a function of (seed, step, turn), order and augmentation of
(seed, epoch, batch): nothing random is left to save, and a run that was killed goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from deepen.config import Train
from deepen.data.data import Data, generator_of, seed_of
from deepen.data.feeds import share
from deepen.errors import DeepenError
from deepen.machine import out_of_memory
from deepen.metrics import higher_is_better
from deepen.store.run import Run
from deepen.training import recovery
from deepen.training.incidents import NotFinite, Signals, Spike
from deepen.training.method import Method
from deepen.training.schedules import rate
from deepen.training.state import Player, State, Training
from deepen.training.validate import metrics_of

ANCHOR = 2000  # steps: where an epoch is longer, there is a place to roll back to within it
AS_IT_IS = contextlib.nullcontext()
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Observer(Protocol):
    """Who watches a training."""

    def step(self, engine: Engine) -> None: ...

    def epoch(self, engine: Engine, row: dict[str, Any]) -> None: ...


class Engine(Training):
    """Runs a training from where it is to its end."""

    def __init__(
        self, method: Method, data: Data, train: Train, run: Run | None = None, observer: Observer | None = None
    ) -> None:
        super().__init__(method, data, train, run)
        self.observer = observer
        self.precision = PRECISIONS[train.precision]

    # ---------------------------------------------------------------- the loop

    def fit(self) -> State:
        """Train to the end, or until a signal; returns the state. The kept weights are then in the method's product."""
        self.method.train()
        if self.run and not self.run.checkpoints():
            self.save(anchor=True)
        with Signals() as signals:
            if not self.state.step:
                self.probe.look()
            while not self.state.done:
                before = self.state.step
                self._advance()
                if self.observer:
                    self.observer.step(self)
                due = time.monotonic() - self._saved > self.train.checkpoint_seconds
                number, save = self.processes.most(signals.received, due)
                if self.state.step > before:  # else it was rolled back, and saved
                    self._keep(bool(number or save))
                if number and not self.state.done:
                    raise signals.stop(self.run, int(number))
        if self.processes.first:
            self.keep_best()
        return self.state

    def _keep(self, asked: bool) -> None:
        """After a step: the end of an epoch, a checkpoint where the clock or a signal asked for one, or nothing."""
        step = self.state.step
        ended, anchor = step % self.epoch_steps == 0 or step >= self.total, step % ANCHOR == 0
        if not (ended or anchor or asked):
            return
        if not self.sound():
            recovery.recover(self, recovery.guilty(self))
        elif ended:
            self._end_epoch()
        else:
            self.save(anchor=anchor and not self.state.high)

    def _advance(self) -> None:
        if self.state.step not in self.state.skip:
            try:
                self._round()
                self.state.bad = 0
            except NotFinite as bad:
                recovery.recover(self, bad)
                return
        self.state.step += 1

    def _round(self) -> None:
        """One step: every player's turn."""
        had: set[str] = set()
        drawn = self.state.step * self.batches
        for turn, name in enumerate(self.method.players):
            if name in had:
                drawn, had = drawn + 1, set()
            had.add(name)
            self._turn(self.players[name], turn, *divmod(drawn, len(self.feed)))
        if self.average is not None:
            self.average.after_step()

    def _turn(self, player: Player, turn: int, epoch: int, k: int) -> None:
        """One player's update on one batch; none where it has nothing to learn by gradients."""
        if not player.optimizer.parameters:
            return
        self.method.before(player.name)
        while True:
            try:
                loss = self._gradients(player, turn, epoch, k)
                break
            except (RuntimeError, MemoryError) as problem:
                if not out_of_memory(problem) or not recovery.shrink(self, epoch, k, problem):
                    raise
        value = loss.item()  # a wait for the device; on a GPU it overlaps with the queued backward
        if not math.isfinite(value):
            player.optimizer.zero_grad()
            raise NotFinite("loss", player.name, self.state.step, epoch, k)
        if len(self.players) == 1 and recovery.spikes(self, value):  # rivals' losses may go anywhere
            player.optimizer.zero_grad()
            raise Spike("loss spike", player.name, self.state.step, epoch, k)
        if self._unscaled(player, epoch, k):
            self.state.settled = player.optimizer.settled
            player.optimizer.step(self._rate(self.state.step) * self.method.pace(player.name))
        player.optimizer.zero_grad()
        player.loss += loss
        player.turns += 1
        self.method.after(player.name)

    def _gradients(self, player: Player, turn: int, epoch: int, k: int) -> Tensor:
        """Gradients of the whole batch's mean loss, in as many parts as memory asks for; returns the loss."""
        rank, world = self.processes.rank, self.processes.world
        everything, wanted = self.feed.items(epoch, k), self.train.accumulate * self.state.parts
        mine = share(everything, rank, world)  # whatever the number of parts: it may differ from process to process
        parts = min(wanted, mine.stop - mine.start)
        joint = self.norms if self.norms.norms and everything >= world else AS_IT_IS
        if self.norms.norms:
            # they exchange sums in every part: as many parts everywhere, or the first process works alone
            parts, world = (min(wanted, everything // world), world) if everything >= world else (int(rank == 0), 1)
        pieces = parts * world
        total: Tensor | None = None
        for piece in range(rank * parts, (rank + 1) * parts):
            self._reseed(turn, piece)
            batch = self.feed.batch(epoch, k, piece, pieces)
            with self._alone(player), joint, self._noisy(player, turn) if self.train.weight_noise else AS_IT_IS:
                with self._autocast():
                    loss = self.loss(batch, player.name)
                if pieces > 1:
                    loss = loss * (batch.items / everything)
                # within, because what is computed a second time here must be so in the same way
                (loss * self.state.scale if self.precision == torch.float16 else loss).backward()
            total = loss.detach() if total is None else total + loss.detach()
        if total is None:  # more processes than items: nothing was left for this one
            total = torch.zeros((), device=self.data.device)
        self.processes.sum_gradients(player.optimizer.parameters, total)
        return total

    def _rate(self, step: int) -> float:
        """The learning rate of a step."""
        factor = rate(self.schedule, step, self.total, self.train.warmup, self.state.figures)
        return self.lr * self.state.rate * factor

    def _reseed(self, turn: int, piece: int) -> None:
        """Dropout and noise of this step, whatever ran before."""
        seed = seed_of(self.train.seed, self.state.step, turn, piece)
        torch.default_generator.manual_seed(seed)
        if self.data.device != "cpu":
            torch.cuda.manual_seed(seed)

    def _autocast(self) -> Any:
        full = self.precision == torch.float32
        return AS_IT_IS if full else torch.autocast(self.data.device, self.precision)

    @contextlib.contextmanager
    def _noisy(self, player: Player, turn: int) -> Iterator[None]:
        """Within it the weights have noise on them, the same in all parts of a step."""
        weights = [p for p in player.optimizer.parameters if p.ndim > 1]
        kept = [p.detach().clone() for p in weights]
        draw = generator_of(self.train.seed, self.state.step, turn)
        with torch.no_grad():
            for p in weights:
                noise = torch.randn(p.shape, generator=draw).to(p.device)
                p.add_(noise * p.std(correction=0) * self.train.weight_noise)
        try:
            yield
        finally:
            with torch.no_grad():
                for p, value in zip(weights, kept):
                    p.copy_(value)

    def _alone(self, player: Player) -> Any:
        return only(player.optimizer.parameters, self.method) if len(self.players) > 1 else AS_IT_IS

    def _unscaled(self, player: Player, epoch: int, k: int) -> bool:
        """Undo the loss scale and clip. False: half-precision gradients overflowed, the step is left out."""
        if self.precision != torch.float16 and self.train.clip is None:
            return True
        gradients = player.optimizer.gradients()
        if self.precision == torch.float16:
            torch._foreach_mul_(gradients, 1 / self.state.scale)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self.precision == torch.float16:
            fine = bool(torch.isfinite(norm))
            self.state.scale *= 2 ** (1 / 2000) if fine else 0.5  # doubles in 2,000 good steps, as GradScaler does
            if not fine:
                return False
        elif not torch.isfinite(norm):
            player.optimizer.zero_grad()
            raise NotFinite("gradient", player.name, self.state.step, epoch, k)
        if self.train.clip is not None:
            torch._foreach_mul_(gradients, (self.train.clip / (norm + 1e-6)).clamp(max=1))
        return True

    # ---------------------------------------------------------------- epochs

    def _end_epoch(self) -> None:
        state = self.state
        self.method.after_epoch()
        progress = state.step / self.total
        if self.average is not None:
            self.average.after_epoch(progress)
        row: dict[str, Any] = {"step": state.step, "epoch": round(state.step / self.epoch_steps, 3)}
        for player in self.players.values():
            row["train_loss" if len(self.players) == 1 else f"{player.name}_loss"] = float(
                player.loss / player.turns.clamp(min=1)
            )
            player.loss.zero_()
            player.turns.zero_()
        row["lr"] = self._rate(state.step - 1)
        figures = self.validate("val") if self.processes.first else {}
        row.update({f"val_{name}": value for name, value in self.processes.share(figures).items()})
        better = self._judge(row)
        self.probe.after_epoch()
        state.done = (
            state.settled
            or state.step >= self.total
            or (self.train.patience is not None and state.waited >= self.train.patience)
        )
        if self.run and self.processes.first:
            state.metrics = self.run.append("metrics.jsonl", row)
        self.save(best=better, anchor=not state.high)
        if self.observer and self.processes.first:
            self.observer.epoch(self, row)

    def _judge(self, row: dict[str, Any]) -> bool:
        """Whether these are the best weights so far."""
        if self.monitor not in row:
            known = ", ".join(row)
            raise DeepenError("train.monitor", "train.monitor", f"no figure {self.monitor!r}", f"one of {known}")
        value, state = row[self.monitor], self.state
        sign = 1 if higher_is_better(self.monitor) else -1
        state.figures.append(sign * value)
        better = math.isfinite(value) and (state.best is None or sign * (value - state.best) > self.train.min_delta)
        if better:
            state.best, state.best_step, state.waited = value, state.step, 0
        else:
            state.waited += 1
        return better

    def validate(self, part: str) -> dict[str, float]:
        """Figures on a part of the data, under the averaged weights where there are any."""
        with self.averaged():
            self.method.eval()
            own = self.method.metrics(self.data, part)
            found = own if own is not None else metrics_of(self.packaged, self.data, part) if self.kind else {}
            self.method.train()
        return found


@contextlib.contextmanager
def only(parameters: list[Tensor], method: nn.Module) -> Iterator[None]:
    """Within it, only these parameters of a method collect gradients: the others' turn comes later."""
    mine = {id(p) for p in parameters}
    others = [p for p in method.parameters() if p.requires_grad and id(p) not in mine]
    for p in others:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in others:
            p.requires_grad_(True)
