"""How far a shadow's answers lie from those it is compared with, of the same items: what equal labels do not show.

Columns are those that the kind of answer watches (class, confidence, value, ...). A class that is as ever while its
probability is not, a number that is always too large: here it is seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepen.monitors import Sketch, sketches
from deepen.signature import Signature

NEWEST = 1000  # items


class Moving:
    """The newest answers of both, as columns."""

    def __init__(self) -> None:
        self.items = 0
        self._columns: dict[str, tuple[deque[Any], deque[Any]]] = {}

    def add(self, before: tuple[Signature, Sequence[Any]], now: tuple[Signature, Sequence[Any]]) -> None:
        """Answers to the same items, each list with the signature of who gave it."""
        first, second = (columns(*given) for given in (before, now))
        for name in first.keys() & second.keys():
            kept = self._columns.setdefault(name, (deque(maxlen=NEWEST), deque(maxlen=NEWEST)))
            for values, new in zip(kept, (first[name], second[name])):
                values.extend(new.tolist())
        self.items = min(NEWEST, self.items + len(now[1]))

    def sketches(self) -> dict[str, tuple[Sketch, Sketch]]:
        """Column -> what it was like of those, and of the shadow."""
        return {name: sketches(np.array(a), np.array(b)) for name, (a, b) in self._columns.items()}


def columns(signature: Signature, answers: Sequence[Any]) -> dict[str, np.ndarray]:
    """What is watched of decoded answers."""
    if len(signature.outputs) == 1:
        return signature.answer.statistics(signature.answer.outputs(answers))
    return {
        f"{name}.{column}": values
        for name, kind in signature.outputs.items()
        for column, values in kind.statistics(kind.outputs([answer[name] for answer in answers])).items()
    }
