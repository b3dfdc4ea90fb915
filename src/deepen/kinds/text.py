"""A text as the answer to a text. Output: what each piece of the true answer cost in nats, and what comes next.

The program's `write` step writes the answer, piece by piece, until the mark ends it.
    bleu  exp(mean over n = 1..4 of log p_n) min(1, e^(1 - r / c))     p_n: share of the answers' n-grams found in the truth
Paper    Papineni et al. 2002, 10.3115/1073083.1073135, section 2.3; over the whole corpus, words and marks as they are cut.
Letters  B items, L pieces, V pieces in the vocabulary, c and r: words in the answers and in the truth, R resamples
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from deepen import metrics
from deepen.content.pieces import FIRST, WORD
from deepen.errors import DeepenError
from deepen.panels import Gallery, Histogram, Panel, PerItem, numbers
from deepen.preprocess.pair import Pair
from deepen.tensors import Arrays, Tensor

FIRM = 1e-3  # nats: a piece that leads by less may be another one on another machine
WORST = 24  # answers that are shown
RUN = 4  # words: where no answer has as many, BLEU says nothing


class Text(msgspec.Struct, frozen=True):
    """The vocabulary, which is also that of what is asked; `beams`: answers that are followed side by side."""

    words: tuple[str, ...]
    pieces: Literal["word", "character", "bytepair"]
    longest: int
    lower: bool = False
    beams: int = 1

    metric: ClassVar[str] = "nats"
    fitted: ClassVar[str] = "train"
    each: ClassVar[bool] = True
    sources: ClassVar[int] = 1
    shares: ClassVar[tuple[str, ...]] = ("exact_match",)

    @property
    def width(self) -> int:
        return len(self.words) + FIRST + 1

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            Tensor("nats", "float32", ("batch", "written"), join="pad"),
            Tensor("right", "int64", ("batch", "written"), join="pad", fill=-1),
            Tensor("next", "float32", ("batch", self.width)),
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return (
            *self.tensors,
            Tensor("written", "int64", ("batch", "pieces"), join="pad"),
            Tensor("margin", "float64", ("batch",)),
        )

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What the program does after the graph."""
        return [{"do": "write", "length": self.longest, "mark": self.width - 1, "beams": self.beams}]

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target", beams: int = 1, **options: Any) -> Text:
        """The same vocabulary as the encoder's: both are of the training pairs, (text, answer) or None."""
        pair = Pair.fit([value for value in values if value is not None], **options)
        return cls(pair.words, pair.pieces, pair.longest, pair.lower, beams)

    def _pair(self) -> Pair:
        return Pair(self.words, self.longest, self.pieces, lower=self.lower)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """int64 (n, longest): the pieces of each answer, 0 fills up; -1 at first where there is none."""
        pair = self._pair()
        result = np.zeros((len(values), self.longest), np.int64)
        for row, value in enumerate(values):
            answer = value[1] if isinstance(value, tuple) else value
            found = [-1] if answer is None else pair.numbers(answer)
            result[row, : len(found)] = found
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return target[:, 0] >= 0

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.zeros(len(target), int)

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        pair = self._pair()
        rows = zip(outputs["written"].tolist(), outputs["margin"].tolist())
        return [{"text": pair.text(row), "margin": margin} for row, margin in rows]

    # ---------------------------------------------------------------- figures

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for resamples (R, n), each (R,). While training nothing is written: only what truth costs."""
        pieces = metrics.tokens_resampled(np.zeros(len(target)), outputs["nats"], outputs["right"], counts)
        found = {name: pieces[name] for name in ("nats", "perplexity", "accuracy")}
        if "written" in outputs:
            found["exact_match"] = counts @ self._exact(target, outputs) / counts.sum(1)
            truth = self._texts(target)
            if any(len(words) >= RUN for words in truth):
                found["bleu"] = metrics.bleu_resampled(truth, self._texts(outputs["written"]), counts)
        return found

    def _exact(self, target: np.ndarray, outputs: Arrays) -> np.ndarray:
        """float64 (n,): 1 where the answer is the truth, piece by piece."""
        length = max(target.shape[1], outputs["written"].shape[1])
        wide = lambda rows: np.pad(rows, [(0, 0), (0, length - rows.shape[1])])
        return (wide(target) == wide(outputs["written"])).all(1).astype(float)

    def _texts(self, rows: np.ndarray) -> list[list[str]]:
        pair = self._pair()
        return [WORD.findall(pair.text(row)) for row in rows.tolist()]

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What is reached without a look at the text: how often each piece occurs in training answers."""
        known = lambda rows: np.concatenate([rows[rows > 0], np.full(len(rows), self.width - 1)])
        share = np.bincount(known(train), minlength=self.width) + 1.0
        return "knowing only how often each piece occurs", float(-np.log(share / share.sum())[known(target)].mean())

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """The figure that decides, answer by answer."""
        return PerItem("nats", metrics.item_nats(outputs["nats"], outputs["right"]), False)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Groups of items by the length of the true answer."""
        length = (target > 0).sum(1)
        edges = np.unique(np.quantile(length, [0, 0.25, 0.5, 0.75, 1]).astype(int))
        place = np.searchsorted(edges[1:-1], length, "right")
        for i in range(len(edges) - 1):
            yield f"{edges[i]} to {edges[i + 1]} pieces", place == i

    def agreement(self, a: Arrays, b: Arrays) -> float:
        """Share of answers that are the same, or were hardly decided."""
        same = (a["written"] == b["written"]).all(1) | (np.minimum(a["margin"], b["margin"]) <= FIRM)
        return float(same.mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        """In nats, of the true answer and of what may come next where that is not all but impossible."""
        likely = np.maximum(a["next"], b["next"]) > np.log(1e-6)
        nexts = np.abs(a["next"] - b["next"])[likely]
        return float(max(np.abs(a["nats"] - b["nats"]).max(initial=0), nexts.max(initial=0)))

    def gap(self, a: Any, b: Any) -> float:
        """Answers may part where two pieces were as likely."""
        return float("inf") if a["text"] != b["text"] and min(a["margin"], b["margin"]) > FIRM else 0.0

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """1 where the closest choice was none, towards 0 where all were clear, (n,)."""
        return np.exp(-outputs["margin"])

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer: its length, and how clear its closest choice was."""
        return {
            "pieces written": (outputs["written"] > 0).sum(1).astype(np.float64),
            "doubt": self.uncertainty(outputs),
        }

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The pieces of decoded answers; what the truth would have cost is gone."""
        nothing = np.zeros((len(answers), 1))
        return {
            "nats": nothing.astype(np.float32), "right": nothing.astype(np.int64) - 1,
            "next": np.full((len(answers), self.width), -np.log(self.width), np.float32),
            "written": self.encode([answer["text"] for answer in answers]),
            "margin": np.array([answer["margin"] for answer in answers], np.float64),
        }  # fmt: skip

    def label(self, value: Any) -> Any:
        """Any text."""
        return self._pair().parse(value)

    @classmethod
    def named(cls, names: Sequence[str]) -> Text:
        raise DeepenError("kind.text", "text", "written answers are not labelled by hand", "a column of them")

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        pair, exact = self._pair(), self._exact(target, outputs)
        rows = np.flatnonzero(exact == 0)
        rows = rows[np.argsort(-outputs["margin"][rows], kind="stable")][:WORST]
        texts = lambda array: [pair.text(row) for row in array[rows].tolist()]
        captions = tuple(
            (f"is {truth}", f"written {text}") for truth, text in zip(texts(target), texts(outputs["written"]))
        )
        counts, edges = np.histogram(np.minimum(outputs["margin"], 10), bins=20)
        found: list[Panel] = [
            Histogram(
                "How clear the closest choice was",
                "nats",
                numbers(edges),
                tuple(counts.tolist()),
                "10 and above as 10.",
            )
        ]
        if len(rows):
            note = f"The surest {len(rows)} of {int((exact == 0).sum())} answers that are not the truth."
            found.append(Gallery("Wrong answers", tuple(rows.tolist()), captions, note))
        return found

    def describe(self) -> str:
        how = f"{self.beams} beams" if self.beams > 1 else "the likeliest pieces"
        return f"a text of up to {self.longest} pieces ({how})"
