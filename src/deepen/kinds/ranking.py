"""Which of many things comes next: all of them by how likely they are. Output: probabilities (B, N).

    hit_rate_10   share of items whose truth is among the ten likeliest
    ndcg_10       mean of 1 / log2(1 + rank) where the rank is at most 10, else 0        one truth, so the ideal is 1

The rank is that among all N, not among a few drawn ones (Krichene and Rendle 2020, "On sampled metrics").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError, Invalid, counted, listed
from deepen.panels import Curves, Line, Panel, PerItem, Share, Table, numbers
from deepen.preprocess.row import text_or_none
from deepen.schema import shortened
from deepen.tensors import Arrays, Tensor

TOP = 10


class Ranking(msgspec.Struct, frozen=True):
    """The things there are, and how often each came next in training.

    again  whether what somebody has had may come again
    about  what is known of each thing, as numbers; empty: nothing
    """

    items: tuple[str, ...]
    counts: tuple[int, ...]
    again: bool = False
    about: tuple[tuple[float, ...], ...] = ()

    metric: ClassVar[str] = "ndcg_10"
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []
    shares: ClassVar[tuple[str, ...]] = ("hit_rate_10", "hit_rate_1")

    @property
    def width(self) -> int:
        return len(self.items)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("chances", "float32", ("batch", self.width)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @classmethod
    def fit(
        cls,
        values: Sequence[Any],
        where: str = "target",
        items: tuple[str, ...] = (),
        again: bool = False,
        about: tuple[tuple[float, ...], ...] = (),
    ) -> Ranking:
        code = {item: i for i, item in enumerate(items)}
        known = [code[value] for value in values if value in code]
        if len(items) < 2 or not known:
            raise DeepenError("data.ranking", where, counted(len(items), "thing"), "at least two to choose from")
        return cls(items, tuple(np.bincount(known, minlength=len(items)).tolist()), again, about)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """int64 (n,), -1 where there is none."""
        code: dict[str | None, int] = {item: i for i, item in enumerate(self.items)}
        texts = [text_or_none(value) for value in values]
        strange = next((row for row, text in enumerate(texts) if text is not None and text not in code), None)
        if strange is not None:
            raise DeepenError(
                "data.label", f"{where}[{strange}]", f"{shortened(values[strange])} is not known", f"one of {listed(self.items)}"
            )  # fmt: skip
        return np.array([code.get(text, -1) for text in texts], np.int64).reshape(len(values))

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return target >= 0

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.zeros(len(target), int)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        """The ten likeliest with their chances; what cannot come is not among them."""
        chances = outputs["chances"]
        best = np.argsort(-chances, axis=1, kind="stable")[:, :TOP]
        return [
            {"items": [{"item": self.items[i], "probability": float(row[i])} for i in top if row[i] > 0]}
            for row, top in zip(chances, best.tolist())
        ]

    def ranks(self, target: np.ndarray, outputs: Arrays) -> np.ndarray:
        """1 for the likeliest, int64 (n,); of equals the mean place, rounded up."""
        chances = outputs["chances"]
        own = np.take_along_axis(chances, target[:, None], 1)
        above, equal = (chances > own).sum(1), (chances == own).sum(1)
        return above + (equal + 2) // 2

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for resamples (R, n), each (R,)."""
        rank = self.ranks(target, outputs)
        own = np.take_along_axis(outputs["chances"], target[:, None], 1)[:, 0].astype(np.float64)
        per_item = {
            "hit_rate_10": rank <= TOP,
            "ndcg_10": np.where(rank <= TOP, 1 / np.log2(1 + rank), 0),
            "hit_rate_1": rank == 1,
            "mrr": 1 / rank,
            "log_loss": -np.log(np.maximum(own, 1e-12)),
        }
        return {name: counts @ values.astype(np.float64) / counts.sum(1) for name, values in per_item.items()}

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What an answer without a look at the item reaches: always the most frequent."""
        count = np.bincount(train, minlength=self.width).astype(np.float32)
        chances = np.broadcast_to(count / count.sum(), (len(target), self.width))
        return "always the ten most frequent", self.metrics(target, {"chances": chances})[self.metric]

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        rank = self.ranks(target, outputs)
        return PerItem("ndcg_10", np.where(rank <= TOP, 1 / np.log2(1 + rank), 0), True)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Quarters by how often the truth came in training."""
        count = np.array(self.counts)[target]
        edges = np.unique(np.quantile(count, [0.25, 0.5, 0.75]))
        place = np.searchsorted(edges, count, "right")
        words = [f"seen less than {edges[0]:g} times", *(f"seen {edge:g} times and more" for edge in edges)]
        return ((word, place == i) for i, word in enumerate(words))

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of items with the same likeliest thing."""
        return float((a["chances"].argmax(1) == b["chances"].argmax(1)).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        return float(np.abs(a["chances"] - b["chances"]).max())

    def gap(self, a: Any, b: Any) -> float:
        """Of the chances; equals may stand in another order."""
        chances = [[one["probability"] for one in answer["items"]] for answer in (a, b)]
        return metrics.gap(*chances)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """Entropy as a share of the largest possible."""
        p = np.clip(outputs["chances"], 1e-12, 1)
        return -(p * np.log(p)).sum(1) / np.log(self.width)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        p = outputs["chances"]
        return {"first": np.array(self.items)[p.argmax(1)], "confidence": p.max(1).astype(np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The chances of decoded answers; of what is not in them nothing is known."""
        code = {item: i for i, item in enumerate(self.items)}
        chances = np.zeros((len(answers), self.width), np.float32)
        for row, answer in enumerate(answers):
            for one in answer["items"]:
                chances[row, code[one["item"]]] = one["probability"]
        return {"chances": chances}

    def label(self, value: Any) -> str:
        text = text_or_none(value)
        if text not in self.items:
            raise Invalid(f"got {shortened(value)}", "an id that is known")
        return text

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """How far down the truth stands, and what is proposed most."""
        rank = self.ranks(target, outputs)
        tops = np.arange(1, 51)
        hits = np.array([(rank <= k).mean() for k in tops])
        curve = Line("found", numbers(tops.astype(float)), numbers(hits))
        best = np.argsort(-outputs["chances"], axis=1, kind="stable")[:, :TOP]
        share = np.bincount(best.ravel(), minlength=self.width) / len(best)
        rows = tuple((self.items[i], Share(float(share[i])), self.counts[i]) for i in np.argsort(-share)[:TOP])
        note = f"{int((share > 0).sum())} of {self.width} things are proposed to somebody."
        return [
            Curves("Found among the first", "length of the list", "share of truths in it", (curve,), unit=False),
            Table("Proposed most", ("thing", "among the ten of", "times in training"), rows, note),
        ]

    def describe(self) -> str:
        return f"the next of {self.width:,} things"
