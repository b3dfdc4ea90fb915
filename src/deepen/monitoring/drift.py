"""Whether what a model is given and what it answers have changed since training. NumPy only.

`describe` makes the reference that a run and its bundles carry; `Drift` judges windows of items in service by it.

Each check looks at two stretches: the newest window, and the last three together, in which a small change shows that
one window hides. Every monitor tests every column it can judge in both, and Holm's correction (Holm 1979) is made over
all of these tests at once, so that a check of anything unchanged raises an alarm with a chance of `false_alarms` at most,
however many columns there are. An alarm also needs an effect of some size: with enough items the smallest change is sure.

It holds for items that are drawn one by one; a client that sends the same picture a thousand times is a change, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deepen import registry
from deepen.errors import DeepenError
from deepen.monitors import Columns, Finding
from deepen.signature import Signature
from deepen.tensors import Arrays

FORMAT = 1
LAST = 3  # windows looked at together
GROUPS = ("inputs", "answers")


class Reference(msgspec.Struct, frozen=True):
    """reference.json: per group of columns what each monitor keeps of the training data, and from how many items.

    Inputs are those of training and validation; answers those of validation alone, which the weights were not fitted to:
    on what it has learnt by heart a network is surer of itself than it will ever be in service.
    """

    format: int
    items: dict[str, int]
    inputs: dict[str, Any]
    answers: dict[str, Any]


class Judged(msgspec.Struct, frozen=True):
    """A finding in a stretch of so many windows. `p` is the one corrected for all tests of the check."""

    group: str
    monitor: str
    windows: int
    finding: Finding
    p: float
    alarm: bool


def input_columns(signature: Signature, arrays: Arrays) -> dict[str, np.ndarray]:
    """What is watched of encoded items; where there are several inputs, each column carries its input's name."""
    if len(signature.inputs) == 1:
        return next(iter(signature.inputs.values())).statistics(arrays)
    return {
        f"{name}.{column}": values
        for name, encoder in signature.inputs.items()
        for column, values in encoder.statistics(_own(arrays, name)).items()
    }


def answer_columns(signature: Signature, outputs: Arrays) -> dict[str, np.ndarray]:
    """What is watched of the program's outputs."""
    if len(signature.outputs) == 1:
        return signature.answer.statistics(outputs)
    return {
        f"{name}.{column}": values
        for name, kind in signature.outputs.items()
        for column, values in kind.statistics(_own(outputs, name)).items()
    }


def _own(arrays: Arrays, name: str) -> Arrays:
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}


def describe(inputs: Columns, answers: Columns) -> Reference:
    """The reference: of every monitor what it keeps."""
    groups = {
        group: {name: registry.load("monitors", name)().describe(columns) for name in registry.names("monitors")}
        for group, columns in zip(GROUPS, (inputs, answers))
    }
    items = {group: len(next(iter(columns.values()), ())) for group, columns in zip(GROUPS, (inputs, answers))}
    return Reference(FORMAT, items, **groups)


def read(data: bytes, where: str) -> Reference:
    """The reference in a file's content."""
    try:
        found = msgspec.json.decode(data, type=Reference)
    except msgspec.DecodeError as problem:
        raise DeepenError("reference.damaged", where, str(problem), "a reference as training writes it") from problem
    if found.format != FORMAT:
        raise DeepenError("reference.format", where, f"format {found.format}", f"format {FORMAT}", "update deepen")
    return found


class Drift:
    """Judges windows of items in service.

    false_alarms  largest chance of an alarm in a check where nothing has changed
    settings      monitor -> its parameters, where they are not the usual ones
    """

    def __init__(
        self,
        reference: Reference,
        false_alarms: float = 0.005,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.reference, self.false_alarms = reference, false_alarms
        given = settings or {}
        self.monitors = {
            name: registry.load("monitors", name)(**given.get(name, {})) for name in registry.names("monitors")
        }

    def check(self, windows: Sequence[Mapping[str, Columns]]) -> list[Judged]:
        """Findings for windows in order of time, the newest last, each `{"inputs": columns, "answers": columns}`.

        The surest come first.
        """
        some = list(windows[-LAST:])
        tests = self._tests(1, some[-1])
        if len(some) > 1:
            tests += self._tests(len(some), {group: _join([w[group] for w in some]) for group in GROUPS})
        tests.sort(key=lambda test: test[-1].p)
        corrected = holm(np.array([finding.p for *_, finding in tests]))
        return [
            Judged(
                group, name, last, finding, p, p <= self.false_alarms and finding.effect >= self.monitors[name].least
            )
            for (group, name, last, finding), p in zip(tests, corrected.tolist())
        ]

    def odd(self, columns: Columns) -> np.ndarray:
        """How much likelier each item is now than in training, by those of its inputs that changed: float64 (n,).

        The sum over these columns of log(share now / share in training) of the bin the item lies in; 0 for all items
        where nothing changed.
        """
        found = self.check([{"inputs": columns, "answers": {}}])
        changed = {judged.finding.column for judged in found if judged.alarm}
        own = {name: values for name, values in columns.items() if name in changed}
        scores = self.monitors["ks"].likelier(self.reference.inputs.get("ks", {}), own)
        return sum(scores, np.zeros(len(next(iter(columns.values()), ()))))

    def _tests(self, windows: int, columns: Mapping[str, Columns]) -> list[tuple[str, str, int, Finding]]:
        return [
            (group, name, windows, finding)
            for group in GROUPS
            for name, monitor in self.monitors.items()
            for finding in monitor.test(getattr(self.reference, group).get(name, {}), columns[group])
        ]


def holm(p: np.ndarray) -> np.ndarray:
    """Ascending p-values corrected for their number: the chance of any false alarm is kept (Holm 1979)."""
    return np.minimum(1.0, np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def _join(parts: Sequence[Columns]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
