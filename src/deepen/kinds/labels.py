"""Any number of labels per item (multi-label). Output: probabilities (B, K), each on its own.

p = 1 / (1 + exp(-z_k)),    z what the network gives
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError, Invalid, counted
from deepen.panels import Curves, Gallery, Panel, PerItem, Table, line, share
from deepen.schema import shortened
from deepen.tensors import Arrays, Tensor


class Labels(msgspec.Struct, frozen=True):
    """The label names, in the order of the network's outputs. As raw text, several are parted by `;` or `|`."""

    labels: tuple[str, ...]
    threshold: float = 0.5

    metric: ClassVar[str] = "f1_micro"
    fitted: ClassVar[str] = "all"
    widget: ClassVar[str] = "choices"
    steps: ClassVar[list[dict[str, Any]]] = []
    shares: ClassVar[tuple[str, ...]] = ("exact_match",)

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
        found = cls.names_in(values)
        if not found:
            raise DeepenError("data.labels", where, "no label at all", "texts such as 'red; round'")
        return cls(found)

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

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same figures for resamples (R, n), each (R,)."""
        return metrics.labels_resampled(target, outputs["probabilities"], counts, self.threshold)

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What an answer without a look at the item reaches: the one most frequent label."""
        most = int(train.mean(0).argmax())
        only = np.zeros(target.shape)
        only[:, most] = 1
        return f"always answering {self.labels[most]!r}", metrics.labels(target, only)[self.metric]

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """The share of an item's label decisions that are right."""
        right = (outputs["probabilities"] >= self.threshold) == (target >= 0.5)
        return PerItem("share of decisions right", right.mean(1), True)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Groups of items by their true labels, as names and masks (n,)."""
        yield from ((f"label = {name}", target[:, i] >= 0.5) for i, name in enumerate(self.labels))
        yield "no label", np.asarray((target < 0.5).all(1))

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

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer: how many labels, how sure of the least certain, each of the first 50."""
        p = outputs["probabilities"]
        given = np.where(p >= self.threshold, "yes", "no")
        sure = np.abs(p - 0.5).min(1).astype(np.float64) * 2
        each = {f"label {name}": given[:, i] for i, name in enumerate(self.labels[:50])}
        return {"labels": (p >= self.threshold).sum(1).astype(np.float64), "certainty": sure, **each}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The probabilities of decoded answers."""
        return {"probabilities": metrics.probabilities(answers, self.labels)}

    # ---------------------------------------------------------------- labels given by hand

    @classmethod
    def named(cls, names: Sequence[str]) -> Labels:
        odd = next((name for name in names if parts(name) != [name]), None)
        if odd is not None:
            raise Invalid(f"label {shortened(odd)}", "a name without ; and |, which part several")
        return cls(tuple(names))

    @property
    def names(self) -> tuple[str, ...]:
        return self.labels

    @classmethod
    def names_in(cls, values: Sequence[Any]) -> tuple[str, ...]:
        return tuple(sorted({label for value in values for label in parts(value) or ()}))

    def label(self, value: Any) -> list[str]:
        """The names in a raw label, in the order of `labels`; Invalid where one is not known."""
        found = None if isinstance(value, dict) else parts(value)
        if found is None:
            raise Invalid(f"labels {shortened(value)}", "a list of labels, empty for none")
        odd = [name for name in found if name not in self.labels]
        if odd:
            raise Invalid(f"label {shortened(odd[0])}", f"one of {', '.join(self.labels)}")
        return [name for name in self.labels if name in found]

    def suggest(self, answer: Any) -> list[str]:
        """A raw label from an answer of the model."""
        return answer["labels"]

    def distance(self, a: Sequence[str], b: Sequence[str]) -> float:
        """The share of names that only one of the two gives (Jaccard)."""
        either = {*a, *b}
        return len({*a} ^ {*b}) / len(either) if either else 0.0

    def consensus(self, values: Sequence[Sequence[str]]) -> list[str] | None:
        """The names that more than half give; None where a name has exactly half."""
        counts = {name: sum(name in value for value in values) for name in self.labels}
        if any(2 * n == len(values) for n in counts.values()):
            return None
        return [name for name, n in counts.items() if 2 * n > len(values)]

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        p, truth = outputs["probabilities"], target >= 0.5
        return [
            _per_label(self.labels, truth, p, self.threshold),
            *_curves(self.labels, truth, p),
            _calibration(truth, p),
            *_worst(self.labels, truth, p, self.threshold),
        ]

    def describe(self) -> str:
        return f"any of {self.width} labels"


def parts(value: Any) -> list[str] | None:
    """The labels in a raw value; None where it is not labelled."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (list, tuple)):
        return [str(v) for v in value]
    return [p.strip() for p in str(value).replace("|", ";").split(";") if p.strip()]


