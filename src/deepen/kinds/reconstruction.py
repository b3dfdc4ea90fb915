"""An item told again from its code. Outputs: again (B, ...) in the item's unit, code (B, d), loss (B,).

The truth is the item itself. `loss` is what the network loses on an item, large for one unlike those it was trained
on: with a threshold of the user's own a score of anomaly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from deepen import metrics
from deepen.likeness import LEVELS, Likeness, some
from deepen.panels import Curves, Gallery, Histogram, Line, Panel, PerItem, digits, numbers, thin
from deepen.tensors import Arrays, Tensor

WORST = 16


class Reconstruction(Likeness, frozen=True, kw_only=True):
    """How far what comes out is from what went in.

    likelihood  gaussian: numbers around what the network says; bernoulli: a picture's levels are chances of ink
    unit        of the loss: squared, on the scale of training (1: no better than the mean item), or nats
    """

    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    unit: Literal["squared", "nats"] = "squared"

    metric: ClassVar[str] = "loss"
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("again", "float32", ("batch", *self.shape)),
            Tensor("code", "float32", ("batch", "code")),
            Tensor("loss", "float32", ("batch",)),
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return np.ones(len(target), bool)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        names = ("loss", "code", "picture" if self.picture else "again")
        columns = (outputs["loss"].tolist(), outputs["code"].tolist(), self.shown(outputs["again"]))
        return [dict(zip(names, values)) for values in zip(*columns)]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        """loss: the network's own; r2, mae and psnr: of what it tells again, over the places that are known."""
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same figures for resamples (R, n), each (R,)."""
        truth, told = self.scaled(target), self.scaled(outputs["again"])
        missed, spread = _mean((told - truth) ** 2), _mean(truth**2)
        total = counts.sum(1)
        apart = outputs["again"].astype(np.float64) - target
        found = {
            "loss": counts @ outputs["loss"].astype(np.float64) / total,
            "r2": 1 - counts @ missed / np.maximum(counts @ spread, 1e-12),
            "mae": counts @ _mean(np.abs(apart)) / total,
        }
        if self.picture:
            found["psnr"] = counts @ (20 * np.log10(LEVELS) - 10 * np.log10(np.maximum(_mean(apart**2), 1e-3))) / total
        return found

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float] | None:
        """What telling the mean item every time would cost."""
        if self.unit != "squared":
            return None
        return "always telling the mean item", float(_mean(self.scaled(target) ** 2).mean())

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        return PerItem("mean loss", outputs["loss"].astype(np.float64), False)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """No answer to group items by: they are their own."""
        return iter(())

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of items told alike."""
        return self.alike(a["again"], b["again"])

    def difference(self, a: Arrays, b: Arrays) -> float:
        """Of what is told on the scale of training, of codes and losses as a share of their size."""
        own = self.furthest(a["again"], b["again"])
        return max(own, *(_relative(a[name], b[name]) for name in ("code", "loss")))

    def gap(self, a: Any, b: Any) -> float:
        if not isinstance(a, dict) or not isinstance(b, dict) or a.keys() != b.keys():
            return float("inf")
        told = "picture" if self.picture else "again"
        rest = [metrics.gap(a[name], b[name]) for name in ("loss", "code")]
        return max(self.apart(a[told], b[told]), *rest)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """What is unlike the training items is asked about first."""
        return outputs["loss"].astype(np.float64)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        return {"loss": outputs["loss"].astype(np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        told = "picture" if self.picture else "again"
        return {
            "again": self.read([answer[told] for answer in answers]),
            "code": np.array([answer["code"] for answer in answers], np.float32),
            "loss": np.array([answer["loss"] for answer in answers], np.float32),
        }

    def own(self, values: np.ndarray) -> np.ndarray:
        """What is told, in the item's unit; of chances it is their logits."""
        if self.likelihood == "gaussian":
            return super().own(values)
        return LEVELS / 2 * (1 + np.tanh(np.moveaxis(values, 1, -1).astype(np.float64) / 2))

    # ---------------------------------------------------------------- panels

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        loss = outputs["loss"].astype(np.float64)
        order = np.argsort(-loss, kind="stable")
        found: list[Panel] = []
        if self.picture:
            found.append(self._pairs("Items and what they became", some(len(target)), target, outputs))
        found += [_losses(loss, self.unit), *_codes(outputs["code"])]
        if self.picture:
            found.append(self._pairs("Told worst", order[:WORST], target, outputs, "Unlike the others, or damaged?"))
        else:
            said = tuple((f"loss {digits(loss[row])}",) for row in order[:WORST])
            found.append(Gallery("Told worst", tuple(order[:WORST].tolist()), said, "Unlike the others, or wrong?"))
        return found

    def _pairs(self, title: str, rows: np.ndarray, target: np.ndarray, outputs: Arrays, note: str = "") -> Panel:
        said = [f"loss {digits(value)}" for value in outputs["loss"][rows]]
        note = f"Above the item, below what the network tells of it. {note}".strip()
        return self.pictures(title, (target[rows], outputs["again"][rows]), said, note)

    def describe(self) -> str:
        return f"{super().describe()}, told again"


def _mean(values: np.ndarray) -> np.ndarray:
    """Of each item over the places that are known, (n,); 0 where none is."""
    flat = values.reshape(len(values), -1)
    known = ~np.isnan(flat)
    return np.where(known, flat, 0).sum(1) / np.maximum(known.sum(1), 1)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float((np.abs(a.astype(np.float64) - b) / np.maximum(1.0, np.abs(b))).max(initial=0))


def _losses(loss: np.ndarray, unit: str) -> Panel:
    """All but the outermost hundredth, which would leave no room for the others."""
    kept = loss[loss <= np.quantile(loss, 0.99)]
    counts, edges = np.histogram(kept, bins=30 if len(kept) >= 200 else 12)
    high = "; ".join(f"{share:.0%} lie above {digits(np.quantile(loss, 1 - share))}" for share in (0.05, 0.01))
    axis = "loss (squared, on the scale of training)" if unit == "squared" else "loss (nats)"
    note = f"A threshold for what is unlike the training items: {high}."
    return Histogram("Losses", axis, numbers(edges), tuple(counts.tolist()), note)


def _codes(code: np.ndarray) -> list[Panel]:
    """The items by the two directions in which their codes differ most."""
    if code.shape[1] < 2 or len(code) < 3:
        return []
    centred = code - code.mean(0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred[thin(centred[:, 0], 2000)], full_matrices=False)
    x, y = (centred @ axes[:2].T)[thin(centred[:, 0], 600)].T
    line = Line("items", numbers(x), numbers(y), points=True)
    return [Curves("Codes", "first direction", "second direction", (line,), "Near each other: alike to the network.")]
