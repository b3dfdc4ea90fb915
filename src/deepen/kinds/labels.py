"""Any number of labels per item (multi-label). Output: probabilities (B, K), each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError
from deepen.tensors import Arrays, Tensor


class Labels(msgspec.Struct, frozen=True):
    """The label names, in the order of the network's outputs. As raw text, several are parted by `;` or `|`."""

    labels: tuple[str, ...]
    threshold: float = 0.5

    metric: ClassVar[str] = "f1_micro"
    fitted: ClassVar[str] = "all"
    steps: ClassVar[list[dict[str, Any]]] = []

    @property
    def width(self) -> int:
        return len(self.labels)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (Tensor("probabilities", "float32", ("batch", self.width)),)

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    @classmethod
    def fit(cls, values: Sequence[Any], where: str = "target") -> Labels:
        found = sorted({label for value in values for label in parts(value) or ()})
        if not found:
            raise DeepenError("data.labels", where, "no label at all", "texts such as 'red; round'")
        return cls(tuple(found))

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """float32 (n, K) of 0 and 1; a row of NaN where there is no answer (an empty text is the answer "none")."""
        code = {name: i for i, name in enumerate(self.labels)}
        result = np.zeros((len(values), self.width), np.float32)
        for row, value in enumerate(values):
            found = parts(value)
            if found is None:
                result[row] = np.nan
                continue
            for label in found:
                if label not in code:
                    raise DeepenError(
                        "data.label",
                        f"{where}[{row}]",
                        f"label {label!r} is not known",
                        f"one of {', '.join(self.labels)}",
                    )
                result[row, code[label]] = 1
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return ~np.isnan(target[:, 0])

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        return [
            {
                "labels": [name for name, p in zip(self.labels, row) if p >= self.threshold],
                "probabilities": dict(zip(self.labels, row)),
            }
            for row in outputs["probabilities"].tolist()
        ]

    def strata(self, target: np.ndarray) -> np.ndarray:
        return np.nan_to_num(target).argmax(1)

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        return metrics.labels(target, outputs["probabilities"], self.threshold)

    def agreement(self, a: Arrays, b: Arrays) -> float:
        same = (a["probabilities"] >= self.threshold) == (b["probabilities"] >= self.threshold)
        return float(same.all(1).mean())

    def difference(self, a: Arrays, b: Arrays) -> float:
        return float(np.abs(a["probabilities"] - b["probabilities"]).max())

    def gap(self, a: Any, b: Any) -> float:
        return metrics.gap(a, b)

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """Of the least certain label, (n,) in [0, 1]."""
        return 1 - 2 * np.abs(outputs["probabilities"] - 0.5).min(1)

    def describe(self) -> str:
        return f"any of {self.width} labels"


def parts(value: Any) -> list[str] | None:
    """The labels in a raw value; None where it is not labelled."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (list, tuple)):
        return [str(v) for v in value]
    return [p.strip() for p in str(value).replace("|", ";").split(";") if p.strip()]
