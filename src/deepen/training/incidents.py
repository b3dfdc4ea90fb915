"""What can come in the way of a step: signals, numbers that are not finite, memory that runs out; and its record."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from deepen.console import say
from deepen.errors import DeepenError, counted
from deepen.store.run import Run


class NotFinite(Exception):
    """Something NaN or infinite in a step on batch k of an epoch: a loss, a gradient, or the weights after it."""

    def __init__(self, what: str, player: str, step: int, epoch: int, k: int) -> None:
        self.what, self.player, self.step, self.epoch, self.k = what, player, step, epoch, k
        super().__init__(f"{what} of {player} not finite in batch {k} of epoch {epoch}")

    steps = 1  # that went wrong, up to this one

    def document(self) -> dict[str, Any]:
        return {"what": self.what, "player": self.player, "step": self.step, "epoch": self.epoch, "batch": self.k}


class Spike(NotFinite):
    """A loss that has been far above what it was for some steps: what the training had gained is lost."""

    steps = 4  # the three that show it, and the one before them that did it


class Stopped(DeepenError):
    """Asked to stop by a signal; everything is saved."""

    def __init__(self, run: Run | None, number: int) -> None:
        self.exit_code = 128 + number
        where = str(run.path) if run else "training"
        super().__init__(
            "train.stopped",
            where,
            f"stopped by {signal.Signals(number).name}, saved",
            "",
            f"deepen train --resume {where}",
        )


class Signals:
    """Within it, SIGTERM and SIGINT are only noted, so a step is finished and saved; a second one ends at once."""

    def __init__(self) -> None:
        self.received = 0
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = number

    def stop(self, run: Run | None, number: int) -> Stopped:
        return Stopped(run, number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)


class Incidents:
    """The budget for mending, and the record of it in incidents.jsonl."""

    def __init__(self, budget: int, run: Run | None) -> None:
        self.budget, self.run = budget, run

    def spent(self, bad: NotFinite, suspects: list[str], size: int) -> DeepenError:
        """The end of it: which items to look at."""
        shown = ", ".join(suspects[:8]) + (f" and {len(suspects) - 8} more" if len(suspects) > 8 else "")
        return DeepenError(
            "train.diverged",
            f"step {bad.step}, batch {bad.k} of epoch {bad.epoch}",
            f"{bad.what} not finite, and {self.budget} attempts to recover are spent; "
            f"{len(suspects)} of the batch's {counted(size, 'item')} may be the cause: {shown}",
            "finite numbers",
            "look at these items, or lower train.lr",
        )

    def note(self, action: str, **details: Any) -> int:
        """Say what was done; returns the length of incidents.jsonl after it, 0 without a run."""
        say(f"note     {action}: {', '.join(f'{key} {value}' for key, value in details.items())}")
        if not self.run:
            return 0
        self.run.log(f"{action} {details}")
        return self.run.append("incidents.jsonl", {"action": action, **details})
