"""One round of a loop: what it works with, what a person set, and the lines of its steps so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepen.console import say
from deepen.data.arrivals import Arrivals
from deepen.errors import DeepenError
from deepen.store.live import Live
from deepen.store.loop import ENDS, Ledger
from deepen.store.run import Run

FALSE_ALARMS = 0.005  # chance of taking for drifted what is not, as deepen monitor has it
FAILED = 5  # requests or items that fail before a share of errors is a share
Verb = Callable[[str], Callable[..., Any]]  # the verb of a name, as a person would call it; imported when it is


class Over(Exception):
    """The round ends here: refused or rolled back."""

    def __init__(self, how: str, why: str, **figures: Any) -> None:
        super().__init__(why)
        self.how, self.why, self.figures = how, why, figures


@dataclass(frozen=True)
class Terms:
    """What a person set: what is asked and learnt, and what a candidate must keep to."""

    ask: int
    least: int
    shares: tuple[float, float]
    labels: str | None
    labeller: str | None
    held: float
    overrides: dict[str, Any]
    drop: float
    compare: int
    agreement: float
    hold: int
    errors: float
    slower: float
    moved: float
    only_if_changed: bool


class Round:
    """`done`: the lines of its steps so far."""

    def __init__(
        self, live: Live, dataset: str, ledger: Ledger, terms: Terms, verb: Verb, number: int,
        done: dict[str, dict[str, Any]],
    ) -> None:  # fmt: skip
        self.live, self.dataset, self.ledger, self.terms, self.verb = live, dataset, ledger, terms, verb
        self.number, self.done = number, done
        self.seen: tuple[int, int] | None = None  # of the file of labels, when it was last taken in
        self._arrivals: Arrivals | None = None

    def note(self, step: str, found: dict[str, Any]) -> None:
        """Write down that a step is done."""
        from deepen.evaluation.measure import clean

        self.done[step] = self.ledger.note(self.number, step, **clean(found))
        say(f"{step:<12} {found['says']}")

    def document(self, waiting: str) -> dict[str, Any]:
        """What `--json` prints."""
        last = next(reversed(self.done.values()), None)
        state = last["step"] if last and last["step"] in ENDS else "waiting"
        return {
            "live": str(self.live.path),
            "round": self.number,
            "state": state,
            "waiting": waiting,
            "why": last.get("why", "") if last else "",
            "steps": list(self.done.values()),
        }

    # ---------------------------------------------------------------- the data

    def path(self) -> str:
        """Where the data lie, also where a config says it."""
        from deepen.config import from_target

        path = from_target(self.dataset, {}).data.get("path")
        if not isinstance(path, str):
            raise DeepenError("loop.data", self.dataset, "data made up from a seed", "data that more can be put beside")
        if not Path(path).exists():
            raise DeepenError("loop.data", path, "nothing there", "the data that the model was trained on")
        return path

    def arrivals(self, signature: Any = None) -> Arrivals:
        """Where new items go; told now where there is no place for such items."""
        from deepen.monitoring import windows

        if self._arrivals is None:
            if signature is None:
                bundle = self.live.bundle(self.done["chosen"]["version"])
                signature = windows.Watched(bundle, FALSE_ALARMS, {}).signature
            if len(signature.inputs) > 1:
                takes = ", ".join(encoder.describe() for encoder in signature.inputs.values())
                raise DeepenError("loop.data", str(self.live.path), f"a model of {takes}", "a model of one input")
            self._arrivals = Arrivals(self.path(), next(iter(signature.inputs.values())))
        return self._arrivals

    def settings(self) -> dict[str, Any]:
        """How the data are read, as the run in service was configured."""
        from deepen.training.finished import config_of

        data = config_of(Run.open(self.done["chosen"]["run"])).data
        return {f"data.{key}": value for key, value in data.items() if key != "path" and value is not None}
