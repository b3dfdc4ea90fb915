"""What comes next in a series: `horizon` values of each column. Output: forecast (B, D, h) in the columns' own units.

A target (D, m + h) is the last season that was seen and what came after it, NaN where a number is missing; a missing
truth is left out of the loss and of every figure. The seasonal naive forecast repeats the season.

    mase   mean over columns of mean |forecast - truth| / mean |y_t - y_(t-m)| over the training rows
    skill  1 - mean |forecast - truth| / mean |naive - truth|, over the same items

Paper    Hyndman and Koehler 2006, 10.1016/j.ijforecast.2006.03.001, section 3.
Letters  n items, D columns, h steps ahead, m rows of a season, R resamples
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.content.cells import LARGEST_NUMBER
from deepen.errors import DeepenError, Invalid, counted, typed
from deepen.panels import Curves, Histogram, Line, Panel, PerItem, Table, digits, line, numbers
from deepen.tensors import Arrays, Tensor, Windows

MOST = 20_000  # windows that scales are taken from
DRAWN = 6  # forecasts that are drawn


class Series(msgspec.Struct, frozen=True):
    """The columns in order, and what training rows say of them.

    mean, scale  of the training answers
    naive        mean size of the error of repeating the last season, in training
    relative     the network answers changes from the newest value it sees
    """

    columns: tuple[str, ...]
    horizon: int
    season: int = 1
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    naive: tuple[float, ...] = ()
    relative: bool = True

    metric: ClassVar[str] = "mase"
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []

    @property
    def width(self) -> int:
        return len(self.columns) * self.horizon

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("forecast", "float32", ("batch", len(self.columns), self.horizon)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @property
    def block(self) -> int:
        """Items that follow each other and share rows: resampled together."""
        return self.season + self.horizon

    @classmethod
    def fit(
        cls,
        values: Windows,
        where: str = "target",
        columns: tuple[str, ...] = (),
        horizon: int = 1,
        season: int = 1,
        relative: bool = True,
    ) -> Series:
        some = values[np.arange(0, len(values), -(-len(values) // MOST))].astype(np.float64)  # (n, D, m + h)
        truth = some[:, :, season:]
        change = np.abs(some[:, :, season:] - some[:, :, :horizon])
        for column, size in zip(columns, np.nansum(change, (0, 2))):
            if not size > 0:
                raise DeepenError(
                    "data.series", f"column {column!r}", f"nothing changes from one season of {season} to the next",
                    "values that vary", "another target, or another data.season",
                )  # fmt: skip
        mean, scale = np.nanmean(truth, (0, 2)), np.nanstd(truth, (0, 2))
        naive = np.nanmean(change, (0, 2))
        scale = np.where(scale > 1e-8 * np.abs(mean), scale, naive)
        mean, scale, naive = (tuple(values.tolist()) for values in (mean, scale, naive))
        return cls(columns, horizon, season, mean, scale, naive, relative)

    def encode(self, values: Any, where: str = "target") -> np.ndarray:
        """float32 (n, D, m + h); given by hand: the answers alone, the season before them missing."""
        if isinstance(values, Windows):
            return values.whole()
        result = np.full((len(values), len(self.columns), self.season + self.horizon), np.nan, np.float32)
        for row, value in enumerate(values):
            if isinstance(value, np.ndarray):
                result[row] = value
            elif value is not None:
                given = self.label(value)
                result[row, :, self.season :] = [[np.nan if v is None else v for v in given[c]] for c in self.columns]
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.isfinite(target[:, :, self.season :]).any((1, 2))

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.zeros(len(target), int)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        return [{"forecast": dict(zip(self.columns, rows))} for rows in outputs["forecast"].tolist()]

    # ---------------------------------------------------------------- figures

    def _naive(self, target: np.ndarray) -> np.ndarray:
        """The last season again and again, (n, D, h)."""
        return target[:, :, : self.season][:, :, np.arange(self.horizon) % self.season]

    def _errors(self, target: np.ndarray, outputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """Errors of the forecast and of the seasonal naive one, float64 (n, D, h), NaN where there is no truth."""
        truth = target[:, :, self.season :].astype(np.float64)
        return outputs["forecast"] - truth, self._naive(target) - truth

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        return metrics.series(*self._errors(target, outputs), np.array(self.naive))

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same figures for resamples (R, n), each (R,)."""
        return metrics.series_resampled(*self._errors(target, outputs), np.array(self.naive), counts)

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What repeating the last season reaches."""
        what = "the newest value" if self.season == 1 else f"the last {counted(self.season, 'row')}"
        forecast = self._naive(target)
        known = np.where(np.isnan(forecast), np.array(self.mean)[:, None], forecast)
        return f"repeating {what}", self.metrics(target, {"forecast": known})[self.metric]

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """The size of the error, as the figure that decides counts it."""
        size = np.abs(self._errors(target, outputs)[0]) / np.array(self.naive)[:, None]
        return PerItem("mase", np.nanmean(size, (1, 2)), False)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Groups of items by quarters of what came, for one column."""
        if len(self.columns) > 1:
            return
        truth = target[:, 0, self.season :].astype(np.float64)
        mean = np.nansum(truth, 1) / np.isfinite(truth).sum(1)
        edges = np.unique(np.quantile(mean, [0, 0.25, 0.5, 0.75, 1]))
        place = np.searchsorted(edges[1:-1], mean, "right")
        for i, (low, high) in enumerate(pairwise(edges)):
            yield f"mean of what came {digits(low)} to {digits(high)}", place == i

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of values within a thousandth of the column's spread."""
        return float((np.abs(a["forecast"] - b["forecast"]) <= 1e-3 * np.array(self.scale)[:, None]).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        """In units of each column's spread."""
        return float((np.abs(a["forecast"] - b["forecast"]) / np.array(self.scale)[:, None]).max())

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a, b)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """A forecast says nothing about its own error: all alike."""
        return np.zeros(len(outputs["forecast"]))

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer: the mean of what is forecast."""
        mean = outputs["forecast"].astype(np.float64).mean(2)
        return {f"{name} ahead": mean[:, i] for i, name in enumerate(self.columns)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The values of decoded answers."""
        rows = [[answer["forecast"][name] for name in self.columns] for answer in answers]
        return {"forecast": np.array(rows, np.float32).reshape(-1, len(self.columns), self.horizon)}

    # ---------------------------------------------------------------- answers that came in later

    @classmethod
    def named(cls, names: Sequence[str]) -> Series:
        raise DeepenError(
            "kind.series",
            "series",
            "what comes next is not labelled by hand",
            "the rows themselves, when they are there",
        )

    def label(self, value: Any) -> dict[str, list[float | None]]:
        """What came, as a forecast says it; Invalid where it is not."""
        if not isinstance(value, dict) or set(value) != set(self.columns):
            raise Invalid(f"got {typed(value)}", f"an object with {', '.join(self.columns)}")
        for name, cells in value.items():
            if not isinstance(cells, list) or len(cells) != self.horizon:
                raise Invalid(f"column {name!r} holds {typed(cells)}", f"a list of {counted(self.horizon, 'number')}")
            for cell in cells:
                number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
                if cell is not None and not (number and abs(cell) <= LARGEST_NUMBER):
                    raise Invalid(f"column {name!r} holds {typed(cell)}", "numbers, null where one is missing")
        return value

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        error, naive = self._errors(target, outputs)
        found: list[Panel] = [*self._drawn(target, outputs, np.abs(error)), self._by_step(error, naive)]
        if len(self.columns) > 1:
            found.append(self._by_column(error, naive))
        return [*found, *(_residuals(name, error[:, i]) for i, name in enumerate(self.columns[:2]))]

    def describe(self) -> str:
        season = f"; a season is {counted(self.season, 'row')}" if self.season > 1 else ""
        return f"the next {counted(self.horizon, 'value')} of {', '.join(self.columns)}{season}"

    # ---------------------------------------------------------------- panels

    def _drawn(self, target: np.ndarray, outputs: Arrays, size: np.ndarray) -> list[Panel]:
        """Some forecasts of the first column, from the best to the worst, with what was seen and what came."""
        order = np.argsort(np.nan_to_num(size[:, 0]).mean(1), kind="stable")
        ranks = np.unique(np.linspace(0, len(order) - 1, min(DRAWN, len(order))).round().astype(int))
        before, after = np.arange(1 - self.season, 1), np.arange(1, self.horizon + 1)
        found: list[Panel] = []
        for rank in ranks:
            row = order[rank]
            seen, truth = np.split(target[row, 0].astype(np.float64), [self.season])
            lines = [_line("seen", before, seen), _line("what came", after, truth)]
            lines.append(_line("forecast", after, outputs["forecast"][row, 0]))
            better = f"{rank / max(len(order) - 1, 1):.0%} of the forecasts are better"
            found.append(
                Curves(f"A forecast of {self.columns[0]}", "steps ahead", self.columns[0], tuple(lines), better)
            )
        return found

    def _by_step(self, error: np.ndarray, naive: np.ndarray) -> Panel:
        """How the error grows with the distance, as a share of the scale."""
        scale, ahead = np.array(self.naive)[:, None], np.arange(1, self.horizon + 1)
        with np.errstate(invalid="ignore"):
            of = lambda errors: _means(np.abs(errors) / scale, (0, 1))
            lines = (_line("forecast", ahead, of(error)), _line("repeating the season", ahead, of(naive)))
        note = "1: the mean error of repeating the last season, in training."
        return Curves("Error by step", "steps ahead", "mase", lines, note)

    def _by_column(self, error: np.ndarray, naive: np.ndarray) -> Panel:
        mae, rmse, other = (
            _means(np.abs(error), (0, 2)),
            np.sqrt(_means(error**2, (0, 2))),
            _means(np.abs(naive), (0, 2)),
        )
        rows = tuple(
            (name, float(m), float(r), float(m / scale), float(1 - m / o))
            for name, m, r, scale, o in zip(self.columns, mae, rmse, self.naive, other)
        )
        return Table("Columns", ("column", "mae", "rmse", "mase", "skill"), rows)


def _means(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Means without what is missing; NaN where all is."""
    known = np.isfinite(values)
    count = known.sum(axes)
    return np.where(count > 0, np.where(known, values, 0).sum(axes) / np.maximum(count, 1), np.nan)


def _line(name: str, x: np.ndarray, y: np.ndarray) -> Line:
    known = np.isfinite(y)
    return line(name, x[known], y[known])


def _residuals(name: str, error: np.ndarray) -> Panel:
    """The errors of a column without their outermost hundredth, which would leave no room for the others."""
    known = error[np.isfinite(error)]
    low, high = np.quantile(known, [0.005, 0.995])
    counts, edges = np.histogram(known[(known >= low) & (known <= high)], bins=30)
    note = f"The middle 99 %. Mean {digits(known.mean())}, standard deviation {digits(known.std())}."
    return Histogram(f"Errors of {name}", "forecast - truth", numbers(edges), tuple(counts.tolist()), note)
