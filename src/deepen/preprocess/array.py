"""Arrays of one fixed shape: feature vectors, spectra, short series. float32, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid, typed
from deepen.tensors import Arrays, Tensor

FEW = 64  # values of an item that are watched one by one


class Array(msgspec.Struct, frozen=True):
    """A numeric array of `shape`; missing values are NaN."""

    shape: tuple[int, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("array", "float32", ("batch", *self.shape)),)

    @classmethod
    def fit(cls, values: Sequence[Any], **_: Any) -> Array:
        return cls(tuple(np.asarray(values[0]).shape))

    def encode(self, values: Sequence[Any]) -> Arrays:
        """float32 (n, *shape); infinite becomes NaN, that is missing."""
        if isinstance(values, np.ndarray) and values.shape[1:] == self.shape:
            with np.errstate(over="ignore"):  # 1e39 is none in float32
                array = values.astype(np.float32)
        else:
            array = np.empty((len(values), *self.shape), np.float32)
            for row, value in enumerate(values):
                try:
                    one = np.asarray(value, np.float32)
                except (ValueError, TypeError, OverflowError):
                    raise Invalid("not numbers of equal length", f"numbers of shape {self.shape}", row) from None
                if one.shape != self.shape:
                    raise Invalid(f"shape {one.shape}", f"shape {self.shape}", row)
                array[row] = one
        return {"array": np.where(np.isfinite(array), array, np.float32(np.nan))}

    def parse(self, value: Any) -> Any:
        """Nested lists of numbers; null is missing."""
        if not isinstance(value, list):
            raise Invalid(f"got {typed(value)}", f"nested lists of numbers, shape {self.shape}")
        return _with_nan(value, self.shape)

    def dump(self, value: Any) -> Any:
        """A raw array as `parse` takes it; missing is null."""
        array = np.asarray(value, np.float32)
        result = array.astype(object)
        result[~np.isfinite(array)] = None
        return result.tolist()

    def restore(self, arrays: Arrays) -> np.ndarray:
        """The array of one encoded item."""
        return arrays["array"][0]

    def extremes(self, arrays: Arrays) -> Arrays:
        """Encoded arrays in which each number is missing once."""
        found = arrays["array"].copy()
        flat = found.reshape(len(found), -1)
        places = np.arange(flat.shape[1])
        flat[places % len(flat), places] = np.nan
        return {"array": found}

    def place(self, index: Sequence[int]) -> str:
        """A place in an item, for an error."""
        return f"x[:, {', '.join(map(str, index))}]"

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each item: its values while they are few, else what they look like together."""
        values = arrays["array"].reshape(len(arrays["array"]), -1).astype(np.float64)
        if values.shape[1] <= FEW:
            places = np.ndindex(self.shape) if self.shape else [()]
            return {",".join(map(str, place)) or "value": values[:, i] for i, place in enumerate(places)}
        known = np.isfinite(values)
        count = known.sum(1)
        mean = _over(np.where(known, values, 0).sum(1), count)
        square = _over((np.where(known, values - mean[:, None], 0) ** 2).sum(1), count)
        low, high = np.where(known, values, np.inf).min(1), np.where(known, values, -np.inf).max(1)
        return {
            "mean": mean,
            "deviation": np.sqrt(square),
            "smallest": np.where(count > 0, low, np.nan),
            "largest": np.where(count > 0, high, np.nan),
            "share missing": 1 - known.mean(1),
        }

    def describe(self) -> str:
        return f"arrays of shape {self.shape}"


def _over(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _with_nan(value: Any, shape: tuple[int, ...]) -> Any:
    """The nested lists with NaN for null; other shapes, and what is no number, are refused."""
    if not shape:
        if value is None:
            return float("nan")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Invalid(f"holds {str(value)[:40]!r}", "numbers or null")
        if not abs(value) <= 3.4e38:  # float32
            raise Invalid(f"holds {str(value)[:40]!r}", "numbers of at most 3.4e38, or null")
        return value
    if not isinstance(value, list) or len(value) != shape[0]:
        found = f"a list of {len(value)}" if isinstance(value, list) else typed(value)
        raise Invalid(f"{found} where {shape[0]} values belong", "nested lists of the shape trained on")
    return [_with_nan(v, shape[1:]) for v in value]
