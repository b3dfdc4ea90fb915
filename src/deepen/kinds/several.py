"""Several answers about one item, each of a kind of its own; an item may lack some of them.

    score = mean over the answers of the figure that decides there, of numbers r2        over the items that have it

target   float64 (n, columns): each kind's own target array, column by column
outputs  each kind's arrays under "name.array"
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import msgspec
import numpy as np

from deepen.panels import Gallery, Panel
from deepen.tensors import Arrays, Tensor


class Several(msgspec.Struct, frozen=True, dict=True):
    """Kinds by target name, in the order of the network's outputs."""

    kinds: dict[str, Any]

    metric: ClassVar[str] = "score"
    fitted: ClassVar[str] = "train"
    steps: ClassVar[list[dict[str, Any]]] = []

    @classmethod
    def fit(
        cls, values: Sequence[dict[str, Any]], where: str = "target", kinds: dict[str, Any] | None = None
    ) -> Several:
        """`kinds`: by target a class, which is fitted to its own answers, or a kind that is fitted already."""
        return cls(
            {
                name: kind if isinstance(kind, msgspec.Struct) else kind.fit([value[name] for value in values], name)
                for name, kind in (kinds or {}).items()
            }
        )

    @property
    def width(self) -> int:
        return sum(kind.width for kind in self.kinds.values())

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(
            msgspec.structs.replace(t, name=f"{name}.{t.name}") for name, k in self.kinds.items() for t in k.tensors
        )

    @property
    def results(self) -> tuple[Tensor, ...]:
        return self.tensors

    # ---------------------------------------------------------------- targets

    @cached_property
    def _empty(self) -> dict[str, np.ndarray]:
        """What each kind's targets look like."""
        return {name: kind.encode([]) for name, kind in self.kinds.items()}

    def place(self, name: str) -> tuple[slice, tuple[int, ...], str]:
        """Where one kind's targets stand: columns, the shape of an item's, and their type."""
        at = 0
        for other, empty in self._empty.items():
            count = math.prod(empty.shape[1:])
            if other == name:
                return slice(at, at + count), empty.shape[1:], str(empty.dtype)
            at += count
        raise KeyError(name)

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """float64 (n, columns) of objects {target: raw answer}."""
        parts = [kind.encode([v.get(name) for v in values], name) for name, kind in self.kinds.items()]
        return np.concatenate([part.reshape(len(values), -1).astype(np.float64) for part in parts], axis=1)

    def own(self, name: str, target: np.ndarray) -> np.ndarray:
        """One kind's target array."""
        columns, shape, dtype = self.place(name)
        return target[:, columns].reshape(len(target), *shape).astype(dtype)

    def known(self, name: str, target: np.ndarray) -> np.ndarray:
        """Which items have one kind's answer."""
        return self.kinds[name].labelled(self.own(name, target))

    def labelled(self, target: np.ndarray) -> np.ndarray:
        """Items with any answer."""
        return np.any([self.known(name, target) for name in self.kinds], axis=0)

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Those of the first kind; items without its answer among themselves."""
        name = next(iter(self.kinds))
        known = self.known(name, target)
        result = np.full(len(target), -1)
        result[known] = self.kinds[name].strata(self.own(name, target)[known])
        return result

    # ---------------------------------------------------------------- answers

    def _outputs(self, name: str, outputs: Arrays, rows: Any = slice(None)) -> Arrays:
        return {t.name: outputs[f"{name}.{t.name}"][rows] for t in self.kinds[name].tensors}

    def decode(self, outputs: Arrays) -> list[dict[str, Any]]:
        each = [kind.decode(self._outputs(name, outputs)) for name, kind in self.kinds.items()]
        return [dict(zip(self.kinds, answers)) for answers in zip(*each)]

    def metrics(self, target: np.ndarray, outputs: Arrays) -> dict[str, float]:
        found: dict[str, float] = {}
        scores = []
        for name, kind in self.kinds.items():
            rows = np.flatnonzero(self.known(name, target))
            if not len(rows):
                continue
            own = kind.metrics(self.own(name, target)[rows], self._outputs(name, outputs, rows))
            scores.append(own["r2"] if "r2" in own else own[kind.metric])
            found |= {f"{name}.{figure}": value for figure, value in own.items()}
        return {"score": float(np.mean(scores)) if scores else math.nan, **found}

    def agreement(self, a: Arrays, b: Arrays) -> float:
        return min(k.agreement(self._outputs(n, a), self._outputs(n, b)) for n, k in self.kinds.items())

    def difference(self, a: Arrays, b: Arrays) -> float:
        return max(k.difference(self._outputs(n, a), self._outputs(n, b)) for n, k in self.kinds.items())

    def gap(self, a: Any, b: Any) -> float:
        if a.keys() != b.keys():
            return math.inf
        return max(kind.gap(a[name], b[name]) for name, kind in self.kinds.items())

    def uncertainty(self, outputs: Arrays) -> np.ndarray:
        """Of the least certain answer."""
        return np.max([k.uncertainty(self._outputs(n, outputs)) for n, k in self.kinds.items()], axis=0)

    def statistics(self, outputs: Arrays) -> dict[str, np.ndarray]:
        return {
            f"{name}.{key}": values
            for name, kind in self.kinds.items()
            for key, values in kind.statistics(self._outputs(name, outputs)).items()
        }

    def outputs(self, answers: Sequence[Any]) -> Arrays:
        return {
            f"{name}.{key}": array
            for name, kind in self.kinds.items()
            for key, array in kind.outputs([answer[name] for answer in answers]).items()
        }

    def panels(self, target: np.ndarray, outputs: Arrays) -> list[Panel]:
        """Those of each kind, over the items that have its answer."""
        found: list[Panel] = []
        for name, kind in self.kinds.items():
            rows = np.flatnonzero(self.known(name, target))
            if len(rows):
                own = kind.panels(self.own(name, target)[rows], self._outputs(name, outputs, rows))
                found += [_titled(panel, name, rows) for panel in own]
        return found

    def describe(self) -> str:
        return "; ".join(f"{name}: {kind.describe()}" for name, kind in self.kinds.items())


def _titled(panel: Any, name: str, rows: np.ndarray) -> Any:
    """A panel under its target's name, its items' places among all that were measured."""
    moved = {"rows": tuple(int(rows[place]) for place in panel.rows)} if isinstance(panel, Gallery) else {}
    return msgspec.structs.replace(panel, title=f"{name}: {panel.title}", **moved)
