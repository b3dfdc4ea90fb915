"""Arrays of one fixed shape: feature vectors, spectra, short series. float32, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid
from deepen.tensors import Arrays, Tensor


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
            array = values.astype(np.float32)
        else:
            array = np.empty((len(values), *self.shape), np.float32)
            for row, value in enumerate(values):
                try:
                    one = np.asarray(value, np.float32)
                except (ValueError, TypeError):
                    raise Invalid("not numbers of equal length", f"numbers of shape {self.shape}", row) from None
                if one.shape != self.shape:
                    raise Invalid(f"shape {one.shape}", f"shape {self.shape}", row)
                array[row] = one
        return {"array": np.where(np.isfinite(array), array, np.float32(np.nan))}

    def parse(self, value: Any) -> Any:
        """Nested lists of numbers; null is missing."""
        if not isinstance(value, list):
            raise Invalid(f"got {type(value).__name__}", f"nested lists of numbers, shape {self.shape}")
        array = _asarray(_with_nan(value))
        if array.dtype.kind not in "iuf":
            raise Invalid("not numbers", f"nested lists of numbers, shape {self.shape}")
        return array

    def dump(self, value: Any) -> Any:
        """A raw array as `parse` takes it; missing is null."""
        array = np.asarray(value, np.float32)
        return np.where(np.isfinite(array), array.astype(object), None).tolist()

    def describe(self) -> str:
        return f"arrays of shape {self.shape}"


def _asarray(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError):
        raise Invalid("not numbers of equal length", "nested lists of equal length") from None


def _with_nan(value: Any) -> Any:
    return [_with_nan(v) for v in value] if isinstance(value, list) else float("nan") if value is None else value
