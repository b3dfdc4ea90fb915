"""Whether there is a link between two nodes. Output: probability (B,).

Links that were held out are told from as many pairs without one, so that 0.5 means: no likelier than a pair at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.panels import Curves, Gallery, Histogram, Panel, PerItem, line, numbers
from deepen.tensors import Arrays, Tensor

EPS = 1e-12
WORST = 24


class Link(msgspec.Struct, frozen=True):
    """Links of a graph, of which some are known. `known`: the data tells what is true, no labeller is needed."""

    metric: ClassVar[str] = "auc"
    fitted: ClassVar[str] = "all"
    model: ClassVar[str] = "graph_autoencoder"
    known: ClassVar[bool] = True
    steps: ClassVar[list[dict[str, Any]]] = []
    shares: ClassVar[tuple[str, ...]] = ("accuracy",)
    width: ClassVar[int] = 1

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("probability", "float32", ("batch",)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target") -> Link:
        return cls()

    def encode(self, values: Sequence[bool], where: str = "target") -> np.ndarray:
        """int64 (n,): 1 where there is a link."""
        return np.array(values, np.int64)

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.ones(len(target), bool)

    def strata(self, target: np.ndarray) -> np.ndarray:
        return target

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        return [{"linked": value >= 0.5, "probability": value} for value in outputs["probability"].tolist()]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for resamples (R, n), each (R,)."""
        p = outputs["probability"].astype(np.float64)
        auc, precision = metrics.areas(target == 1, p, counts)
        per_item = {"accuracy": (p >= 0.5) == target, "log_loss": _missed(target, p)}
        rest = {name: counts @ values.astype(np.float64) / counts.sum(1) for name, values in per_item.items()}
        return {"auc": auc, "average_precision": precision, **rest}

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What an answer without a look at the pair reaches."""
        return "a guess", 0.5

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        p = outputs["probability"].astype(np.float64)
        return PerItem("log_loss", _missed(target, p), False)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        return iter((("linked", target == 1), ("not linked", target == 0)))

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of pairs on the same side of 0.5."""
        return float(((a["probability"] >= 0.5) == (b["probability"] >= 0.5)).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        return float(np.abs(a["probability"] - b["probability"]).max(initial=0))

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a["probability"], b["probability"])

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """1 at a probability of 0.5."""
        return 1 - np.abs(2 * outputs["probability"].astype(np.float64) - 1)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        return {"probability": outputs["probability"].astype(np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        return {"probability": np.array([answer["probability"] for answer in answers], np.float32)}

    # ---------------------------------------------------------------- panels

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        p = outputs["probability"].astype(np.float64)
        linked = target == 1
        found: list[Panel] = []
        if 0 < linked.sum() < len(linked):
            found = [
                Curves(
                    "ROC curve", "pairs without a link above", "links above",
                    (line("links", *metrics.roc_curve(linked, p)),),
                    "The nearer to the upper left corner, the better; the diagonal is chance.", True, True,
                ),
                Curves(
                    "Precision and recall", "recall", "precision",
                    (line("links", *metrics.precision_recall_curve(linked, p)),),
                    "Half of the pairs measured are links; among all pairs of a graph links are far rarer.", unit=True,
                ),
            ]  # fmt: skip
        edges = np.linspace(0, 1, 21)
        found += [
            Histogram(f"Probabilities of {name}", "probability", numbers(edges), _counted(p[rows], edges))
            for name, rows in self.slices(target)
        ]
        missed = _missed(target, p)
        rows = np.argsort(-missed, kind="stable")[:WORST]
        said = tuple((f"{'linked' if target[r] else 'not linked'}", f"probability {p[r]:.3f}") for r in rows)
        note = "The pairs told worst. Two nodes that should be linked and are not: is an edge missing from the data?"
        return [*found, Gallery("Worst errors", tuple(rows.tolist()), said, note)]

    def describe(self) -> str:
        return "whether two nodes are linked"


def _counted(values: np.ndarray, edges: np.ndarray) -> tuple[int, ...]:
    return tuple(np.histogram(values, edges)[0].tolist())


def _missed(target: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Log loss of each pair in nats."""
    return -np.log(np.clip(np.where(target == 1, p, 1 - p), EPS, 1))
