"""The gate between a trained network and its exported graph: both answer the same held-out raw items. Torch-free.

Refused is whatever differs by more than rounding: signature, shapes, outputs at several batch sizes, answers, outputs
on what held-out items lack and clients will send, the task's metric, the metric that training wrote down. tests/test_gate.py drops each check in turn and shows the wrong
export that would then pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepen.errors import DeepenError, Refused
from deepen.predictor import Predictor
from deepen.tensors import Arrays, join

BATCHES = (1, 7, 64)  # alone, an odd number, many: a graph may be right for one of them only
CHANGED = "missing cells, rare categories and rare pieces of texts"
SOME = 64  # items the odd batch sizes are tried on; the last size sees all


@dataclass
class Tolerance:
    """What rounding may change."""

    difference: float = 1e-3
    agreement: float = 0.999
    metric: float = 2e-3


@dataclass
class Parity:
    """What was measured. `difference` is the kind's largest gap, `agreement` the share of equal answers, `edges` the
    largest gap on held-out items that were changed to what an encoder may also say.

    `interval` is that of the candidate's figure, None where it has none.
    """

    items: int
    batches: tuple[int, ...]
    difference: float
    agreement: float
    metric: str
    reference: float
    candidate: float
    interval: tuple[float, float] | None = None
    edges: float = 0.0

    def document(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    reference: Predictor,
    candidate: Predictor,
    items: Sequence[Any],
    target: np.ndarray,
    between: Callable[[Any, np.ndarray, Arrays], tuple[float, float] | None] = lambda *_: None,
) -> Parity:
    """Run both on raw held-out items.

    target   the true answers, encoded by the reference's kind
    between  the interval of the figure that decides: (kind, target, outputs) -> low and high
    """
    kind = reference.signature.answer
    check_signature(reference, candidate)
    truth, first = collect(reference, items, max(BATCHES)), collect(reference, items[:SOME], max(BATCHES))
    worst, same = 0.0, 1.0
    whole: Arrays = {}
    for batch in BATCHES:
        some, part = (items, truth) if batch == max(BATCHES) else (items[:SOME], first)
        whole = _given(candidate, some, batch)
        for tensor in kind.tensors:
            check_shape(tensor.name, part, whole, batch)
            check_finite(tensor.name, whole, batch)
        worst, same = max(worst, kind.difference(part, whole)), min(same, kind.agreement(part, whole))
    told = getattr(kind, "told", lambda arrays: arrays)  # the figure that a service can be compared with
    ours, theirs = (kind.metrics(target, told(arrays))[kind.metric] for arrays in (truth, whole))
    interval = between(kind, target, told(whole))
    apart = edges(reference, candidate, items)
    return Parity(len(items), BATCHES, worst, same, kind.metric, ours, theirs, interval, apart)


def check(parity: Parity, tolerance: Tolerance) -> None:
    """Refuse what differs by more than the tolerance, with the figures."""
    check_difference(parity, tolerance)
    check_edges(parity, tolerance)
    check_agreement(parity, tolerance)
    check_metric(parity, tolerance)


def check_signature(reference: Predictor, candidate: Predictor) -> None:
    """Sizes, preprocessing, class names and their order travel unchanged."""
    ours, theirs = reference.signature.document(), candidate.signature.document()
    if ours != theirs:
        raise refused(f"the signature differs: {_first_difference(ours, theirs)}")


def check_shape(name: str, truth: Arrays, given: Arrays, batch: int) -> None:
    """One row of the right width for every item."""
    if given[name].shape != truth[name].shape:
        found = f"output {name!r} has shape {given[name].shape} in place of {truth[name].shape}"
        raise refused(f"{found} at batch size {batch}")


def check_finite(name: str, given: Arrays, batch: int) -> None:
    """A difference from what is no number is lost where the largest is looked for."""
    if not np.isfinite(given[name]).all():
        raise refused(f"output {name!r} is not finite at batch size {batch}")


def check_difference(parity: Parity, tolerance: Tolerance) -> None:
    """Numbers."""
    if not parity.difference <= tolerance.difference:
        raise refused(f"outputs differ by up to {parity.difference:.3g}", f"at most {tolerance.difference:g}")


def check_edges(parity: Parity, tolerance: Tolerance) -> None:
    """A cell that is missing, a category or a word may stand in no held-out item, and will come."""
    if not parity.edges <= tolerance.difference:
        raise refused(f"outputs differ by up to {parity.edges:.3g} on {CHANGED}", f"at most {tolerance.difference:g}")


def check_agreement(parity: Parity, tolerance: Tolerance) -> None:
    """Answers: where all numbers lie close together a small difference turns many."""
    if not parity.agreement >= tolerance.agreement:
        raise refused(f"{parity.agreement:.2%} of the answers agree", f"at least {tolerance.agreement:.2%}")


def check_metric(parity: Parity, tolerance: Tolerance) -> None:
    """What the answers are worth, however much of a difference was allowed above."""
    # a metric in the target's own unit (rmse) is allowed its share of the value
    allowed = tolerance.metric * max(1.0, abs(parity.reference))
    if not abs(parity.candidate - parity.reference) <= allowed:
        raise refused(
            f"{parity.metric} is {parity.candidate:.4f} in place of {parity.reference:.4f}",
            f"a change of at most {allowed:g}",
        )


def check_record(metric: str, written: float, now: float, tolerance: Tolerance) -> None:
    """The network handed over is the one that was trained: it still has the figure training wrote down."""
    if not abs(written - now) <= tolerance.metric * max(1.0, abs(written)):
        raise refused(
            f"validation {metric} is {now:.4f} here, training wrote down {written:.4f}",
            "the same figure",
            "is it the same data? train again",
        )


def edges(reference: Predictor, candidate: Predictor, items: Sequence[Any]) -> float:
    """The largest gap on held-out items that say all that their encoders may say, as far as the network can answer them."""
    kind, inputs = reference.signature.answer, reference.signature.inputs
    arrays = reference.encode([items[i % len(items)] for i in range(SOME)])
    changed: Arrays = {}
    for name, encoder in inputs.items():
        if hasattr(encoder, "extremes"):
            prefix = f"{name}." if len(inputs) > 1 else ""
            own = encoder.extremes({tensor.name: arrays[prefix + tensor.name] for tensor in encoder.tensors})
            changed |= {prefix + key: array for key, array in own.items()}
    if not changed:
        return 0.0
    truth = join(kind.results, [reference.run(arrays | changed)])
    if not all(np.isfinite(truth[tensor.name]).all() for tensor in kind.tensors):
        return 0.0
    try:
        given = join(kind.results, [candidate.run(arrays | changed)])
    except DeepenError as problem:
        raise refused(f"it does not run on {CHANGED}: {problem.found}") from problem
    for tensor in kind.tensors:
        check_shape(tensor.name, truth, given, SOME)
        check_finite(tensor.name, given, SOME)
    return kind.difference(truth, given)


def collect(predictor: Predictor, items: Sequence[Any], batch: int) -> Arrays:
    """A predictor's output arrays for all items, at a batch size."""
    return join(predictor.signature.answer.results, list(predictor.outputs(items, batch)))


def _given(candidate: Predictor, items: Sequence[Any], batch: int) -> Arrays:
    """What the candidate gives; that it cannot run is a refusal, not a crash."""
    try:
        return collect(candidate, items, batch)
    except DeepenError as problem:
        raise refused(f"it does not run at batch size {batch}: {problem.found}") from problem


def _first_difference(a: Any, b: Any, path: str = "signature") -> str:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next((_first_difference(a[k], b[k], f"{path}.{k}") for k in a if a[k] != b[k]), path)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return next((_first_difference(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b)) if x != y), path)
    return f"{path} is {b!r} in place of {a!r}"


def refused(found: str, expected: str = "", fix: str = "the export is wrong and was not kept") -> Refused:
    """The error of a gate."""
    return Refused("gate.refused", "gate", found, expected, fix)
