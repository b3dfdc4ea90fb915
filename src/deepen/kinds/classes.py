"""One class of several per item. Output: probabilities (B, K)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError
from deepen.preprocess.row import text_or_none
from deepen.tensors import Arrays, Tensor


class Classes(msgspec.Struct, frozen=True):
    """The class names, in the order of the network's outputs."""

    classes: tuple[str, ...]

    metric: ClassVar[str] = "accuracy"
    fitted: ClassVar[str] = "all"
    steps: ClassVar[list[dict[str, Any]]] = []

    @property
    def width(self) -> int:
        return len(self.classes)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("probabilities", "float32", ("batch", self.width)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target") -> Classes:
        """Class names sorted; whole numbers in their own order. Names that differ only in case or spaces are refused."""
        names = {t for t in map(text_or_none, values) if t is not None}
        folded: dict[str, str] = {}
        for name in sorted(names):
            twin = folded.setdefault(" ".join(name.lower().split()), name)
            if twin != name:
                raise DeepenError(
                    "data.classes",
                    where,
                    f"classes {twin!r} and {name!r}",
                    "names that differ in more than case or spaces",
                    "rename one of them",
                )
        if len(names) < 2:
            shown = ", ".join(sorted(names)) or "none"
            raise DeepenError(
                "data.classes", where, f"{len(names)} class ({shown})", "at least two", "check the labels"
            )
        return cls(
            tuple(
                sorted(names, key=lambda n: (not n.lstrip("-").isdigit(), int(n) if n.lstrip("-").isdigit() else 0, n))
            )
        )

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """int64 (n,), -1 where there is no label."""
        code = {name: i for i, name in enumerate(self.classes)}
        result = np.empty(len(values), np.int64)
        for row, value in enumerate(values):
            text = text_or_none(value)
            if text is not None and text not in code:
                raise DeepenError(
                    "data.label",
                    f"{where}[{row}]",
                    f"class {text!r} is not known",
                    f"one of {', '.join(self.classes)}",
                    "fix the label or train with it",
                )
            result[row] = -1 if text is None else code[text]
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return target >= 0

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        probabilities = outputs["probabilities"]
        best = probabilities.argmax(1).tolist()
        return [
            {"label": self.classes[b], "probability": row[b], "probabilities": dict(zip(self.classes, row))}
            for b, row in zip(best, probabilities.tolist())
        ]

    def strata(self, target: np.ndarray) -> np.ndarray:
        """What a stratified split keeps in proportion."""
        return target

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        return metrics.classes(target, outputs["probabilities"])

    def agreement(self, a: Arrays, b: Arrays) -> float:
        return float((a["probabilities"].argmax(1) == b["probabilities"].argmax(1)).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        return float(np.abs(a["probabilities"] - b["probabilities"]).max())

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a, b)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """Entropy as a share of the largest possible, (n,) in [0, 1]."""
        p = np.clip(outputs["probabilities"], 1e-12, 1)
        return -(p * np.log(p)).sum(1) / np.log(self.width)

    def describe(self) -> str:
        shown = ", ".join(self.classes[:8]) + (", ..." if self.width > 8 else "")
        return f"{self.width} classes: {shown}"
