"""An item made from a draw. Output: made (B, ...) in the item's unit.

Truth and answers are two sets, not pairs: the figures say how the sets lie to each other.

    frechet    |m - m'|^2 + trace(S + S' - 2 (S S')^1/2)       m, S: mean and covariance of what is looked at
    precision  share of what is made that lies in a ball of a true item, which reaches to its k-th neighbour
    coverage   share of true items in whose ball something made lies: the lower, the less of the data is made
    likeness   the harmonic mean of the last two; frechet sees mean and covariance alone, and many sets share those

What is looked at are an array's numbers, or a picture made small (SIDE a side), on the scale of training. It is no
Frechet inception distance: no network looks, and figures compare on the same data alone.

Papers   frechet: Dowson and Landau 1982, as Heusel et al. 2017, arXiv:1706.08500, use it on features.
         precision: Kynkaanniemi et al. 2019, arXiv:1904.06991; coverage: Naeem et al. 2020, arXiv:2002.09797, eq. 4.
Letters  R resamples, n items, d numbers looked at
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from deepen import metrics
from deepen.likeness import Likeness
from deepen.panels import Panel, thin
from deepen.preprocess.draw import Draw
from deepen.tensors import Arrays, Tensor

SIDE = 7
NEAR = 5  # k
GROUP = 250  # items among which neighbours are looked for: balls shrink with their number, figures with the balls
MOST = 1000  # items in all groups


class Sample(Likeness, frozen=True, kw_only=True):
    """What a generator makes, like the training items.

    reads  how those were read
    draws  numbers an item is made from
    """

    reads: dict[str, dict[str, Any]]
    draws: int

    metric: ClassVar[str] = "likeness"
    fitted: ClassVar[str] = "train"
    distances: ClassVar[tuple[str, ...]] = ("frechet_error",)
    steps: ClassVar[list[dict[str, Any]]] = []

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("made", "float32", ("batch", *self.shape)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    def given(self, count: int) -> tuple[Draw, np.ndarray]:
        """What goes in in the place of so many items, float32 (count, draws)."""
        draws = np.random.default_rng(0).standard_normal((count, self.draws))
        return Draw(self.draws), draws.astype(np.float32)

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.ones(len(target), bool)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        name = "picture" if self.picture else "made"
        return [{name: value} for value in self.shown(outputs["made"])]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for resamples (R, n), each (R,)."""
        true, made = self.looked_at(target), self.looked_at(outputs["made"])
        kept = thin(true[:, 0], MOST)
        inside, covered = in_groups(true[kept], made[kept])
        some_counts = counts[:, kept]
        total = np.maximum(some_counts.sum(1), 1)
        distance = [metrics.frechet(metrics.moments(true, row), metrics.moments(made, row)) for row in counts]
        precision, coverage = some_counts @ inside / total, some_counts @ covered / total
        return {
            "likeness": 2 * precision * coverage / np.maximum(precision + coverage, 1e-12),
            "precision": precision,
            "coverage": coverage,
            "frechet_error": np.array(distance),
        }

    def looked_at(self, values: np.ndarray) -> np.ndarray:
        """float64 (n, d): an array's numbers, the means over the fields of a picture; what is missing is the mean."""
        scaled = np.nan_to_num(self.scaled(values))
        if self.picture:
            scaled = _small(_small(scaled, 1), 2)
        return scaled.reshape(len(values), -1)

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of items made alike."""
        return self.alike(a["made"], b["made"])

    def difference(self, a: Arrays, b: Arrays) -> float:
        """The largest, on the scale of training."""
        return self.furthest(a["made"], b["made"])

    def gap(self, a: Any, b: Any) -> float:
        name = "picture" if self.picture else "made"
        if not isinstance(a, dict) or not isinstance(b, dict) or a.keys() != b.keys():
            return float("inf")
        return self.apart(a[name], b[name])

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """A generator is as sure of one item as of another."""
        return np.zeros(len(outputs["made"]))

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each item: mean and deviation of its numbers."""
        values = outputs["made"].reshape(len(outputs["made"]), -1).astype(np.float64)
        return {"mean": values.mean(1), "deviation": values.std(1)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        return {"made": self.read([answer["picture" if self.picture else "made"] for answer in answers])}

    # ---------------------------------------------------------------- panels

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        return self.beside(target, outputs["made"])

    def describe(self) -> str:
        return f"{super().describe()}, made from {self.draws} draws"


def _small(values: np.ndarray, axis: int) -> np.ndarray:
    """Means over SIDE stretches of nearly equal length."""
    size = values.shape[axis]
    edges = np.unique(np.arange(SIDE) * size // SIDE)
    lengths = np.diff([*edges, size])
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    return np.add.reduceat(values, edges, axis) / lengths.reshape(shape)


def in_groups(true: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`near` of each row among about GROUP others."""
    inside, covered = np.zeros(len(true)), np.zeros(len(true))
    groups = max(1, len(true) // GROUP)
    for i in range(groups):
        inside[i::groups], covered[i::groups] = near(true[i::groups], made[i::groups])
    return inside, covered


def near(true: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each made row lies in the ball of a true one, and whether each true one's ball holds a made one."""
    own, across = apart(true, true), apart(true, made)
    place = min(NEAR, len(true) - 1)
    reach = np.partition(own, place, axis=1)[:, place, None]  # the nearest of all is itself
    inside = across <= reach
    return inside.any(0).astype(float), inside.any(1).astype(float)


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (n, m) of rows (n, d) and (m, d)."""
    return np.clip((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0, None)
