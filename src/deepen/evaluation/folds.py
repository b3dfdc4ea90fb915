"""The figures of a cross-validation: each item answered by the network that never saw it, and how far the folds lie apart."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

import numpy as np

from deepen.errors import DeepenError, counted
from deepen.evaluation import costs
from deepen.evaluation.intervals import intervals
from deepen.evaluation.measure import Measured, Part, answers_of, by_epoch, slices_of
from deepen.evaluation.verdict import Verdict
from deepen.panels import Curves, Figure, Line, Panel, Whiskers, digits
from deepen.store.run import Run
from deepen.tensors import Arrays, join
from deepen.training.finished import data_of, predictor_of


def members(run: Run) -> list[Run]:
    """The runs of the folds, in their order."""
    return [Run.open(run.path / place) for place in run.info["members"]]


def whole(run: Run) -> None:
    """Refuse a cross-validation of which some folds have not been trained to their end."""
    places = [run.path / place for place in run.info["members"]]
    left = sum(not (p / "run.json").is_file() or Run.open(p).info["state"] != "finished" for p in places)
    if left:
        found = f"{left} of {counted(len(places), 'fold')} not trained to the end"
        raise DeepenError("run.folds", str(run.path), found, "all of them", run.hint())


def measure(run: Run) -> tuple[Measured, Any, list[dict[str, float]]]:
    """What all folds together say, the data of the first, and the figures of each fold on its own test part."""
    found = members(run)
    first, predictor = data_of(found[0]), predictor_of(found[0])
    kind = predictor.signature.answer
    folds = [_fold(member, data_of(member) if i else first) for i, member in enumerate(found)]
    each = [fold.figures for fold in folds]
    tested, target = np.concatenate([fold.rows for fold in folds]), np.concatenate([fold.target for fold in folds])
    answers = join(kind.results, [fold.outputs for fold in folds])
    history = [member.rows() for member in found]
    check = {**found[0].read_json("quarantine.json"), "train": 0, "val": 0, "test": len(tested)}
    joint = Measured(
        run=run,
        part="test",
        kind=kind,
        rows=tested,
        parts={"test": Part(len(tested), len(tested), intervals(kind, target, answers))},
        baseline=None,
        verdict=Verdict("folds", (sentence(kind.metric, each),)),
        training=[_drawn(kind.metric, each), *_validation(kind.metric, history)],
        findings=[],
        panels=list(kind.panels(target, answers)) if hasattr(kind, "panels") else [],
        slices=slices_of(kind, first, tested, target, answers),
        check=check,
        notes=list(first.notes),
        costs=costs.costs(found[0], predictor, first.items.raw(folds[0].rows[: max(costs.BATCHES)].tolist())),
    )
    return joint, first, each


class Fold(NamedTuple):
    """The test items of a fold, their truth and their answers, and the figures of these."""

    rows: np.ndarray
    target: np.ndarray
    outputs: Arrays
    figures: dict[str, float]


def _fold(member: Run, prepared: Any) -> Fold:
    """Measured by the fold's own kind: it was fitted on the fold's training items."""
    predictor, rows = predictor_of(member), prepared.parts["test"]
    target, outputs = prepared.target[rows], answers_of(predictor, prepared, rows, "test")
    return Fold(rows, target, outputs, predictor.signature.answer.metrics(target, outputs))


def sentence(metric: str, each: list[dict[str, float]]) -> str:
    """Mean and spread over the folds in words."""
    values = [figures[metric] for figures in each]
    return (
        f"{len(values)} folds, each tested on items it was not trained on: mean {metric} "
        f"{digits(float(np.mean(values)))}, standard deviation {digits(float(np.std(values, ddof=1)))}, "  # NaN stays NaN
        f"{digits(float(np.min(values)))} to {digits(float(np.max(values)))}."
    )


def spread(each: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure its mean over the folds, their standard deviation, the least and the most."""
    found = {}
    for name in each[0]:
        values = [figures[name] for figures in each if figures.get(name) == figures.get(name)]  # NaN: not defined there
        if len(values) == len(each):
            found[name] = {
                "mean": statistics.mean(values),
                "deviation": statistics.stdev(values),
                "least": min(values),
                "most": max(values),
            }
    return found


def _drawn(metric: str, each: list[dict[str, float]]) -> Panel:
    values = [figures[metric] for figures in each]
    return Whiskers(
        "The folds", metric, tuple(f"fold {i}" for i in range(len(values))),
        tuple(Figure(value, None, None) for value in values), "The dashed line is their mean.",
        (statistics.mean(values), "mean"),
    )  # fmt: skip


def _validation(metric: str, history: list[list[dict[str, Any]]]) -> list[Panel]:
    """The validation figure of every fold by epoch."""
    lines = []
    for i, rows in enumerate(history):
        line = by_epoch(rows, f"val_{metric}")
        lines += [Line(f"fold {i}", line.x, line.y)] if line.x else []
    return [Curves(f"Validation {metric}", "epoch", metric, tuple(lines))] if lines else []
