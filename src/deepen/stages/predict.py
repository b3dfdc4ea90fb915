"""Answer for files, a folder, a table, or lines on standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError, Invalid
from deepen.store import durable

CHUNK = 64


def predict(model: str, what: str, output: str | None = None) -> list[dict[str, Any]]:
    """Answers for raw items by the same path as evaluation and service.

    model   a run or a bundle
    what    a picture, a folder of pictures, a table (.csv, .parquet), arrays (.npz), JSON lines, or - for JSON lines on standard input
    output  a file for the answers, one JSON line per item (default: standard output)
    """
    predictor = load(model)
    answers = []
    lines = []
    for ids, items in chunks(predictor, what):
        try:
            found = predictor(items)
        except Invalid:
            found = [_one(predictor, item) for item in items]
        for name, answer in zip(ids, found):
            row = {"id": name, **answer}
            answers.append(row)
            lines.append(json.dumps(row, ensure_ascii=False))
            if output is None and not _json_asked():
                print(lines[-1])
    if not answers:
        raise DeepenError("predict.empty", what, "no items", "a picture, a folder, a table, or JSON lines")
    if output is not None:
        durable.replace(Path(output), "\n".join(lines) + "\n")
    return answers


def load(model: str) -> Any:
    """A Predictor from a bundle, or from a run by its own network."""
    path = Path(model)
    if (path / "manifest.json").is_file():
        from deepen import bundle

        return bundle.predictor(path)
    from deepen.store.run import Run
    from deepen.training.finished import predictor_of

    return predictor_of(Run.open(model))


def chunks(predictor: Any, what: str) -> Iterator[tuple[list[str], list[Any]]]:
    """Ids and raw items, some at a time."""
    first = next(iter(predictor.signature.inputs.values()))
    path = Path(what)
    lower = path.name.lower()
    if what == "-":
        yield from _cut(_json_lines(predictor, sys.stdin, "standard input"))
    elif not path.exists():
        raise DeepenError("predict.path", what, "nothing there", "a file, a folder, or - for standard input")
    elif lower.endswith((".jsonl", ".ndjson")):
        with open(path, encoding="utf-8") as file:
            yield from _cut(_json_lines(predictor, file, what))
    elif lower.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.xz", ".parquet")):
        from deepen.sources.table import read_table

        names, columns, bad = read_table(what, None)
        absent = [name for name in getattr(first, "columns", names) if name not in names]
        if absent:
            raise DeepenError(
                "predict.columns", what, f"no column {absent[0]!r}", f"columns {', '.join(first.columns)}"
            )
        if bad:
            raise DeepenError("predict.row", bad[0].id, bad[0].reason, "as many cells as the header")
        yield from _cut((f"{path.name}:{i + 2}", dict(zip(names, cells))) for i, cells in enumerate(zip(*columns)))
    elif lower.endswith(".npz"):
        import numpy as np

        with np.load(what, allow_pickle=False) as file:
            key = next((k for k in ("x", "x_test") if k in file.files), None)
            if key is None:
                raise DeepenError("predict.arrays", what, f"holds {', '.join(file.files)}", "x or x_test")
            x = file[key]
        yield from _cut((f"{path.name}:{i}", row) for i, row in enumerate(x))
    elif path.is_dir():
        from deepen.sources.images import ENDINGS

        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
        yield from _cut((p.relative_to(path).as_posix(), str(p)) for p in files)
    else:
        yield [path.name], [str(path)]


def _cut(pairs: Any) -> Iterator[tuple[list[str], list[Any]]]:
    ids: list[str] = []
    items: list[Any] = []
    for name, item in pairs:
        ids.append(name)
        items.append(item)
        if len(ids) == CHUNK:
            yield ids, items
            ids, items = [], []
    if ids:
        yield ids, items


def _json_lines(predictor: Any, lines: Any, where: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield str(number), predictor.parse(json.loads(line))
        except ValueError as problem:
            raise DeepenError("predict.json", f"{where}:{number}", str(problem), "one JSON value a line") from problem
        except Invalid as problem:
            raise DeepenError("predict.item", f"{where}:{number}", problem.reason, problem.wanted) from problem


def _one(predictor: Any, item: Any) -> dict[str, Any]:
    """The answer for one item, or its error: one bad picture does not spoil a folder."""
    try:
        return predictor([item])[0]
    except Invalid as problem:
        return {"error": problem.reason}


def _json_asked() -> bool:
    import os

    return bool(os.environ.get("DEEPEN_JSON"))
