"""How likely an item is under a density that was learnt. Output: log_density (B,), in nats, of the item in its own unit.

    log p(item) = log p(scaled item) + sum over places of log scale
    of ink: numbers from 0 to 1 (a picture's levels as shares of white) are chances that a place is 1, and what is told is
    a lower bound of the mean of log P over the items of 0 and 1 that they stand for, exact where all are 0 or 1

The truth is the item itself. A low density says that an item is unlike the training items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from deepen import metrics
from deepen.likeness import LEVELS, Likeness
from deepen.panels import Gallery, Histogram, Panel, PerItem, digits, numbers
from deepen.tensors import Arrays, Tensor

SAME = 1e-2  # nats: answers nearer than that agree
WORST = 16
LEAST = 1e-3  # chance of ink in a place that has none in training
FLOOR = 1e-6  # of the variances of the normal distribution that is compared with


class Density(Likeness, frozen=True, kw_only=True):
    """The density of items like those of training; of ink their probability."""

    ink: bool = False

    metric: ClassVar[str] = "loss"
    open_ended: ClassVar[bool] = True  # how much of an item nobody can foretell is not known
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("log_density", "float32", ("batch",)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @property
    def offset(self) -> float:
        """What a loss on the scale of training lacks to be one of items in their own unit, in nats."""
        return 0.0 if self.ink else -float(np.log(self.scale).sum())

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.ones(len(target), bool)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        return [{"log_density": value} for value in outputs["log_density"].tolist()]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        """loss: minus the log density, mean over items."""
        return {"loss": float(-outputs["log_density"].astype(np.float64).mean())}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same for resamples (R, n), each (R,)."""
        return {"loss": -(counts @ outputs["log_density"].astype(np.float64)) / counts.sum(1)}

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What one normal distribution of the training items gives; of ink places that do not know of each other."""
        if self.ink:
            chance, asked = self.chances(train).mean(0).clip(LEAST, 1 - LEAST), self.chances(target)
            told = asked * np.log(chance) + (1 - asked) * np.log(1 - chance)
            return "every place on its own", float(-told.sum(1).mean())
        known, asked = (np.nan_to_num(self.scaled(values)).reshape(len(values), -1) for values in (train, target))
        mean = known.mean(0)
        covariance = (known - mean).T @ (known - mean) / len(known) + FLOOR * np.eye(known.shape[1])
        apart = asked - mean
        square = (apart * np.linalg.solve(covariance, apart.T).T).sum(1)
        volume = np.linalg.slogdet(covariance)[1] + known.shape[1] * np.log(2 * np.pi)
        return "one normal distribution", float(0.5 * (square.mean() + volume) + self.offset)

    def chances(self, values: np.ndarray) -> np.ndarray:
        """float64 (n, d): of ink in each place; what is missing is as likely as not."""
        flat = np.nan_to_num(values.reshape(len(values), -1).astype(np.float64), nan=0.5)
        return (flat / LEVELS if self.picture else flat).clip(0, 1)

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        return PerItem("mean log density", outputs["log_density"].astype(np.float64), True)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """No answer to group items by: they are their own."""
        return iter(())

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of densities that are alike."""
        return float((_apart(a, b) <= SAME).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        """The largest, as a share of its size where that is above 1."""
        return float((_apart(a, b) / np.maximum(1.0, np.abs(b["log_density"]))).max(initial=0))

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a, b)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """What is unlike the training items is asked about first."""
        return -outputs["log_density"].astype(np.float64)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        return {"log_density": outputs["log_density"].astype(np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        return {"log_density": np.array([answer["log_density"] for answer in answers], np.float32)}

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        found = outputs["log_density"].astype(np.float64)
        kept = found[found >= np.quantile(found, 0.01)]
        counts, edges = np.histogram(kept, bins=30 if len(kept) >= 200 else 12)
        low = "; ".join(f"{share:.0%} lie below {digits(np.quantile(found, share))}" for share in (0.01, 0.05))
        note = f"A threshold for what is unlike the training items: {low}."
        rows = np.argsort(found, kind="stable")[:WORST]
        said = tuple((f"log density {digits(found[row])}",) for row in rows)
        return [
            Histogram("Densities", "log density (nats)", numbers(edges), tuple(counts.tolist()), note),
            Gallery("Least likely", tuple(rows.tolist()), said, "Unlike the others, or wrong?"),
        ]

    def describe(self) -> str:
        return f"the {'probability' if self.ink else 'density'} of {super().describe()}"


def _apart(a: Arrays, b: Arrays) -> np.ndarray:
    return np.abs(a["log_density"].astype(np.float64) - b["log_density"])
