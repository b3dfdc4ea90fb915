"""The gate between a trained network and its exported graph: both answer the same held-out raw items. Torch-free.

Refused is whatever differs by more than rounding: signature, outputs at several batch sizes, answers, the task's
metric, the metric that training wrote down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepen.errors import Refused
from deepen.predictor import Predictor
from deepen.tensors import Arrays, join

BATCHES = (1, 7, 64)
SOME = 64  # items the odd batch sizes are tried on; the last size sees all


@dataclass
class Tolerance:
    """What rounding may change."""

    difference: float = 1e-3
    agreement: float = 0.999
    metric: float = 2e-3


@dataclass
class Parity:
    """What was measured. `difference` is the kind's largest gap, `agreement` the share of equal answers."""

    items: int
    batches: tuple[int, ...]
    difference: float
    agreement: float
    metric: str
    reference: float
    candidate: float

    def document(self) -> dict[str, Any]:
        return asdict(self)


def compare(reference: Predictor, candidate: Predictor, items: Sequence[Any], target: np.ndarray) -> Parity:
    """Run both on raw held-out items. `target`: the true answers, encoded by the reference's kind."""
    kind = reference.signature.answer
    if candidate.signature.document() != reference.signature.document():
        raise refused(
            f"the signature differs: {_first_difference(reference.signature.document(), candidate.signature.document())}"
        )
    truth = {len(some): collect(reference, some, max(BATCHES)) for some in (items, items[:SOME])}
    worst, same = 0.0, 1.0
    given: Arrays = {}
    for batch in BATCHES:
        some = items if batch == max(BATCHES) else items[:SOME]
        given, wanted = collect(candidate, some, batch), truth[len(some)]
        for name in (t.name for t in kind.tensors):
            if given[name].shape != wanted[name].shape:
                found = f"output {name!r} has shape {given[name].shape} in place of {wanted[name].shape}"
                raise refused(f"{found} at batch size {batch}")
            if not np.isfinite(given[name]).all():
                raise refused(f"output {name!r} is not finite at batch size {batch}")
        worst, same = max(worst, kind.difference(wanted, given)), min(same, kind.agreement(wanted, given))
    figures = [kind.metrics(target, arrays)[kind.metric] for arrays in (truth[len(items)], given)]
    return Parity(len(items), BATCHES, worst, same, kind.metric, *figures)


def check(parity: Parity, tolerance: Tolerance) -> None:
    """Refuse what differs by more than the tolerance, with the figures."""
    if not parity.difference <= tolerance.difference:
        raise refused(f"outputs differ by up to {parity.difference:.3g}", f"at most {tolerance.difference:g}")
    if not parity.agreement >= tolerance.agreement:
        raise refused(f"{parity.agreement:.2%} of the answers agree", f"at least {tolerance.agreement:.2%}")
    # a metric in the target's own unit (rmse) is allowed its share of the value
    allowed = tolerance.metric * max(1.0, abs(parity.reference))
    if not abs(parity.candidate - parity.reference) <= allowed:
        raise refused(
            f"{parity.metric} is {parity.candidate:.4f} in place of {parity.reference:.4f}",
            f"a change of at most {allowed:g}",
        )


def collect(predictor: Predictor, items: Sequence[Any], batch: int) -> Arrays:
    """A predictor's output arrays for all items, at a batch size."""
    return join(predictor.signature.answer.results, list(predictor.outputs(items, batch)))


def _first_difference(a: Any, b: Any, path: str = "signature") -> str:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next((_first_difference(a[k], b[k], f"{path}.{k}") for k in a if a[k] != b[k]), path)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return next((_first_difference(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b)) if x != y), path)
    return f"{path} is {b!r} in place of {a!r}"


def refused(found: str, expected: str = "", fix: str = "the export is wrong and was not kept") -> Refused:
    """The error of a gate."""
    return Refused("gate.refused", "gate", found, expected, fix)
