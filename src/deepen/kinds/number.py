"""One number per item (regression). Output: value (B, 1) in the target's own unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError
from deepen.preprocess.row import text_or_none
from deepen.tensors import Arrays, Tensor

LONG_TAIL = 2.0  # skewness; that of an exponential distribution


class Number(msgspec.Struct, frozen=True):
    """Mean and standard deviation of the training targets: the network works on (value - mean) / scale.

    With `log`, mean and standard deviation of their logarithms, it works on (log(value) - mean) / scale: for amounts
    that spread over orders of magnitude, such as prices.
    """

    mean: float = 0.0
    scale: float = 1.0
    log: tuple[float, float] | None = None

    metric: ClassVar[str] = "rmse"
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []
    width: ClassVar[int] = 1

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("value", "float32", ("batch", 1)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target") -> Number:
        array = cls().encode(values, where)
        array = array[np.isfinite(array)]
        if len(array) < 2 or np.ptp(array) == 0:
            raise DeepenError("data.number", where, "no two different numbers", "a target that varies")
        array = array.astype(np.float64)
        return cls(float(array.mean()), float(array.std()), _logarithm(array))

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """float32 (n,) in the target's unit, NaN where there is no label."""
        result = np.full(len(values), np.nan, np.float32)
        for row, value in enumerate(values):
            text = text_or_none(value)
            try:
                result[row] = np.nan if text is None else float(value)
            except (ValueError, TypeError):
                raise DeepenError(
                    "data.label", f"{where}[{row}]", f"got {value!r}", "a number", "for names, set data.kind=classes"
                ) from None
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.isfinite(target)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        return [{"value": value} for value in outputs["value"][:, 0].tolist()]

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Tenths of the range by rank: a stratified split keeps the distribution."""
        edges = np.nanquantile(target, np.linspace(0, 1, 11)[1:-1])
        return np.searchsorted(edges, np.nan_to_num(target))

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        return metrics.number(target, outputs["value"][:, 0])

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of answers within a thousandth of the target's spread."""
        return float((np.abs(a["value"] - b["value"]) <= 1e-3 * self.scale).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        """In units of the target's spread."""
        return float(np.abs(a["value"] - b["value"]).max() / self.scale)

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a, b)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """A single number says nothing about its own error: all alike."""
        return np.zeros(len(outputs["value"]))

    def describe(self) -> str:
        return f"a number (training mean {self.mean:.4g}, sd {self.scale:.4g})"


def _skew(values: np.ndarray) -> float:
    """Third standardised moment: 0 where both tails are alike."""
    return float((((values - values.mean()) / values.std()) ** 3).mean())


def _logarithm(values: np.ndarray) -> tuple[float, float] | None:
    """Mean and deviation of the logarithms, where all values are positive and only so their upper tail is not long."""
    if values.min() <= 0 or _skew(values) < LONG_TAIL:
        return None
    logarithms = np.log(values)
    if abs(_skew(logarithms)) > 0.5 * _skew(values):
        return None
    return float(logarithms.mean()), float(logarithms.std())
