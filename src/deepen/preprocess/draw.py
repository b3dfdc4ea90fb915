"""What a generator makes an item from: standard normal numbers, given one by one or by a seed. float32 (n, width)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid, typed
from deepen.tensors import Arrays, Tensor

FAR = 1e3  # no normal draw is that far out
WATCHED = 32
SEED = '{"seed": a whole number from 0}'
SHAPE = '{"seed": 7}, or a list of numbers'


class Draw(msgspec.Struct, frozen=True):
    """So many standard normal numbers."""

    width: int

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("draw", "float32", ("batch", self.width)),)

    @classmethod
    def fit(cls, values: Sequence[Any], **_: Any) -> Draw:
        return cls(len(values[0]))

    def encode(self, values: Sequence[Any]) -> Arrays:
        """float32 (n, width)."""
        return {"draw": np.array([self._one(value, row) for row, value in enumerate(values)], np.float32)}

    def _one(self, value: Any, row: int) -> np.ndarray:
        if isinstance(value, Mapping):
            try:
                return self.of(value["seed"])
            except (KeyError, TypeError, ValueError):
                raise Invalid("no seed", SEED, row) from None
        try:
            numbers = np.asarray(value, np.float32)
        except (ValueError, TypeError, OverflowError):
            raise Invalid("not numbers", f"{self.width} numbers", row) from None
        if numbers.shape != (self.width,) or not (np.abs(numbers) <= FAR).all():
            found = f"shape {numbers.shape}" if numbers.shape != (self.width,) else "a number that is no normal draw"
            raise Invalid(found, f"{self.width} numbers between -{FAR:g} and {FAR:g}", row)
        return numbers

    def of(self, seed: int) -> np.ndarray:
        """The draw of a seed: the same everywhere."""
        return np.random.default_rng(seed).standard_normal(self.width).astype(np.float32)

    def parse(self, value: Any) -> Any:
        """What a client may send in JSON: a seed, or the numbers themselves."""
        if isinstance(value, dict):
            seed = value.get("seed")
            if set(value) != {"seed"} or isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
                raise Invalid("no seed", SEED)
            return value
        if not isinstance(value, list):
            raise Invalid(f"got {typed(value)}", SHAPE)
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in value):
            raise Invalid("a list of other things than numbers", SHAPE)
        self._one(value, 0)
        return value

    def dump(self, value: Any) -> Any:
        """A raw draw as `parse` takes it."""
        return dict(value) if isinstance(value, Mapping) else np.asarray(value, np.float32).tolist()

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each draw: its first numbers."""
        return {str(i): arrays["draw"][:, i].astype(np.float64) for i in range(min(self.width, WATCHED))}

    def describe(self) -> str:
        return f"draws of {self.width} normal numbers"
