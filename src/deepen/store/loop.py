"""What a closed loop did with a live directory, step by step: the only thing it remembers.

live/<alias>/
  loop.jsonl       a line per finished step of each round; the last one says where to go on
  rounds/<round>/  the run of that round, and the answers of whoever labelled for it

A step is written down when it is done. One that was cut off is done again, so every step must come to the same when it is
done twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError
from deepen.store import durable

ENDS = ("kept", "refused", "rolled back")  # steps after which a round is over


class Ledger:
    """The steps of all rounds."""

    def __init__(self, live: Path) -> None:
        self.live, self.file = live, live / "loop.jsonl"

    def lines(self) -> list[dict[str, Any]]:
        """Every step that was done, oldest first."""
        return durable.lines(self.file)[0]

    def now(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """The number of the round that is under way, or would be next, and its steps so far by name."""
        lines = self.lines()
        if not lines or lines[-1]["step"] in ENDS:
            return (lines[-1]["round"] if lines else 0) + 1, {}
        number = lines[-1]["round"]
        return number, {line["step"]: line for line in lines if line["round"] == number}

    def note(self, number: int, step: str, **found: Any) -> dict[str, Any]:
        """Write down that a step is done; returns its line."""
        line = {"time": time.time(), "round": number, "step": step, **found}
        durable.append(self.file, line)
        return line

    def place(self, number: int) -> Path:
        """Where the run of a round is made."""
        return self.live / "rounds" / str(number)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """The only loop over this directory; the kernel frees a dead owner's lock."""
        handle = os.open(self.live / ".loop", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeepenError("loop.locked", str(self.live), "another loop works on it", "one at a time") from None
            yield
        finally:
            os.close(handle)
