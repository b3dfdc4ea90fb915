"""Measure a run on held-out items, with intervals, and write a report."""

from __future__ import annotations

import json
from typing import Any

from deepen.console import say
from deepen.store.run import Run


def evaluate(run: str, part: str = "test") -> dict[str, Any]:
    """All figures of a run with their bootstrap intervals, and an HTML report that opens offline.

    run   a run that finished training
    part  test, val or train
    """
    source = Run.open(run)
    from deepen.evaluation.intervals import intervals
    from deepen.gate import collect
    from deepen.training.finished import data_of, predictor_of

    predictor, prepared = predictor_of(source), data_of(source)
    rows = prepared.parts[part]
    kind = predictor.signature.answer
    outputs = collect(predictor, prepared.items.raw(rows), 256)
    found = intervals(kind, prepared.target[rows], outputs)
    document = {"run": source.id, "part": part, "items": len(rows), "metrics": found}
    with source.locked():
        source.write(f"evaluation/{part}.json", json.dumps(document, indent=1))
    for name, (value, low, high) in found.items():
        say(f"{name:<18} {value:.4f}   [{low:.4f}, {high:.4f}]")
    return document
