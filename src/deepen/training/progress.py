"""What a person sees of a training that runs. Torch-free."""

from __future__ import annotations

import time
from typing import Any

from deepen.console import Progress, announce, digits, duration
from deepen.store.run import Run


class Show:
    """Progress for a person: a line per epoch, on a terminal a moving one in between."""

    def __init__(self, run: Run) -> None:
        self.run, self.line, self.start, self.first = run, Progress(), time.monotonic(), 0

    def begin(self, engine: Any) -> None:
        self.start, self.first = time.monotonic(), engine.state.step

    def left(self, engine: Any) -> str:
        done = max(engine.state.step - self.first, 1)
        return duration((time.monotonic() - self.start) / done * (engine.total - engine.state.step))

    def step(self, engine: Any) -> None:
        """Called after every step; looks at the loss only when it is time to draw."""
        if self.line.due():
            player = next(iter(engine.players.values()))
            loss = float(player.loss / player.turns.clamp(min=1))
            self.line.show(f"step {engine.state.step}/{engine.total}  loss {loss:.4f}  {self.left(engine)} left")

    def epoch(self, engine: Any, row: dict[str, Any]) -> None:
        losses = "  ".join(
            f"{k.removeprefix('train_')} {v:.4f}"
            for k, v in row.items()
            if k.endswith("loss") and not k.startswith("val_")
        )
        metric = engine.monitor
        whole = engine.total % engine.epoch_steps == 0
        at = (
            f"epoch {row['epoch']:g}/{engine.total // engine.epoch_steps}"
            if whole
            else f"step {row['step']}/{engine.total}"
        )
        text = f"{at}  {losses}  {metric} {digits(row[metric])}  lr {row['lr']:.1e}"
        self.line.clear()
        announce(f"{text}  {self.left(engine)} left" + (" *" if engine.state.best_step == row["step"] else ""))
        self.run.log(text)
