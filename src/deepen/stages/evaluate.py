"""Measure a run on held-out items, with intervals, and write a report."""

from __future__ import annotations

import datetime
from typing import Any

from deepen.console import say
from deepen.errors import counted, unknown
from deepen.store import durable
from deepen.store.run import Run

WIDTH = 18  # characters of a figure's name, at least
LEDGER = "evaluation/ledger.jsonl"


def evaluate(run: str, part: str = "test") -> dict[str, Any]:
    """All figures of a run with their bootstrap intervals, and an HTML report that opens offline.

    run   a run that finished training
    part  test, val or train
    """
    from deepen.data.split import PARTS

    source = Run.open(run)
    if part not in PARTS:
        raise unknown("evaluate.part", "part", part, PARTS, what="part")
    from deepen.evaluation import report
    from deepen.evaluation.html import figure
    from deepen.evaluation.measure import measure, to_json
    from deepen.stages.train import rows_of
    from deepen.training.finished import config_of, data_of, predictor_of

    predictor, prepared = predictor_of(source), data_of(source)
    with source.locked():
        reads = _read(source, part)
        found = measure(source, predictor, prepared, part, rows_of(source))
        document = found.document(prepared.items.ids, reads)
        name = "evaluation/report.html" if part == "test" else f"evaluation/report-{part}.html"
        source.write(f"evaluation/{part}.json", to_json(document))
        source.write(name, report.page(found, prepared, config_of(source), reads))
    width = max(WIDTH, *map(len, found.parts[part].metrics))
    say(f"{part:<{width}} {counted(found.parts[part].items, 'item')}")
    for metric, interval in found.parts[part].metrics.items():
        value, between = figure(*interval)
        decides = "   <- decides" if metric == found.kind.metric else ""
        say(f"{metric:<{width}} {value:>10}   {between and f'({between})'}{decides}".rstrip())
    for sentence in found.verdict.sentences:
        say(sentence)
    say(f"report   {source.path / name}")
    return document


def _read(run: Run, part: str) -> int:
    """Write down that a part is read; how often the test part was read so far, this time included."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    run.append(LEDGER, {"part": part, "model": run.info.get("model"), "when": now})
    return sum(line["part"] == "test" for line in durable.lines(run.path / LEDGER)[0])
