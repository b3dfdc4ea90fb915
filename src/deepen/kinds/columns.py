"""What is likely of each column of a row, given those that are known. Outputs: log_probability (B,), chances (B, S).

    log_probability   log P(known columns), all others summed out: a joint probability, in nats
    chances           P(column = state | known columns), of all columns side by side; of a known one 1 at its state

So a row with some columns is a query: their joint or marginal probability, and all conditional ones of the rest. Numbers
are cut into bins at quantiles of the training rows. The truth is the row itself: states int64 (n, V), -1 where missing.
Letters  V columns, S states of all columns, R resamples
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError, counted
from deepen.panels import Histogram, Panel, PerItem, Table, digits, numbers, thin
from deepen.preprocess.image import Image
from deepen.preprocess.row import Row
from deepen.tensors import Arrays, Tensor

NEW = "(new)"
SAME = 1e-3  # chances nearer than that agree
LEAST = 1e-9
MOST = 12  # columns, and rows, of what is made up


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The states of the columns of a row.

    borders     of the bins of each number, in its own unit
    categories  known values of each other column, behind what is new
    bins        a number is cut into at most
    """

    borders: dict[str, tuple[float, ...]]
    categories: dict[str, tuple[str, ...]]
    bins: int = 5

    metric: ClassVar[str] = "loss"
    open_ended: ClassVar[bool] = True  # how much of an item nobody can foretell is not known
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []
    asks: ClassVar[dict[str, dict[str, Any]]] = {"row": {"flagged": True}}
    model: ClassVar[str] = "bayes_net"
    partial: ClassVar[bool] = True  # items need not have all columns
    apart: ClassVar[bool] = True  # answers of one training mean other states than those of another

    @classmethod
    def of(cls, inputs: dict[str, Any], columns: dict[str, Any], rows: np.ndarray, bins: int = 5) -> Columns:
        """The bins of the training rows, and what is known of the other columns."""
        row = _only(inputs)
        borders = {}
        for i, name in enumerate(row.numbers):
            values = columns["numbers"][rows, i].astype(np.float64)
            values = values[~np.isnan(values)]
            cuts = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])) if len(values) else values
            borders[name] = tuple(cuts[cuts < values.max(initial=-np.inf)].tolist())
        return cls(borders=borders, categories=dict(row.categories), bins=bins)

    def column(self, inputs: dict[str, Any], columns: dict[str, Any]) -> np.ndarray:
        """The states of the items, (n, V)."""
        parts = []
        for i, cuts in enumerate(self.borders.values()):
            values = columns["numbers"][:, i].astype(np.float64)
            parts.append(np.where(np.isnan(values), -1, np.searchsorted(np.array(cuts), values)))
        if self.categories:
            parts += list(columns["categories"].T - 1)
        return np.stack(parts, 1)

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """What each column may be, in words."""
        return {name: _bins(cuts) for name, cuts in self.borders.items()} | {
            name: (NEW, *known) for name, known in self.categories.items()
        }

    @property
    def sizes(self) -> list[int]:
        return [len(states) for states in self.states.values()]

    @property
    def width(self) -> int:
        return sum(self.sizes)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("log_probability", "float32", ("batch",)),
            Tensor("chances", "float32", ("batch", self.width)),
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.ones(len(target), bool)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """No label says what the answer is: the rows do."""
        raise DeepenError("data.label", where, "labels", "none: these answers are measured on the rows themselves")

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        ends = np.cumsum(self.sizes)[:-1]
        found = []
        for told, row in zip(outputs["log_probability"].tolist(), outputs["chances"]):
            parts = zip(self.states.items(), np.split(row, ends))
            chances = {name: dict(zip(states, part.tolist())) for (name, states), part in parts}
            found.append({"log_probability": told, "chances": chances})
        return found

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        rows = [[p for part in answer["chances"].values() for p in part.values()] for answer in answers]
        told = [answer["log_probability"] for answer in answers]
        return {"log_probability": np.array(told, np.float32), "chances": np.array(rows, np.float32)}

    # ---------------------------------------------------------------- figures

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        """loss: minus the log probability of what is known of a row, mean over rows."""
        return {"loss": float(-outputs["log_probability"].astype(np.float64).mean())}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same for resamples (R, n), each (R,)."""
        return {"loss": -(counts @ outputs["log_probability"].astype(np.float64)) / counts.sum(1)}

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What columns give that do not know of each other."""
        loss = 0.0
        for v, size in enumerate(self.sizes):
            known, asked = train[train[:, v] >= 0, v], target[target[:, v] >= 0, v]
            share = (np.bincount(known, minlength=size) + 1 / size) / (len(known) + 1)
            loss -= float(np.log(share[asked]).sum())
        return "every column on its own", loss / max(1, len(target))

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        return PerItem("mean log probability", outputs["log_probability"].astype(np.float64), True)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """No answer to group items by: they are their own."""
        return iter(())

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of rows whose chances are alike."""
        return float((np.abs(a["chances"].astype(np.float64) - b["chances"]).max(1) <= SAME).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        """The largest of any chance, or of a log probability as a share of its size where that is above 1."""
        told = np.abs(a["log_probability"].astype(np.float64) - b["log_probability"])
        told = told / np.maximum(1.0, np.abs(b["log_probability"]))
        chance = np.abs(a["chances"].astype(np.float64) - b["chances"])
        return float(max(told.max(initial=0), chance.max(initial=0)))

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a, b)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """What is unlike the training rows is asked about first."""
        return -outputs["log_probability"].astype(np.float64)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        return {"log_probability": outputs["log_probability"].astype(np.float64)}

    # ---------------------------------------------------------------- panels

    def own(self, made: np.ndarray) -> np.ndarray:
        """Made-up states are as they are."""
        return made

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        found = outputs["log_probability"].astype(np.float64)
        counts, edges = np.histogram(found, bins=30 if len(found) >= 200 else 12)
        low = "; ".join(f"{share:.0%} lie below {digits(np.quantile(found, share))}" for share in (0.01, 0.05))
        note = f"A threshold for what is unlike the training rows: {low}."
        rows = np.argsort(found, kind="stable")[:MOST]
        return [
            Histogram("Probabilities", "log probability (nats)", numbers(edges), tuple(counts.tolist()), note),
            self._rows("Least likely", target[rows], "Unlike the others, or wrong?"),
        ]

    def beside(self, target: np.ndarray, made: np.ndarray) -> list[Panel]:
        """Rows that were made up, from the columns no other leads to on, and how often states stand in them."""
        made = made.astype(np.int64)
        some = thin(made[:, 0].astype(float), MOST)
        return [
            self._rows("Made", made[some], "Drawn column by column, none chosen by hand."),
            self._shares(target, made),
        ]

    def _rows(self, title: str, rows: np.ndarray, note: str) -> Table:
        names = [*self.states][:MOST]
        words = [*self.states.values()]
        cells = [tuple(words[v][row[v]] if row[v] >= 0 else "" for v in range(len(names))) for row in rows]
        return Table(title, tuple(names), tuple(cells), note)

    def _shares(self, target: np.ndarray, made: np.ndarray) -> Table:
        cells: list[tuple[str | float, ...]] = []
        for v, (name, states) in enumerate(self.states.items()):
            held, drawn = (np.bincount(c[c[:, v] >= 0, v], minlength=len(states)) for c in (target, made))
            for state in np.argsort(-held, kind="stable")[:3]:
                shares = (float(c[state] / max(1, c.sum())) for c in (held, drawn))
                cells.append((name, states[state], *(round(share, 3) for share in shares)))
        return Table("Held out and made", ("column", "state", "held out", "made"), tuple(cells), "Shares of the rows.")

    def describe(self) -> str:
        return f"the probability of {counted(len(self.sizes), 'column')}, each given the others"


def _only(inputs: dict[str, Any]) -> Row:
    """The one row of numbers and categories."""
    encoders = [*inputs.values()]
    row = encoders[0]
    if len(encoders) > 1 or not isinstance(row, Row) or row.dates:
        raise DeepenError(
            "method.input", "model bayes_net", "; ".join(encoder.describe() for encoder in encoders),
            "rows of numbers and categories",
            "leave other columns out: data.drop=[...]" if isinstance(row, Row)
            else "model=rbm" if isinstance(row, Image) else "model=gaussian_mixture or model=flow",
        )  # fmt: skip
    return row


def _bins(cuts: tuple[float, ...]) -> tuple[str, ...]:
    """Bins in words."""
    if not cuts:
        return ("any",)
    words = [f"{cut:.6g}" for cut in cuts]
    words = words if len({*words}) == len(words) else [repr(cut) for cut in cuts]
    between = (f"{a} to {b}" for a, b in pairwise(words))
    return (f"up to {words[0]}", *between, f"above {words[-1]}")
