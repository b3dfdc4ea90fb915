"""How a text goes on. Output: what each piece of the given text cost in nats, and the logarithms of what comes next.

The program's `generate` step writes on from there; its array `written` is what is decoded.
nats per piece -log p(x_t | what came before); perplexity e^nats; bits per character nats / ln 2 over the text's characters
Letters  B items, L pieces, V pieces in the vocabulary, R resamples
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from deepen import metrics
from deepen.content.pieces import FIRST
from deepen.errors import DeepenError, counted
from deepen.panels import Curves, Gallery, Histogram, Panel, PerItem, digits, line, numbers
from deepen.preprocess.text import Text
from deepen.tensors import Arrays, Tensor

FIRM = 1e-3  # nats: a piece that leads by less may be another one on another machine
WORST = 12  # texts that are shown


class Tokens(msgspec.Struct, frozen=True):
    """The vocabulary, and how a text is gone on with.

    longest      pieces that are looked at
    alone        nats per piece where only their frequencies in training are known
    write        pieces that are written
    temperature  0: always the likeliest; below 1 what is likely becomes likelier
    top          the likeliest pieces that are drawn from; none: all
    seed         of what is drawn
    """

    words: tuple[str, ...]
    pieces: Literal["word", "character", "bytepair"]
    longest: int
    lower: bool = False
    alone: float = 0.0
    write: int = 100
    temperature: float = 0.8
    top: int | None = None
    seed: int = 0

    metric: ClassVar[str] = "nats"
    fitted: ClassVar[str] = "train"
    each: ClassVar[bool] = True

    @property
    def width(self) -> int:
        return len(self.words) + FIRST

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("nats", "float32", ("batch", "length"), join="pad"),
            Tensor("right", "int64", ("batch", "length"), join="pad", fill=-1),
            Tensor("next", "float32", ("batch", self.width)),
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What the program does for an answer. In training nothing is foretold from the last of `longest` places."""
        drawn = {"temperature": self.temperature, "top": self.top, "seed": self.seed}
        return [{"do": "generate", "length": self.write, "longest": self.longest - 1, **drawn}]

    @classmethod
    def fit(
        cls,
        values: Sequence[str],
        where: str = "text",
        pieces: Literal["word", "character", "bytepair"] = "character",
        longest: int = 129,
        most: int = 20_000,
        at_least: int = 1,
        lower: bool = False,
        **writing: Any,
    ) -> Tokens:
        """The same vocabulary as the encoder's: both are of the training texts."""
        text = Text.fit(values, most, at_least, longest, pieces, lower=lower)
        counts = Counter(number for value in values for number in text.numbers(value))
        if len(text.words) < 2:
            raise DeepenError("data.text", where, f"{counted(len(text.words), 'piece')} in all", "a text", "")
        share = np.array(list(counts.values())) / sum(counts.values())
        return cls(text.words, pieces, longest, lower, float(-(share * np.log(share)).sum()), **writing)

    def _text(self) -> Text:
        return Text(self.words, self.longest, self.pieces, lower=self.lower, newest=True)

    def encode(self, values: Sequence[Any], where: str = "text") -> np.ndarray:
        """int64 (n,): characters to foretell; -1 where there is no text, 0 where pieces do not say it."""
        text = self._text()
        result = np.full(len(values), -1, np.int64)
        for row, value in enumerate(values):
            if isinstance(value, str):
                result[row] = 0 if self.pieces == "word" else len(text.text(text.numbers(value)[1:]))
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return target >= 0

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.zeros(len(target), int)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        cost, text = metrics.item_nats(outputs["nats"], outputs["right"]), self._text()
        rows = zip(outputs["written"].tolist(), cost.tolist(), outputs["margin"].tolist())
        return [{"text": text.text(row), "nats": nats, "margin": margin} for row, nats, margin in rows]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        return metrics.tokens(target, outputs["nats"], outputs["right"])

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same figures for resamples (R, n), each (R,)."""
        return metrics.tokens_resampled(target, outputs["nats"], outputs["right"], counts)

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What is reached without a look at the text."""
        return "knowing only how often each piece occurs", self.alone

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """The figure that decides, text by text."""
        return PerItem("nats", metrics.item_nats(outputs["nats"], outputs["right"]), False)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """None: there is no answer to group by."""
        return iter(())

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of places at which both foretell the piece, or both do not; and of texts that go on alike."""
        same = (a["right"] == b["right"])[a["right"] >= 0]
        return float(min(same.mean() if same.size else 1.0, (a["next"].argmax(1) == b["next"].argmax(1)).mean()))

    def difference(self, a: Arrays, b: Arrays) -> float:
        """In nats, of the given text and of what may come next where that is not all but impossible."""
        likely = np.maximum(a["next"], b["next"]) > np.log(1e-6)
        nexts = np.abs(a["next"] - b["next"])[likely]
        return float(max(np.abs(a["nats"] - b["nats"]).max(initial=0), nexts.max(initial=0)))

    def gap(self, a: Any, b: Any) -> float:
        """What was given must cost the same; what is written may part where two pieces were as likely."""
        if a["text"] != b["text"] and min(a["margin"], b["margin"]) > FIRM:
            return float("inf")
        return metrics.gap(a["nats"], b["nats"])

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """Entropy of what comes next as a share of the largest possible, (n,) in [0, 1]."""
        logs = outputs["next"].astype(np.float64)
        return -(np.exp(logs) * logs).sum(1) / np.log(self.width)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer: how strange the given text is, and how open its end."""
        return {"nats": metrics.item_nats(outputs["nats"], outputs["right"]), "openness": self.uncertainty(outputs)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """What decoded answers say of the given texts, each as one piece."""
        nats = np.array([[answer["nats"]] for answer in answers], np.float32).reshape(-1, 1)
        unknown = np.full((len(answers), self.width), -np.log(self.width), np.float32)
        return {"nats": nats, "right": np.zeros(nats.shape, np.int64), "next": unknown}

    def label(self, value: Any) -> Any:
        """Any text."""
        return self._text().parse(value)

    @classmethod
    def named(cls, names: Sequence[str]) -> Tokens:
        raise DeepenError("kind.tokens", "tokens", "how a text goes on is not labelled by hand", "texts alone")

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        cost = metrics.item_nats(outputs["nats"], outputs["right"])
        counts, edges = np.histogram(cost, bins=30)
        note = f"Mean {digits(cost.mean())}; knowing only how often each piece occurs {digits(self.alone)}."
        return [
            self._by_place(outputs),
            Histogram("Nats per piece, text by text", "nats", numbers(edges), tuple(counts.tolist()), note),
            _hardest(cost),
        ]

    def _by_place(self, outputs: Arrays) -> Panel:
        """How much is gained from what came before."""
        there = outputs["right"] >= 0
        places = np.flatnonzero(there.any(0))
        mean = outputs["nats"].sum(0)[places] / there.sum(0)[places]
        return Curves(
            "Nats by place", "pieces seen", "nats", (line("texts", places, mean),),
            "Falls as long as more of what came before helps.",
        )  # fmt: skip

    def describe(self) -> str:
        how = "the likeliest" if not self.temperature else f"temperature {self.temperature:g}"
        top = f", top {self.top}" if self.top else ""
        noun = {"bytepair": "byte pairs"}.get(self.pieces, f"{self.pieces}s")
        return f"what comes next, of {len(self.words)} {noun}; writes {self.write} on ({how}{top}, seed {self.seed})"


def _hardest(cost: np.ndarray) -> Panel:
    rows = np.argsort(-cost, kind="stable")[:WORST]
    captions = tuple((f"{cost[row]:.2f} nats per piece",) for row in rows)
    return Gallery(
        "Hardest to foretell", tuple(rows.tolist()), captions, "Other languages, tables and noise show here."
    )
