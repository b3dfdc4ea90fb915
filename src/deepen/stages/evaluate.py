"""Measure a run on held-out items, with intervals, and write a report."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from deepen.console import say
from deepen.errors import DeepenError, counted, unknown
from deepen.store import durable
from deepen.store.run import Run

WIDTH = 18  # characters of a figure's name, at least
LEDGER = "evaluation/ledger.jsonl"


def evaluate(run: str, part: str = "test") -> dict[str, Any]:
    """All figures of a run with their bootstrap intervals, and an HTML report that opens offline.

    run   a run that finished training; of one with folds all of them together: each item is answered by the network
          that never saw it
    part  test, val or train
    """
    from deepen.data.split import PARTS

    source = Run.open(run)
    if part not in PARTS:
        raise unknown("evaluate.part", "part", part, PARTS, what="part")
    from deepen.evaluation import report
    from deepen.evaluation.measure import measure, to_json
    from deepen.training.finished import config_of, data_of, predictor_of

    if source.info["members"]:
        return _folds(source, part)
    predictor, prepared = predictor_of(source), data_of(source)
    with source.locked():
        reads = _read(source, part)
        found = measure(source, predictor, prepared, part, source.rows())
        document = found.document(prepared.items.ids, reads)
        name = "evaluation/report.html" if part == "test" else f"evaluation/report-{part}.html"
        source.write(f"evaluation/{part}.json", to_json(document))
        source.write(name, report.page(found, prepared, config_of(source), reads))
    _tell(found, source.path / name)
    return document


def _folds(source: Run, part: str) -> dict[str, Any]:
    """The folds of a cross-validation together."""
    from deepen.evaluation import folds, report
    from deepen.evaluation.measure import clean, to_json
    from deepen.training.finished import config_of

    if part != "test":
        raise DeepenError(
            "evaluate.folds", f"part {part}", "a run with folds", "test: what each fold did not see",
            f"one fold: deepen evaluate {source.path}/members/0 part={part}",
        )  # fmt: skip
    folds.whole(source)
    joint, prepared, each = folds.measure(source)
    with source.locked():
        reads = _read(source, part)
        document = joint.document(prepared.items.ids, reads)
        document |= clean({"folds": each, "spread": folds.spread(each)})
        source.write("evaluation/test.json", to_json(document))
        page = report.page(joint, prepared, config_of(folds.members(source)[0]), reads)
        source.write("evaluation/report.html", page)
    _tell(joint, source.path / "evaluation" / "report.html")
    return document


def _tell(found: Any, page: Path) -> None:
    """Every figure of the measured part, the one that decides marked, and where the report lies."""
    from deepen.evaluation.html import figure

    measured = found.parts[found.part]
    width = max(WIDTH, *map(len, measured.metrics))
    say(f"{found.part:<{width}} {counted(measured.items, 'item')}")
    for metric, interval in measured.metrics.items():
        value, between = figure(*interval)
        decides = "   <- decides" if metric == found.kind.metric else ""
        say(f"{metric:<{width}} {value:>10}   {between and f'({between})'}{decides}".rstrip())
    for sentence in found.verdict.sentences:
        say(sentence)
    say(f"report   {page}")


def _read(run: Run, part: str) -> int:
    """Write down that a part is read; how often the test part was read so far, this time included."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    run.append(LEDGER, {"part": part, "model": run.info.get("model"), "when": now})
    return sum(line["part"] == "test" for line in durable.lines(run.path / LEDGER)[0])