# ---------------------------------------------------------------- panels

MOST_LINES = 6  # curves in one picture that an eye can follow
BINS = 10


def _per_label(names: tuple[str, ...], truth: np.ndarray, p: np.ndarray, threshold: float) -> Table:
    guess = p >= threshold
    both, given, support = (what.sum(0) for what in (guess & truth, guess, truth))
    f1 = 2 * both / np.maximum(given + support, 1)
    rows = []
    for i in np.argsort(np.where(support > 0, f1, 2), kind="stable"):  # the worst first, absent ones last
        area = metrics.roc_auc(truth[:, i], p[:, i])
        rows.append(
            (
                names[i],
                int(support[i]),
                int(given[i]),
                share(both[i] / max(given[i], 1), given[i] > 0),
                share(both[i] / max(support[i], 1), support[i] > 0),
                share(f1[i], support[i] + given[i] > 0),
                share(area, not np.isnan(area)),
            )
        )
    columns = ("label", "items", "given", "precision", "recall", "F1", "AUC")
    return Table("Labels", columns, tuple(rows), f"Worst first. A label is given from {threshold:g} on.")


def _curves(names: tuple[str, ...], truth: np.ndarray, p: np.ndarray) -> list[Panel]:
    """Precision and recall of the labels told apart worst."""
    known = [i for i in range(len(names)) if 0 < truth[:, i].sum() < len(truth)]
    shown = sorted(known, key=lambda i: metrics.average_precision(truth[:, i], p[:, i]))[:MOST_LINES]
    if not shown:
        return []
    lines = [line(names[i], *metrics.precision_recall_curve(truth[:, i], p[:, i])) for i in shown]
    note = "What precision remains when more of a label is to be found." + (
        f" The {len(shown)} labels told apart worst." if len(shown) < len(known) else ""
    )
    return [Curves("Precision and recall", "recall", "precision", tuple(lines), note, unit=True)]


def _calibration(truth: np.ndarray, p: np.ndarray) -> Panel:
    """All label decisions together: whether a probability of 0.9 is right in 9 of 10 cases."""
    place = metrics.calibration_bin(p, BINS).ravel()
    count = np.bincount(place, minlength=BINS)
    some = count > 0
    stated, found = (np.bincount(place, what.ravel(), BINS)[some] / count[some] for what in (p, truth))
    lines = (line("all labels", stated, found),)
    return Curves("Calibration", "probability", "share that has the label", lines, "", True, True)


def _worst(names: tuple[str, ...], truth: np.ndarray, p: np.ndarray, threshold: float) -> list[Panel]:
    """The items whose single wrong decision was surest of itself."""
    gap = np.where((p >= threshold) != truth, np.abs(p - truth), 0)
    worst = gap.max(1)
    rows = np.argsort(-worst, kind="stable")[:24]
    rows = rows[worst[rows] > 0]
    if not len(rows):
        return []
    captions = []
    for r in rows:
        i = int(gap[r].argmax())
        has = ", ".join(name for name, yes in zip(names, truth[r]) if yes) or "no label"
        captions.append((f"is {has}", f"{names[i]}: {p[r, i]:.3f}"))
    note = f"{counted(int((worst > 0).sum()), 'item')} with a wrong label, the surest first."
    return [Gallery("Worst errors", tuple(rows.tolist()), tuple(captions), note)]
