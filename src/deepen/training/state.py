"""What is trained and how it is kept: method, data, players, state; checkpoints to go on from and to go back to.

The engine adds the loop, recovery.py what is done when a step goes wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deepen import registry
from deepen.config import Train
from deepen.data.data import Data
from deepen.errors import DeepenError, counted
from deepen.nn import layout
from deepen.nn.heads import head
from deepen.nn.inputs import Settling
from deepen.nn.normalise import Normalise
from deepen.nn.packaged import Packaged
from deepen.schedules import Schedule
from deepen.store import durable
from deepen.store.run import Run
from deepen.training import checkpoint
from deepen.training.average import Average, refresh_norms
from deepen.training.incidents import Incidents
from deepen.training.method import Method
from deepen.training.norms import JointNorms
from deepen.training.optimizers import Optimizer
from deepen.training.probe import Probe
from deepen.training.processes import Processes
from deepen.training.recompute import recompute

ALONE = "more than 1 value per channel"  # what torch's batch norm says that it wants


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
    high: int = 0  # steps in a row whose loss was far above `recent`
    recent: list[float] = field(default_factory=list)  # the last losses that were not
    first: float | None = None  # what the loss was like before anything was learnt
    skip: list[int] = field(default_factory=list)
    metrics: int = 0  # bytes of metrics.jsonl and incidents.jsonl that belong to this state
    incidents: int = 0
    figures: list[float] = field(default_factory=list)  # what was monitored at the ends of epochs, larger is better
    probes: list[dict[str, Any]] = field(default_factory=list)  # what probe.py saw now and then
    settled: bool = False  # the optimizer is where it wants to be
    done: bool = False


@dataclass
class Player:
    """Who learns: parameters, their optimizer, and the loss summed since the last report."""

    name: str
    optimizer: Optimizer
    loss: Tensor
    turns: Tensor


class Training:
    """A method on data with its optimizers, on its way into a run (or, without one, in memory only)."""

    def __init__(self, method: Method, data: Data, train: Train, run: Run | None = None) -> None:
        self.method, self.data, self.train, self.run = method.to(data.device), data, train, run
        layout.fast(self.method)
        assert train.batch_size, "the plan fills in what the user left out"
        assert train.lr, "the plan fills in what the user left out"
        self.lr: float = train.lr
        self.schedule: Schedule = registry.build("schedules", train.schedule)
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
        self.incidents = Incidents(train.recoveries, run)
        self.kept: bool = self.processes.share(run is not None)  # whether there will be a state to go back to
        self._saved = time.monotonic()
        if not method.separable and self.processes.world * train.accumulate > 1:
            raise DeepenError(
                "train.split",
                "train",
                f"{type(method).__name__} compares the items of a batch with each other",
                "one process and accumulate: 1",
            )
        self.probe = Probe(self)
        if train.recompute:
            recompute(method.product())
        self.norms = JointNorms(method, self.processes, train.joint_norms)
        self.processes.broadcast(list(method.state_dict().values()))

    def _player(self, name: str) -> Player:
        zero = torch.zeros((), device=self.data.device)
        return Player(name, Optimizer(list(self.method.learns(name)), self.train, self.method), zero, zero.clone())

    def loss(self, batch: Any, player: str) -> Tensor:
        """The method's loss on a batch; one of the user's own making may be anything."""
        try:
            found: Any = self.method.loss(batch, player)
        except ValueError as problem:
            if ALONE not in str(problem):
                raise
            raise DeepenError(
                "train.batch_size", "train.batch_size", "a batch, or a part of one, of a single item whose maps are single places",
                "at least two values of each channel: batch norm takes their mean off",
                "a larger train.batch_size, a smaller train.accumulate, or larger pictures (data.size)",
            ) from problem  # fmt: skip
        bound = isinstance(found, Tensor) and (found.requires_grad or not torch.is_grad_enabled())
        if bound and found.ndim == 0:
            return found
        shape = (
            f"a tensor of shape {tuple(found.shape)}"
            if isinstance(found, Tensor)
            else f"of type {type(found).__name__}"
        )
        raise DeepenError(
            "method.loss", f"method {type(self.method).__name__}",
            f"its loss is {shape if bound or not isinstance(found, Tensor) else 'detached from the weights'}",
            "one number that is calculated from the network's answers by torch: a tensor of shape (), as .mean() gives",
        )  # fmt: skip

    # ---------------------------------------------------------------- checkpoints

    def tensors(self) -> dict[str, dict[str, Tensor]]:
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
        data = checkpoint.pack(self.tensors(), {**self._plain(), "threads": torch.get_num_threads()})
        self.run.save_checkpoint(self.state.step, data, best, anchor)

    def load(self) -> bool:
        """Go on from the newest whole checkpoint of the run; False where none was written. Damaged ones are told."""
        return self._level(self.run is not None and self._load(self.run))

    def _load(self, run: Run) -> bool:
        names = run.checkpoints()
        damaged = self._restore(names)
        if names and len(damaged) == len(names):
            raise DeepenError(
                "checkpoint.damaged",
                str(run.path / "checkpoints"),
                f"none of {counted(len(names), 'checkpoint')} is what was written",
                "at least one whole",
                f"start again: deepen train {run.path / 'config.yaml'}",
            )
        durable.cut(run.path / "metrics.jsonl", self.state.metrics)
        durable.cut(run.path / "incidents.jsonl", self.state.incidents)
        for name in damaged:
            self.note("a damaged checkpoint was passed over", checkpoint=name)
        return bool(names)

    def _restore(self, names: list[str]) -> list[str]:
        """Take the state of the last of these checkpoints that is whole; returns the damaged ones after it."""
        damaged = []
        for name in reversed(names):
            assert self.run
            data = self.run.load_checkpoint(name)
            if data is None:
                damaged.append(name)
                continue
            where = str(self.run.path / "checkpoints" / name)
            plain = checkpoint.state_of(data, where)
            checkpoint.unpack(data, self.tensors(), where)
            self._take(plain)
            break
        return damaged

    def _plain(self) -> dict[str, Any]:
        steps = {name: player.optimizer.steps for name, player in self.players.items()}
        return {**dataclasses.asdict(self.state), "steps": steps}

    def _take(self, plain: dict[str, Any]) -> None:
        for player, steps in plain["steps"].items():
            self.players[player].optimizer.steps = steps
        self.state = State(**{f.name: plain[f.name] for f in dataclasses.fields(State) if f.name in plain})

    def _level(self, found: bool) -> bool:
        """Everyone takes the state that the first process has found, if it has."""
        if self.processes.world == 1:
            return found
        plain = self.processes.share(self._plain() if found else None)
        if plain is None:
            return False
        self._take(plain)
        self.processes.broadcast([t for tensors in self.tensors().values() for t in tensors.values()])
        return True

    def note(self, action: str, **details: Any) -> None:
        self.state.incidents = self.incidents.note(action, **details) or self.state.incidents

    def back(self) -> bool:
        """Take the state of the last whole anchor; False where there is none."""
        names = self.run.anchors() if self.run else []
        found = len(self._restore(names)) < len(names)
        if self.run and found:
            durable.cut(self.run.path / "metrics.jsonl", self.state.metrics)
        return self._level(found)

    # ---------------------------------------------------------------- weights

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The product under its averaged weights, batch norm measured anew where they are a mean over epochs.

        What follows from its weights follows from those that are judged.
        """
        net = self.method.product()
        if self.average is None or not self.average.ready:
            if isinstance(net, Settling):
                net.settle()
            yield
            return
        with self.average.applied():
            if self.average.how == "swa":
                rows = self.data.parts["train"]
                refresh_norms(self.average.net, (self.data.inputs(r) for r in rows.split(self.train.batch_size or 128)))
            if isinstance(net, Settling):
                net.settle()
            yield

    def keep_best(self) -> None:
        """Load the best checkpoint and leave its weights (their average, where there is one) in the product."""
        if self.run and self.state.best_step != self.state.step:
            self._load_best()
        if self.average is not None and self.average.ready:
            with self.averaged():
                kept = {k: v.clone() for k, v in self.method.product().state_dict().items()}
            self.method.product().load_state_dict(kept)

    def _load_best(self) -> None:
        """The weights of the best checkpoint that is whole; where there is none, the last ones stay."""
        assert self.run
        for name in reversed(self.run.best_checkpoints()):
            data = self.run.load_checkpoint(name)
            if data is not None:
                checkpoint.unpack(data, self.tensors(), name)
                plain = checkpoint.state_of(data, name)
                self.state.best, self.state.best_step = plain["best"], plain["best_step"]
                return
            self.note("a damaged checkpoint was passed over", checkpoint=name)
        self.note("no best checkpoint can be read: the last weights are kept", step=self.state.step)
        self.state.best_step = self.state.step

    def sound(self) -> bool:
        """Whether all weights are finite and no running statistic is NaN, in any process."""
        broken = self.weights_broken() or any(bool(b.isnan().any()) for b in self.method.buffers())
        return not self.processes.most(broken)[0]

    def weights_broken(self) -> bool:
        return not all(bool(torch.isfinite(p).all()) for p in self.method.parameters())
