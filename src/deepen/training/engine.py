"""The loop. It knows no method: a method says what to minimise, the engine alone scales, goes backward, clips,
accumulates, sums over processes, steps, averages, saves and recovers, for every player.

A step is one round of the players. A batch is passed from player to player; one that comes a second time within the
round gets a new batch. Randomness inside a step is a function of (seed, step, turn), order and augmentation of
(seed, epoch, batch): nothing random is left to save, and a run that was killed goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from deepen.config import Train
from deepen.data.data import Data, seed_of
from deepen.data.feeds import share
from deepen.errors import DeepenError
from deepen.metrics import higher_is_better
from deepen.nn.heads import head
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.store import durable
from deepen.store.run import Run
from deepen.training import checkpoint
from deepen.training.average import Average, refresh_norms
from deepen.training.method import Method
from deepen.training.optimizers import Optimizer
from deepen.training.processes import Processes
from deepen.training.recovery import NotFinite, Recovery, Signals, out_of_memory
from deepen.training.schedules import rate
from deepen.training.validate import metrics_of

ANCHOR = 2000  # steps: where an epoch is longer, there is a place to roll back to within it
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class State:
    """Everything about a training that is not a tensor. Written into each checkpoint."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    parts: int = 1
    rate: float = 1.0
    scale: float = 65536.0
    recoveries: int = 0
    bad: int = 0
    skip: list[int] = field(default_factory=list)
    metrics: int = 0  # bytes of metrics.jsonl and incidents.jsonl that belong to this state
    incidents: int = 0
    done: bool = False


@dataclass
class Player:
    """Who learns: parameters, their optimizer, and the loss summed since the last report."""

    name: str
    optimizer: Optimizer
    loss: Tensor
    turns: Tensor


class Observer(Protocol):
    """Who watches a training."""

    def step(self, engine: Engine) -> None: ...

    def epoch(self, engine: Engine, row: dict[str, Any]) -> None: ...


