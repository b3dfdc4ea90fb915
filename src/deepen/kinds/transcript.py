"""What is said or written in an item, character by character. Output: log probabilities of each in each frame.

Paper    Graves et al. 2006, ICML, 369-376 (connectionist temporal classification).
frames   (B, T, K + 1): character 0 is the blank; ctc.OUTSIDE in frames behind an item's end
written  int64 (B, length): numbers of the characters, -1 behind the end; made by the program's step `ctc`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen.content import ctc
from deepen.errors import DeepenError, Invalid, typed
from deepen.panels import Gallery, Histogram, Panel, PerItem, numbers
from deepen.preprocess.row import text_or_none
from deepen.tensors import Arrays, Tensor

LONGEST = 1000  # characters
WORST = 24


class Transcript(msgspec.Struct, frozen=True):
    """The characters there are, in the order of the network's outputs behind the blank.

    beam  how many beginnings of a text are followed; 1: the likeliest path alone
    """

    characters: tuple[str, ...]
    beam: int = 1

    metric: ClassVar[str] = "character_error"
    fitted: ClassVar[str] = "all"
    form: ClassVar[str] = "steps"

    @property
    def width(self) -> int:
        return len(self.characters) + 1

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("frames", "float32", ("batch", "steps", self.width), join="pad", fill=ctc.OUTSIDE),)

    @property
    def steps(self) -> list[dict[str, Any]]:
        return [{"do": "ctc", "beam": self.beam}]

    @property
    def results(self) -> tuple[Tensor, ...]:
        return (*self.tensors, Tensor("written", "int64", ("batch", "length"), join="pad", fill=-1))

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target", beam: int = 1) -> Transcript:
        found = sorted({c for value in values for c in text_or_none(value) or ""})
        if not found:
            raise DeepenError("data.transcript", where, "no text at all", "what is said in each item")
        return cls(tuple(found), beam)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """int64 (n, longest), 0 behind a text's end; a row of -1 where there is none."""
        code = {c: i for i, c in enumerate(self.characters, 1)}
        texts = [text_or_none(value) for value in values]
        result = np.zeros((len(texts), max((len(text or "") for text in texts), default=0) or 1), np.int64)
        for row, text in enumerate(texts):
            if text is None:
                result[row] = -1
                continue
            strange = next((c for c in text if c not in code), None)
            if strange is not None or len(text) > LONGEST:
                found = f"{len(text):,} characters" if strange is None else f"character {strange!r} is not known"
                raise DeepenError("data.label", f"{where}[{row}]", found, f"at most {LONGEST} of {''.join(code)!r}")
            result[row, : len(text)] = [code[c] for c in text]
        return result

    def least(self, target: np.ndarray) -> np.ndarray:
        """int64 (n,): steps that each text takes at least: one a character, and a blank between two that are alike."""
        alike = (target[:, 1:] == target[:, :-1]) & (target[:, 1:] > 0)
        return (target > 0).sum(1) + alike.sum(1)

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return target[:, 0] >= 0

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.zeros(len(target), int)

    def _texts(self, codes: np.ndarray) -> list[str]:
        return ["".join(self.characters[c - 1] for c in row if c > 0) for row in codes.tolist()]

    def _said(self, outputs: Arrays) -> list[str]:
        """The texts; while training the program does not run, and the likeliest path tells."""
        return self._texts(outputs["written"] if "written" in outputs else ctc.written(outputs["frames"], 1))

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        return [{"text": text} for text in self._said(outputs)]

    def _counts(self, target: np.ndarray, outputs: Arrays) -> np.ndarray:
        """float64 (4, n): wrong and true characters, wrong and true words of each item."""
        pairs = list(zip(self._texts(target), self._said(outputs)))
        return np.array(
            [(ctc.edits(t, s), len(t), ctc.edits(t.split(), s.split()), len(t.split())) for t, s in pairs], float
        ).T.reshape(4, -1)

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found = self.resampled(target, outputs, np.ones((1, len(target))))
        return {name: float(value[0]) for name, value in found.items()}

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for resamples (R, n), each (R,)."""
        wrong, of, wrong_words, of_words = self._counts(target, outputs)
        share = lambda a, b: (counts @ a) / np.maximum(counts @ b, 1)
        return {
            "character_error": share(wrong, of),
            "word_error": share(wrong_words, of_words),
            "exact_match": share(wrong == 0, np.ones(len(wrong))),
        }

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        wrong, of, *_ = self._counts(target, outputs)
        return PerItem("wrong characters as a share of the true ones", wrong / np.maximum(of, 1), False)

    def slices(self, target: np.ndarray) -> Any:
        """Groups of items by how long the truth is."""
        length = (target > 0).sum(1)
        return ((f"{n} characters", length == n) for n in np.unique(length).tolist()[:20])

    def agreement(self, a: Arrays, b: Arrays) -> float:
        return float(np.mean([x == y for x, y in zip(self._said(a), self._said(b))]))

    def difference(self, a: Arrays, b: Arrays) -> float:
        """Of the probabilities."""
        return float(np.abs(np.exp(a["frames"]) - np.exp(b["frames"])).max(initial=0))

    def gap(self, a: Any, b: Any) -> float:
        return 0.0 if a == b else float("inf")

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """1 - the chance of the surest character, mean over the frames that are there."""
        frames = outputs["frames"]
        there = frames[:, :, ctc.BLANK] > ctc.OUTSIDE / 2
        unsure = np.where(there, 1 - np.exp(frames.max(2)), 0)
        return unsure.sum(1) / np.maximum(there.sum(1), 1)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        return {"characters": np.array([len(text) for text in self._said(outputs)], np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        codes = self.encode([answer["text"] or None for answer in answers])
        return {"written": np.where(codes > 0, codes, -1)}

    def label(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Invalid(f"got {typed(value)}", "a text")
        return value

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """How many mistakes an item has, and the items with most."""
        truth, said = self._texts(target), self._said(outputs)
        wrong = self._counts(target, outputs)[0]
        rows = [int(r) for r in np.argsort(-wrong, kind="stable")[:WORST] if wrong[r]]
        count = np.bincount(wrong.astype(int))
        panels: list[Panel] = [
            Histogram(
                "Mistakes in an item", "characters", numbers(np.arange(len(count) + 1) - 0.5), tuple(count.tolist())
            )
        ]
        captions = tuple((f"is {truth[r]!r}", f"heard as {said[r]!r}") for r in rows)
        return (
            [*panels, Gallery("Worst errors", tuple(rows), captions, "Look for wrong labels first.")]
            if rows
            else panels
        )

    def describe(self) -> str:
        return f"texts of {len(self.characters)} characters: {''.join(self.characters)[:40]}"
