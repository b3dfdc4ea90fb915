"""One number per item (regression). Output: value (B, 1) in the target's own unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError, Invalid
from deepen.panels import Curves, Gallery, Histogram, Line, Panel, PerItem, Table, digits, numbers, thin
from deepen.preprocess.row import LARGEST_NUMBER, text_or_none
from deepen.schema import shortened
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
    widget: ClassVar[str] = "number"
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
            found = "no two numbers that differ in their first seven digits"
            raise DeepenError(
                "data.number", where, found, "a target that varies", "if it does, predict what they differ by"
            )
        array = array.astype(np.float64)
        return cls(float(array.mean()), float(array.std()), _logarithm(array))

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """float32 (n,) in the target's unit, NaN where there is no label."""
        result = np.full(len(values), np.nan, np.float32)
        for row, value in enumerate(values):
            try:
                number = math.nan if text_or_none(value) is None else float(value)
            except (ValueError, TypeError):
                raise DeepenError(
                    "data.label",
                    f"{where}[{row}]",
                    f"got {shortened(value)}",
                    "a number",
                    "for names, set data.kind=classes",
                ) from None
            except OverflowError:  # a whole number beyond even float64
                number = LARGEST_NUMBER * 2
            if math.isfinite(number) and abs(number) > LARGEST_NUMBER:
                found = f"{shortened(value)} is too large"
                raise DeepenError(
                    "data.label", f"{where}[{row}]", found, "numbers of at most 3.4e38", "predict it in a larger unit"
                )
            result[row] = number
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

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same figures for resamples (R, n), each (R,)."""
        return metrics.number_resampled(target, outputs["value"][:, 0], counts)

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What an answer without a look at the item reaches: the mean of the training targets."""
        mean = float(train.mean(dtype=np.float64))
        return f"always answering the mean, {digits(mean)}", metrics.number(target, np.full(len(target), mean))[
            self.metric
        ]

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """The size of the error."""
        error = outputs["value"][:, 0].astype(np.float64) - target
        return PerItem("mean size of the error", np.abs(error), False)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Groups of items by quarters of the true value, as names and masks (n,)."""
        edges = np.unique(np.quantile(target, [0, 0.25, 0.5, 0.75, 1]))
        place = np.searchsorted(edges[1:-1], target, "right")
        for i, (low, high) in enumerate(pairwise(edges)):
            yield f"true value {digits(low)} to {digits(high)}", place == i

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

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer."""
        return {"value": outputs["value"][:, 0].astype(np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The values of decoded answers."""
        return {"value": np.array([[answer["value"]] for answer in answers], np.float32).reshape(-1, 1)}

    # ---------------------------------------------------------------- labels given by hand

    @classmethod
    def named(cls, names: Sequence[str]) -> Number:
        return cls()

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def names_in(cls, values: Sequence[Any]) -> tuple[str, ...]:
        return ()

    def label(self, value: Any) -> float:
        """The number in a raw label; Invalid where it is none that float32 holds."""
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (ValueError, TypeError, OverflowError):
            number = math.nan
        if not abs(number) <= LARGEST_NUMBER:
            raise Invalid(f"got {shortened(value)}", "a number")
        return number

    def suggest(self, answer: Any) -> float:
        """A raw label from an answer of the model."""
        return answer["value"]

    def distance(self, a: float, b: float) -> float:
        """Squared: the scale is one of intervals."""
        return (a - b) ** 2

    def consensus(self, values: Sequence[float]) -> float | None:
        """The median."""
        return float(np.median(values))

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        value = outputs["value"][:, 0].astype(np.float64)
        target = target.astype(np.float64)
        return [*_scatter(target, value), _residuals(target, value), _by_tenth(target, value), _worst(target, value)]

    def describe(self) -> str:
        return f"a number (training mean {digits(self.mean)}, sd {digits(self.scale)})"


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


# ---------------------------------------------------------------- panels


def _scatter(target: np.ndarray, value: np.ndarray) -> list[Panel]:
    """Predicted and residual against the true value; of many items an even choice of 600."""
    rows = np.argsort(target, kind="stable")
    rows = rows[thin(rows, 600)]
    of = f" {len(rows):,} of {len(target):,} items are drawn." if len(rows) < len(target) else ""
    answers = Line("items", numbers(target[rows]), numbers(value[rows]), points=True)
    errors = Line("items", numbers(value[rows]), numbers((value - target)[rows]), points=True)
    return [
        Curves("Predicted against true", "true", "predicted", (answers,), f"Right is on the diagonal.{of}", True),
        Curves("Residuals", "predicted", "predicted - true", (errors,), "A pattern is something left to learn."),
    ]


def _residuals(target: np.ndarray, value: np.ndarray) -> Panel:
    """The errors without their outermost hundredth, which would leave no room for the others."""
    error = value - target
    low, high = np.quantile(error, [0.005, 0.995])
    kept = error[(error >= low) & (error <= high)]
    counts, edges = np.histogram(kept, bins=30 if len(kept) >= 200 else 12)
    note = f"The middle 99 %. Mean {digits(error.mean())}, standard deviation {digits(error.std())}."
    return Histogram("Errors", "predicted - true", numbers(edges), tuple(counts.tolist()), note)


def _by_tenth(target: np.ndarray, value: np.ndarray) -> Panel:
    """Where on the scale the errors are: tenths of the items by their true value."""
    edges = np.unique(np.quantile(target, np.linspace(0, 1, 11)))
    edges = edges if len(edges) > 1 else np.repeat(edges, 2)
    place = np.searchsorted(edges[1:-1], target, "right")
    rows = []
    for i, (low, high) in enumerate(pairwise(edges)):
        error = (value - target)[place == i]
        if len(error):
            size = np.abs(error)
            figures = (float(size.mean()), float(np.median(size)), float(error.mean()))
            rows.append((f"{digits(low)} to {digits(high)}", len(error), *figures))
    columns = ("true value", "items", "mean size of the error", "median", "mean error")
    return Table("Error by size of the true value", columns, tuple(rows))


def _worst(target: np.ndarray, value: np.ndarray, most: int = 24) -> Panel:
    error = value - target
    rows = np.argsort(-np.abs(error), kind="stable")[:most]
    captions = tuple(
        (f"is {digits(target[r])}", f"predicted {digits(value[r])}", f"error {digits(error[r])}") for r in rows
    )
    return Gallery("Worst errors", tuple(rows.tolist()), captions, "Look for wrong labels first.")
