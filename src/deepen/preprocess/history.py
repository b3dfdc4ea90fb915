"""What somebody has had so far, the latest first: numbers of known things.

events  int64 (n, length): 0 fills up, 1... in the order of `items`; what is not known is left out
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid, typed
from deepen.tensors import Arrays, Tensor

LARGEST = 100_000  # events in one request


class History(msgspec.Struct, frozen=True, dict=True):
    """Ids in the order of time, of which the last `longest` count."""

    items: tuple[str, ...]
    longest: int = 200

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("events", "int64", ("batch", "length"), join="pad"),)

    @property
    def count(self) -> int:
        """How many different numbers there are."""
        return len(self.items) + 1

    @classmethod
    def fit(cls, values: Sequence[Any], items: tuple[str, ...] = (), longest: int = 200) -> History:
        return cls(items, longest)

    @cached_property
    def _code(self) -> dict[str, int]:
        return {item: i for i, item in enumerate(self.items, 1)}

    def encode(self, values: Sequence[Any]) -> Arrays:
        rows = []
        for row, value in enumerate(values):
            try:
                known = (self._code.get(event, 0) for event in reversed(self.parse(value)[-2 * self.longest :]))
            except Invalid as problem:
                raise problem.at(row) from None
            rows.append([code for code in known if code][: self.longest] or [0])
        events = np.zeros((len(rows), max(map(len, rows), default=1)), np.int64)
        for i, codes in enumerate(rows):
            events[i, : len(codes)] = codes
        return {"events": events}

    def parse(self, value: Any) -> list[str]:
        """A list of ids, the latest last; an empty one is somebody new."""
        if isinstance(value, dict) and set(value) == {"events"}:
            value = value["events"]
        if not isinstance(value, list):
            raise Invalid(f"got {typed(value)}", "a list of ids, the latest last")
        if len(value) > LARGEST:
            raise Invalid(f"{len(value):,} events", f"at most {LARGEST:,}")
        strange = [e for e in value if isinstance(e, bool) or not isinstance(e, (str, int))]
        if strange:
            raise Invalid(f"{typed(strange[0])} among the ids", "texts or whole numbers")
        return [str(event) for event in value]

    def dump(self, value: Any) -> list[str]:
        return self.parse(value)

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched: how much is known of somebody, and the latest thing."""
        events = arrays["events"]
        return {
            "events": (events > 0).sum(1).astype(np.float64),
            "latest": np.array(["(none)", *self.items])[events[:, 0]],
        }

    def describe(self) -> str:
        return f"histories of up to {self.longest} of {len(self.items):,} things"
