"""One class of several per item. Output: probabilities (B, K).

p = exp(z_k) / sum_j exp(z_j),    z what the network gives
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen import metrics
from deepen.errors import DeepenError, Invalid, counted, listed
from deepen.panels import Curves, Gallery, Histogram, Matrix, Panel, PerItem, Share, Table, line, numbers, share
from deepen.preprocess.row import shown, text_or_none
from deepen.schema import shortened
from deepen.tensors import Arrays, Tensor


class Classes(msgspec.Struct, frozen=True):
    """The class names, in the order of the network's outputs."""

    classes: tuple[str, ...]

    metric: ClassVar[str] = "accuracy"
    fitted: ClassVar[str] = "all"
    widget: ClassVar[str] = "choice"
    steps: ClassVar[list[dict[str, Any]]] = []
    shares: ClassVar[tuple[str, ...]] = ("accuracy", "top_3_accuracy", "top_5_accuracy")
    distances: ClassVar[tuple[str, ...]] = ("ece",)

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
        names = cls.names_in(values)
        folded: dict[str, str] = {}
        for name in sorted(names):
            twin = folded.setdefault(" ".join(name.lower().split()), name)
            if twin != name:
                raise DeepenError(
                    "data.classes",
                    where,
                    f"classes {shown(twin)} and {shown(name)}",
                    "names that differ in more than case or spaces",
                    "rename one of them",
                )
        if len(names) < 2:
            found = f"{counted(len(names), 'class', 'classes')} ({listed([*names]) or 'none'})"
            raise DeepenError("data.classes", where, found, "at least two", "check the labels")
        _repeat([t for t in map(text_or_none, values) if t is not None], where)
        return cls(names)

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
                    f"class {shown(text)} is not known",
                    f"one of {listed(self.classes, 20)}",
                    "fix the label or train with it",
                )
            result[row] = -1 if text is None else code[text]
        return result

    def labelled(self, target: np.ndarray) -> np.ndarray:
        return target >= 0

    def counts(self, target: np.ndarray) -> np.ndarray:
        """int (K,): how often each class occurs."""
        return np.bincount(target, minlength=self.width)

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

    def resampled(self, target: np.ndarray, outputs: Arrays, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The same figures for resamples (R, n), each (R,)."""
        return metrics.classes_resampled(target, outputs["probabilities"], counts)

    def baseline(self, train: np.ndarray, target: np.ndarray) -> tuple[str, float]:
        """What an answer without a look at the item reaches: the most frequent class."""
        most = int(np.bincount(train, minlength=self.width).argmax())
        return f"always answering {self.classes[most]!r}", float((target == most).mean())

    def per_item(self, target: np.ndarray, outputs: Arrays) -> PerItem:
        """The figure that decides, item by item."""
        right = outputs["probabilities"].argmax(1) == target
        return PerItem("accuracy", right.astype(float), True)

    def slices(self, target: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Groups of items by their true answer, as names and masks (n,)."""
        return ((f"class = {name}", target == i) for i, name in enumerate(self.classes))

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

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each answer."""
        p = outputs["probabilities"]
        return {"class": np.array(self.classes)[p.argmax(1)], "confidence": p.max(1).astype(np.float64)}

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        """The probabilities of decoded answers."""
        return {"probabilities": metrics.probabilities(answers, self.classes)}

    # ---------------------------------------------------------------- labels given by hand

    @classmethod
    def named(cls, names: Sequence[str]) -> Classes:
        return cls(tuple(names))

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @classmethod
    def names_in(cls, values: Sequence[Any]) -> tuple[str, ...]:
        """The classes in raw labels, sorted; whole numbers in their own order."""
        names = {t for t in map(text_or_none, values) if t is not None}
        whole = {name: name.lstrip("-").isdigit() for name in names}
        return tuple(sorted(names, key=lambda n: (not whole[n], int(n) if whole[n] else 0, n)))

    def label(self, value: Any) -> str:
        """The class in a raw label; Invalid where it is none of them."""
        text = text_or_none(value)
        if text not in self.classes:
            raise Invalid(f"class {shortened(value)}", f"one of {', '.join(self.classes)}")
        return text

    def suggest(self, answer: Any) -> str:
        """A raw label from an answer of the model."""
        return answer["label"]

    def distance(self, a: str, b: str) -> float:
        return float(a != b)

    def consensus(self, values: Sequence[str]) -> str | None:
        """What most say; None in a tie."""
        (first, count), *others = Counter(values).most_common(2)
        return None if others and others[0][1] == count else first

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """What the report shows of the answers."""
        p = outputs["probabilities"]
        matrix = metrics.confusion(target, p.argmax(1), self.width)
        found: list[Panel] = [_matrix(self.classes, matrix), _per_class(self.classes, matrix, target, p)]
        if np.trace(matrix) < len(target):
            found.insert(1, _confusions(self.classes, matrix))
        return [*found, *_curves(self.classes, target, p), *_calibration(target, p), *_worst(self.classes, target, p)]

    def describe(self) -> str:
        return f"{self.width} classes: {listed(self.classes)}"


def _repeat(known: list[str], where: str) -> None:
    """Refuse names that hardly occur twice: nothing could be held out, and numbers are no classes."""
    count = len(set(known))
    try:
        numbers = [float(name) for name in known]
    except ValueError:
        numbers = []
    fractions = any(not number.is_integer() for number in numbers)
    if count == len(known) or (fractions and 2 * count > len(known)):
        raise DeepenError(
            "data.classes",
            where,
            f"{count} different values in {counted(len(known), 'item')}, such as {shown(known[0])}",
            "classes that repeat",
            "did you mean data.kind=number?" if numbers else "give each class several items",
        )


# ---------------------------------------------------------------- panels

MOST_LINES = 6  # curves in one picture that an eye can follow
BINS = 10


def _matrix(names: tuple[str, ...], matrix: np.ndarray) -> Matrix:
    counts = tuple(map(tuple, matrix.tolist()))
    return Matrix("Confusion matrix", names, counts, "Each row is a true class; what lies off the diagonal is wrong.")


def _confusions(names: tuple[str, ...], matrix: np.ndarray) -> Table:
    """The pairs of classes most often mixed up."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:10]
    rows = []
    for truth, given in zip(*np.unravel_index(order, wrong.shape)):
        if wrong[truth, given]:
            among = float(wrong[truth, given] / matrix[truth].sum())
            rows.append((names[truth], names[given], int(wrong[truth, given]), Share(among)))
    return Table("Most frequent confusions", ("is", "taken for", "items", "of the class"), tuple(rows))


def _per_class(names: tuple[str, ...], matrix: np.ndarray, target: np.ndarray, p: np.ndarray) -> Table:
    precision, recall, f1 = metrics.precision_recall_f1(matrix)
    support, given = matrix.sum(1), matrix.sum(0)
    rows = []
    for i in np.argsort(np.where(support > 0, f1, 2), kind="stable"):  # the worst first, absent ones last
        area = metrics.roc_auc(target == i, p[:, i])
        rows.append(
            (
                names[i],
                int(support[i]),
                share(precision[i], given[i] > 0),
                share(recall[i], support[i] > 0),
                share(f1[i], support[i] + given[i] > 0),
                share(area, not np.isnan(area)),
            )
        )
    absent = int((support == 0).sum())
    note = "Worst first." + (f" {absent} of the classes do not occur in this part." if absent else "")
    return Table("Classes", ("class", "items", "precision", "recall", "F1", "AUC"), tuple(rows), note)


def _curves(names: tuple[str, ...], target: np.ndarray, p: np.ndarray) -> list[Panel]:
    """ROC and precision-recall: of two classes the second, of many the ones told apart worst."""
    both = [c for c in range(len(names)) if 0 < (target == c).sum() < len(target)]
    if not both:
        return []
    shown = [1] if len(names) == 2 else sorted(both, key=lambda c: metrics.roc_auc(target == c, p[:, c]))[:MOST_LINES]
    roc = [line(names[c], *metrics.roc_curve(target == c, p[:, c])) for c in shown]
    pr = [line(names[c], *metrics.precision_recall_curve(target == c, p[:, c])) for c in shown]
    some = "" if len(shown) == len(both) or len(names) == 2 else f" The {len(shown)} classes told apart worst."
    return [
        Curves(
            "ROC curves",
            "false positive rate",
            "true positive rate",
            tuple(roc),
            f"The nearer to the upper left corner, the better; the diagonal is chance.{some}",
            diagonal=True,
            unit=True,
        ),
        Curves(
            "Precision and recall",
            "recall",
            "precision",
            tuple(pr),
            f"What precision remains when more of a class is to be found.{some}",
            unit=True,
        ),
    ]


def _calibration(target: np.ndarray, p: np.ndarray) -> list[Panel]:
    """Whether 90 % sure means right in 9 of 10 cases."""
    confidence, right = p.max(1).astype(np.float64), p.argmax(1) == target
    place = metrics.calibration_bin(confidence, BINS)
    count = np.bincount(place, minlength=BINS)
    some = count > 0
    sure, found = (np.bincount(place, values, BINS)[some] / count[some] for values in (confidence, right))
    ece = float(metrics.calibration_error(confidence, right)[0])
    gap = float(confidence.mean() - right.mean())
    word = "too sure of itself" if gap > 0 else "less sure than it could be"
    note = f"Expected calibration error {ece:.3f}." + (
        f" On the whole it is {word}, by {abs(gap):.3f}." if abs(gap) >= 0.005 else ""
    )
    edges = numbers(np.linspace(0, 1, BINS + 1))
    return [
        Curves("Calibration", "confidence", "share right", (line("answers", sure, found),), note, True, True),
        Histogram("Confidence of the answers", "confidence", edges, tuple(count.tolist())),
    ]


def _worst(names: tuple[str, ...], target: np.ndarray, p: np.ndarray, most: int = 24) -> list[Panel]:
    """The wrong answers that were surest of themselves."""
    guess, confidence = p.argmax(1), p.max(1)
    wrong = np.flatnonzero(guess != target)
    rows = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    if not len(rows):
        return []
    captions = tuple(
        (f"is {names[target[r]]}", f"taken for {names[guess[r]]}", f"{confidence[r]:.3f} sure") for r in rows
    )
    note = f"The surest {len(rows)} of {len(wrong)} wrong answers. Look for wrong labels first."
    return [Gallery("Worst errors", tuple(rows.tolist()), captions, note)]