class Engine:
    """Trains a method on data into a run (or, without one, in memory only)."""

    def __init__(
        self, method: Method, data: Data, train: Train, run: Run | None = None, observer: Observer | None = None
    ) -> None:
        self.method, self.data, self.train, self.run, self.observer = method.to(data.device), data, train, run, observer
        assert train.batch_size, "the plan fills in what the user left out"
        assert train.lr, "the plan fills in what the user left out"
        self.lr: float = train.lr
        self.feed = method.feed(data, train.batch_size, train.seed)
        self.processes = Processes()
        self.players = {name: self._player(name) for name in dict.fromkeys(method.players)}
        self.batches = max(method.players.count(name) for name in self.players)  # drawn in a step
        self.epoch_steps = max(1, len(self.feed) // self.batches)
        self.total = train.steps or (train.epochs or 1) * self.epoch_steps
        self.signature = method.signature(data.signature)
        self.kind = self.signature.answer if self.signature.outputs else None
        # rivals' losses do not say which weights are best: without a figure of its own a game keeps the last ones
        figure = f"val_{self.kind.metric}" if self.kind else "train_loss" if len(self.players) == 1 else "step"
        self.monitor = train.monitor or method.monitor or figure
        self.average = (
            Average(method.product(), train.average, train.average_decay) if train.average != "none" else None
        )
        normalise = data.normalise if self.signature.inputs == data.signature.inputs else Normalise(self.signature)
        last = head(self.kind) if self.kind else nn.Identity()
        self.packaged = Packaged(normalise, method.product(), last).to(data.device)
        self.state = State()
        self.recovery = Recovery(train.recoveries, run)
        self.precision = PRECISIONS[train.precision]
        self._saved = time.monotonic()
        if not method.separable and self.processes.world * train.accumulate > 1:
            raise DeepenError(
                "train.split",
                "train",
                f"{type(method).__name__} compares the items of a batch with each other",
                "one process and accumulate: 1",
            )
        self.processes.broadcast(list(method.state_dict().values()))

    def _player(self, name: str) -> Player:
        zero = torch.zeros((), device=self.data.device)
        return Player(name, Optimizer(list(self.method.learns(name)), self.train), zero, zero.clone())

    # ---------------------------------------------------------------- the loop

    def fit(self) -> State:
        """Train to the end, or until a signal; returns the state. The kept weights are then in the method's product."""
        self.method.train()
        if self.run and not self.run.checkpoints():
            self.save(anchor=True)
        with Signals() as signals:
            while not self.state.done:
                before = self.state.step
                self._advance()
                if self.observer:
                    self.observer.step(self)
                asked = signals.received
                if self.state.step > before:  # else it was rolled back, and saved
                    self._keep(bool(asked))
                if asked and not self.state.done:
                    raise signals.stop(self.run)
        self._keep_best()
        return self.state

    def _keep(self, asked: bool) -> None:
        """After a step: the end of an epoch, a checkpoint where one is due or asked for, or nothing."""
        step = self.state.step
        ended, anchor = step % self.epoch_steps == 0 or step >= self.total, step % ANCHOR == 0
        if not (ended or anchor or asked or time.monotonic() - self._saved > self.train.checkpoint_seconds):
            return
        if not self._sound():
            self._recover(self._broken())
        elif ended:
            self._end_epoch()
        else:
            self.save(anchor=anchor)

    def _advance(self) -> None:
        if self.state.step not in self.state.skip:
            try:
                self._round()
                self.state.bad = 0
            except NotFinite as bad:
                self._recover(bad)
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
        """One player's update on one batch."""
        self.method.before(player.name)
        while True:
            try:
                loss = self._gradients(player, turn, epoch, k)
                break
            except (RuntimeError, MemoryError) as problem:
                if not out_of_memory(problem) or not self._shrink(epoch, k, problem):
                    raise
        if not math.isfinite(loss.item()):  # a wait for the device; on a GPU it overlaps with the queued backward
            player.optimizer.zero_grad()
            raise NotFinite("loss", player.name, self.state.step, epoch, k)
        if self._unscaled(player, epoch, k):
            lr = self.lr * self.state.rate * rate(self.train.schedule, self.state.step, self.total, self.train.warmup)
            player.optimizer.step(lr)
        player.optimizer.zero_grad()
        player.loss += loss
        player.turns += 1
        self.method.after(player.name)

    def _gradients(self, player: Player, turn: int, epoch: int, k: int) -> Tensor:
        """Gradients of the whole batch's mean loss, in as many parts as memory asks for; returns the loss."""
        parts = self.train.accumulate * self.state.parts
        total: Tensor | None = None
        everything = self.feed.items(epoch, k)
        pieces = min(parts * self.processes.world, everything)
        for piece in range(self.processes.rank, pieces, self.processes.world):
            self._reseed(turn, piece)
            batch = self.feed.batch(epoch, k, piece, pieces)
            with self._alone(player), self._autocast():
                loss = self.method.loss(batch, player.name)
            if pieces > 1:
                loss = loss * (batch.items / everything)
            (loss * self.state.scale if self.precision == torch.float16 else loss).backward()
            total = loss.detach() if total is None else total + loss.detach()
        if total is None:  # more processes than items: nothing was left for this one
            total = torch.zeros((), device=self.data.device)
        if self.processes.world > 1:
            self.processes.sum([*player.optimizer.gradients(), total])
        return total

    def _reseed(self, turn: int, piece: int) -> None:
        """Dropout and noise of this step, whatever ran before."""
        seed = seed_of(self.train.seed, self.state.step, turn, piece)
        torch.default_generator.manual_seed(seed)
        if self.data.device != "cpu":
            torch.cuda.manual_seed(seed)

    def _autocast(self) -> Any:
        full = self.precision == torch.float32
        return contextlib.nullcontext() if full else torch.autocast(self.data.device, self.precision)

    def _alone(self, player: Player) -> Any:
        return only(player.optimizer.parameters, self.method) if len(self.players) > 1 else contextlib.nullcontext()

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
        row["lr"] = self.lr * state.rate * rate(self.train.schedule, state.step - 1, self.total, self.train.warmup)
        row.update({f"val_{name}": value for name, value in self.validate("val").items()})
        better = self._judge(row)
        state.done = state.step >= self.total or (
            self.train.patience is not None and state.waited >= self.train.patience
        )
        if self.run and self.processes.first:
            state.metrics = self.run.append("metrics.jsonl", row)
        self.save(best=better, anchor=True)
        if self.observer and self.processes.first:
            self.observer.epoch(self, row)

    def _judge(self, row: dict[str, Any]) -> bool:
        """Whether these are the best weights so far."""
        if self.monitor not in row:
            known = ", ".join(row)
            raise DeepenError("train.monitor", "train.monitor", f"no figure {self.monitor!r}", f"one of {known}")
        value, state = row[self.monitor], self.state
        sign = 1 if higher_is_better(self.monitor) else -1
        better = math.isfinite(value) and (state.best is None or sign * (value - state.best) > self.train.min_delta)
        if better:
            state.best, state.best_step, state.waited = value, state.step, 0
        else:
            state.waited += 1
        return better

    def validate(self, part: str) -> dict[str, float]:
        """Figures on a part of the data, under the averaged weights where there are any."""
        with self._averaged():
            self.method.eval()
            own = self.method.metrics(self.data, part)
            found = own if own is not None else metrics_of(self.packaged, self.data, part) if self.kind else {}
            self.method.train()
        return found

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The product under its averaged weights, batch norm measured anew where they are a mean over epochs."""
        if self.average is None or not self.average.ready:
            yield
            return
        with self.average.applied():
            if self.average.how == "swa":
                rows = self.data.parts["train"]
                refresh_norms(self.average.net, (self.data.inputs(r) for r in rows.split(self.train.batch_size or 128)))
            yield

    def _keep_best(self) -> None:
        """Load the best checkpoint and leave its weights (their average, where there is one) in the product."""
        if self.run and self.state.best_step != self.state.step:
            self._load_best()
        if self.average is not None and self.average.ready:
            with self._averaged():
                kept = {k: v.clone() for k, v in self.method.product().state_dict().items()}
            self.method.product().load_state_dict(kept)

    def _load_best(self) -> None:
        """The weights of the best checkpoint that is whole; where there is none, the last ones stay."""
        assert self.run
        for name in reversed(self.run.best_checkpoints()):
            data = self.run.load_checkpoint(name)
            if data is not None:
                checkpoint.unpack(data, self._tensors(), name)
                plain = checkpoint.state_of(data, name)
                self.state.best, self.state.best_step = plain["best"], plain["best_step"]
                return
            self._note("a damaged checkpoint was passed over", checkpoint=name)
        self._note("no best checkpoint can be read: the last weights are kept", step=self.state.step)
        self.state.best_step = self.state.step

    # ---------------------------------------------------------------- saving and recovering

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        groups = {"method": self.method.state_dict()}
        for name, player in self.players.items():
            groups[f"optimizer.{name}"] = player.optimizer.tensors()
            groups[f"loss.{name}"] = {"sum": player.loss, "turns": player.turns}
        if self.average is not None:
            groups["average"] = self.average.tensors()
        return groups

    def save(self, best: bool = False, anchor: bool = False) -> None:
        """A checkpoint of this instant.

        anchor  it lies where it would in any repetition of this training, so it may be rolled back to; one that a
                clock or a signal asked for may not: killed and resumed would not be the same as uninterrupted
        """
        self._saved = time.monotonic()
        if not self.run or not self.processes.first:
            return
        steps = {name: player.optimizer.steps for name, player in self.players.items()}
        plain = {**dataclasses.asdict(self.state), "steps": steps, "threads": torch.get_num_threads()}
        data = checkpoint.pack(self._tensors(), plain)
        self.run.save_checkpoint(self.state.step, data, best, anchor)

    def load(self) -> bool:
        """Go on from the newest whole checkpoint of the run; False where none was written. Damaged ones are told."""
        assert self.run
        names = self.run.checkpoints()
        damaged = self._restore(names)
        if names and len(damaged) == len(names):
            raise DeepenError(
                "checkpoint.damaged",
                str(self.run.path / "checkpoints"),
                f"none of {len(names)} checkpoints is what was written",
                "at least one whole",
                f"start again: deepen train {self.run.path / 'config.yaml'}",
            )
        durable.cut(self.run.path / "metrics.jsonl", self.state.metrics)
        durable.cut(self.run.path / "incidents.jsonl", self.state.incidents)
        for name in damaged:
            self._note("a damaged checkpoint was passed over", checkpoint=name)
        return bool(names)

    def _restore(self, names: list[str]) -> list[str]:
        """Take the state of the last of these checkpoints that is whole; returns the damaged ones after it."""
        assert self.run
        damaged = []
        for name in reversed(names):
            data = self.run.load_checkpoint(name)
            if data is None:
                damaged.append(name)
                continue
            where = str(self.run.path / "checkpoints" / name)
            plain = checkpoint.state_of(data, where)
            checkpoint.unpack(data, self._tensors(), where)
            for player, steps in plain["steps"].items():
                self.players[player].optimizer.steps = steps
            self.state = State(**{f.name: plain[f.name] for f in dataclasses.fields(State) if f.name in plain})
            break
        return damaged

    def _note(self, action: str, **details: Any) -> None:
        self.state.incidents = self.recovery.note(action, **details) or self.state.incidents

    def _sound(self) -> bool:
        """Whether all weights are finite and no running statistic is NaN."""
        return not self._weights_broken() and not any(bool(b.isnan().any()) for b in self.method.buffers())

    def _weights_broken(self) -> bool:
        return not all(bool(torch.isfinite(p).all()) for p in self.method.parameters())

    def _broken(self) -> NotFinite:
        """Weights that are not finite are the work of the last step that was not left out."""
        step = self.state.step - 1
        while step in self.state.skip:
            step -= 1
        return NotFinite("weights", self.method.players[0], step, *divmod(step * self.batches, len(self.feed)))

    def _recover(self, bad: NotFinite) -> None:
        """Skip the step; the second time in a row lower the rate too; then, or when the weights are hurt, roll back."""
        state = self.state
        if self._weights_broken():
            bad = self._broken()
        hurt = not self._sound()
        state.bad += 1
        state.recoveries += 1
        if state.recoveries > self.recovery.budget:
            raise self.recovery.spent(bad, *self._suspects(bad, hurt))
        if state.bad < 3 and not hurt:
            state.rate *= 0.5 if state.bad == 2 else 1.0
            self._note("skipped" if state.bad == 1 else "skipped, rate halved", **bad.document())
            state.step += 1
        else:
            self._roll_back(bad)

    def _roll_back(self, bad: NotFinite) -> None:
        """To the last anchor, with a lower rate, leaving out the bad steps this time."""
        old = self.state
        window = range(bad.step - old.bad + 1, bad.step + 1)
        if not self.run or not self._back():
            raise DeepenError(
                "train.diverged", f"step {old.step}", f"{bad.what} not finite and nothing was saved to go back to",
                "", "lower train.lr",
            )  # fmt: skip
        state = self.state
        state.recoveries, state.rate, state.incidents = old.recoveries, old.rate * 0.5, old.incidents
        state.skip = sorted({*old.skip, *window})
        self._note("rolled back", to=state.step, **bad.document())
        self.save(anchor=True)

    def _back(self) -> bool:
        """Take the state of the last whole anchor; False where there is none."""
        assert self.run
        names = self.run.anchors()
        if len(self._restore(names)) == len(names):
            return False
        durable.cut(self.run.path / "metrics.jsonl", self.state.metrics)
        return True

    def _suspects(self, bad: NotFinite, hurt: bool) -> tuple[list[str], int]:
        """Of a bad batch, the items that alone give a loss or gradient that is not finite (all, where none does)."""
        if hurt and self.run:
            self._back()
        names, items = self.feed.names(bad.epoch, bad.k), self.feed.items(bad.epoch, bad.k)
        found: list[str] = []
        player = self.players[bad.player]
        self.method.eval()  # an item alone has no batch statistics
        for i in range(items if self.method.separable else 0):
            loss = self.method.loss(self.feed.batch(bad.epoch, bad.k, i, items), bad.player)
            loss.backward()
            values = [loss, *player.optimizer.gradients()]
            if not all(bool(torch.isfinite(v).all()) for v in values):
                found += names[share(len(names), i, items)]
            player.optimizer.zero_grad()
        self.method.train()
        return found or names, len(names)

    def _shrink(self, epoch: int, k: int, problem: BaseException) -> bool:
        """Twice as many parts of half the size after an out-of-memory; the effective batch stays."""
        for player in self.players.values():
            player.optimizer.zero_grad()
        parts = self.state.parts * self.train.accumulate * self.processes.world
        if not self.method.separable or parts >= self.feed.items(epoch, k):
            raise DeepenError(
                "train.memory", f"step {self.state.step}", "out of memory",
                "a batch that fits" if self.method.separable else "this method cannot split a batch: a smaller batch_size", "train.batch_size=...",
            ) from problem  # fmt: skip
        self.state.parts *= 2
        norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.method.modules())
        self._note(
            "out of memory: batches in more parts",
            parts=self.state.parts,
            **({"warning": "batch norm sees smaller batches"} if norms else {}),
        )
        return True


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
