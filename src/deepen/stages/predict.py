"""Answer for files, a folder, a table, or lines on standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from deepen.console import document_asked
from deepen.content import flat
from deepen.errors import DeepenError, Invalid, counted, listed, typed, unknown
from deepen.preprocess.row import text_or_none
from deepen.store import durable

CHUNK = 64
HANDED = {  # first tensor of an only input -> how items are given
    "image": "pictures or a folder of them, or JSON lines",
    "sound": "sounds or a folder of them, or JSON lines",
    "tokens": ".txt or a folder of them, a table, or JSON lines",
    "source": ".txt or a folder of them, a table, or JSON lines",
    "draw": 'JSON lines such as {"seed": 7}',
    "node": 'JSON lines such as {"node": "n7"}',
    "nodes": 'JSON lines such as {"nodes": [[0.5], [1]], "edges": [[0, 1]]}',
    "events": 'JSON lines such as ["i7", "i2"], the latest last',
    "array": "arrays (.npz), or JSON lines",
}


def predict(model: str, what: str | tuple[str, ...], output: str | None = None) -> list[dict[str, Any]]:
    """Answers for raw items by the same path as evaluation and service.

    Columns that training left out (an ID, what `drop` named) and the answer's own are passed over, here and in a request to a
    service. One that training never saw is too where all it learnt from are there, as in a table, and that is said; where
    some may be missing, as in JSON lines and requests, it is an error with the nearest name: it may be one of those misspelt.

    model   a run or a bundle
    what    a picture, a sound (.wav) or a text (.txt), a folder of them, a table (.csv, .parquet), arrays (.npz), JSON lines, or - for standard input: JSON lines, to a model of texts also plain lines; several of these one after another
    output  a file for the answers: a table where it ends in .csv, else one JSON line per item (default: standard output)
    """
    things = [*what] if isinstance(what, (tuple, list)) else [what]
    if not things or not all(isinstance(thing, (str, os.PathLike)) for thing in things):
        found, way = f"{typed(what)} in memory", "answers = deepen.load(run)(items)"
        raise DeepenError("predict.what", "what", found, "a file, a folder, or - for standard input", way)
    things = [os.fspath(thing) for thing in things]
    asked = things[0] if len(things) == 1 else f"{things[0]} and {len(things) - 1} more"
    if output is not None:
        _spared(Path(output), things)
        durable.writable(Path(output))
    predictor = load(model)
    rows = []
    lines = []
    for ids, items in chunks(predictor, *things):
        for name, answer in zip(ids, _answers(predictor, items)):
            row = {"id": name, **answer}
            rows.append(row)
            lines.append(json.dumps(row, ensure_ascii=False))
            if output is None and not document_asked():
                print(lines[-1])
    if not rows:
        raise DeepenError("predict.empty", asked, "no items", _wanted(predictor))
    bad = [row for row in rows if "error" in row]
    if bad and len(bad) < len(rows):
        print(
            f"{len(bad)} of {len(rows)} items without an answer, first {bad[0]['id']}: {bad[0]['error']}",
            file=sys.stderr,
        )
    if output is not None:
        durable.replace(Path(output), flat.table(rows) if output.lower().endswith(".csv") else "\n".join(lines) + "\n")
    if len(bad) == len(rows):
        raise DeepenError(
            "predict.none",
            asked,
            f"none of {counted(len(rows), 'item')} could be read ({bad[0]['error']})",
            _wanted(predictor),
        )
    return rows


def load(model: str) -> Any:
    """A Predictor from a bundle, or from a run by its own network."""
    path = Path(model)
    if (path / "manifest.json").is_file():
        from deepen import bundle

        found = bundle.predictor(path)
        bundle.prove(path, found)
        return found
    from deepen.store.run import Run
    from deepen.training.finished import predictor_of

    return predictor_of(Run.open(model))


def _spared(output: Path, things: list[str]) -> None:
    """Answers do not take the place of what is asked about."""
    if output.is_file() and any(Path(one).exists() and output.samefile(one) for one in things):
        raise DeepenError("predict.output", str(output), "it is what is asked about", "a file of its own")


def chunks(predictor: Any, *things: str) -> Iterator[tuple[list[str], list[Any]]]:
    """Ids and raw items, some at a time; of several things the ids say where they lie."""
    if len(things) == 1:
        yield from _cut(_items(predictor, things[0]))
    else:
        yield from _cut((_within(one, name), item) for one in things for name, item in _items(predictor, one))


def _within(what: str, name: str) -> str:
    """An id that says of which of several things it is: photos/1.jpg, new/rows.csv:3."""
    own = Path(what).name
    if Path(what).is_dir():
        return f"{what.rstrip('/')}/{name}"
    return what + name.removeprefix(own) if name.startswith(own) else f"{what}:{name}"


def _items(predictor: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Ids and raw items of one thing."""
    path = Path(what)
    lower = path.name.lower()
    if what == "-":
        yield from _json_lines(predictor, sys.stdin.buffer)
    elif not path.exists():
        raise DeepenError("predict.path", what, "nothing there", "a file, a folder, or - for standard input")
    elif lower.endswith((".jsonl", ".ndjson")):
        with open(path, "rb") as file:
            yield from _json_lines(predictor, file)
    elif lower.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.xz", ".parquet")):
        yield from _table(predictor, what)
    elif lower.endswith(".npz"):
        if not _takes(predictor, "array", "image", "sound"):
            raise DeepenError("predict.kind", what, "arrays", _wanted(predictor))
        yield from _arrays(what)
    elif _takes(predictor, "tokens", "source"):
        yield from _texts(path)
    else:
        yield from _files(predictor, path)


def _table(predictor: Any, what: str) -> Iterator[tuple[str, Any]]:
    """Rows with the columns the model takes; others are left out, and that is said."""
    from deepen.data import tables

    table = tables.read(what)
    names, columns = table.names, table.columns
    inputs = predictor.signature.inputs
    wanted, needed = _columns(inputs, names)
    if not wanted:
        raise DeepenError("predict.kind", what, "a table", _wanted(predictor))
    absent = [name for name in needed if name not in names]
    if absent and not _partial(predictor):
        raise DeepenError("predict.columns", what, f"no column {absent[0]!r}", f"columns {', '.join(wanted)}")
    encoder = next(iter(inputs.values()))
    if len(inputs) == 1 and hasattr(encoder, "together"):
        yield from _series(predictor, encoder, table, Path(what).name)
        return
    extra = [name for name in names if name not in wanted]
    strange = [name for name in extra if name not in predictor.signature.passed]
    if absent and strange:  # it may be the absent one misspelt
        raise unknown("predict.columns", what, strange[0], wanted, "column")
    if extra:
        print(f"left out {what}: columns the model does not take: {', '.join(extra)}", file=sys.stderr)
    every: list[tuple[int, Any]] = [(int(one.id.rpartition(":")[2]), Invalid(one.reason)) for one in table.bad]
    for line, cells in zip(table.lines, zip(*columns)):
        every.append((line, _of_row(inputs, dict(zip(names, cells)), Path(what).parent)))
    yield from ((f"{Path(what).name}:{line}", item) for line, item in sorted(every, key=lambda row: row[0]))


def _series(predictor: Any, encoder: Any, table: Any, file: str) -> Iterator[tuple[str, Any]]:
    """The rows of each series in a table as one item; what is wrong with some of them is said."""
    if table.bad and (encoder.time is None or encoder.time not in table.names):  # who knows where it would stand
        raise DeepenError("predict.row", table.bad[0].id, table.bad[0].reason, "as many cells as the header")
    for one in table.bad:
        print(f"left out {one.id}: {one.reason}", file=sys.stderr)
    rows = [dict(zip(table.names, cells)) for cells in zip(*table.columns)]
    for name, places in encoder.together(rows).items():
        some, notes = encoder.mended([rows[i] for i in places], [f"{file}:{table.lines[i]}" for i in places])
        for note in notes:
            print(f"note     {name}{': ' if name else ''}{note}", file=sys.stderr)
        yield name or file, _parsed(predictor, some)


def _columns(inputs: dict[str, Any], names: list[str]) -> tuple[list[str], list[str]]:
    """The columns of a table that a model takes, and those that must be there: rows' own, files and texts by name."""
    wanted, needed = [], []
    for name, encoder in inputs.items():
        own = [name] if _is_file(encoder) else list(getattr(encoder, "columns", ()))
        if len(inputs) == 1 and _is_file(encoder) and name not in names:
            return [], []  # a table that names no files
        if not (_is_file(encoder) or hasattr(encoder, "columns") or hasattr(encoder, "inner")):
            return [], []  # histories and vectors stand in no column
        wanted += own
        needed += [] if hasattr(encoder, "inner") else own
    return wanted, needed


def _partial(predictor: Any) -> bool:
    """Whether rows need not have all columns."""
    outputs = predictor.signature.outputs
    return bool(outputs) and getattr(predictor.signature.answer, "partial", False)


def _is_file(encoder: Any) -> bool:
    """Whether a table names files for it."""
    return encoder.tensors[0].name in {"image", "sound"}


def _of_row(inputs: dict[str, Any], row: dict[str, Any], folder: Path) -> Any:
    """A row of a table as a raw item; names of files begin in the table's folder."""
    item: dict[str, Any] = {}
    for name, encoder in inputs.items():
        if _is_file(encoder):
            text = text_or_none(row.get(name))
            item[name] = None if text is None else str(folder / text)
            if text is not None and not os.path.exists(item[name]):
                return Invalid(f"no file {item[name]}", "names that begin in the table's folder")
        elif hasattr(encoder, "inner"):
            item[name] = text_or_none(row.get(name))
        else:
            item[name] = {column: row.get(column) for column in encoder.columns}
    return item if len(inputs) > 1 else next(iter(item.values()))


def _parsed(predictor: Any, value: Any) -> Any:
    try:
        return predictor.parse(value)
    except Invalid as problem:
        return problem


def _arrays(what: str) -> Iterator[tuple[str, Any]]:
    import numpy as np

    from deepen.data import npz

    with npz.reading(what, "predict.arrays"), np.load(what, allow_pickle=False) as file:
        key = next((k for k in ("x", "x_test") if k in file.files), None)
        if key is None:
            raise DeepenError("predict.arrays", what, f"holds {', '.join(file.files)}", "x or x_test")
        x = file[key]
    yield from ((f"{Path(what).name}:{i}", row) for i, row in enumerate(x))


def _texts(path: Path) -> Iterator[tuple[str, Any]]:
    """A .txt file (.gz, .xz) is one text; so is each in a folder."""
    from deepen.sources import text

    takes = lambda file: file.name.lower().endswith(tuple(text.ENDINGS))
    for file in _below(path, takes, text.ENDINGS) if path.is_dir() else [path]:
        name = _name(file, path if path.is_dir() else file.parent)
        found, reason = text.unpacked(file) if file.is_file() else ("", "not a plain file")
        yield name, Invalid(reason) if reason else found


def _below(folder: Path, takes: Callable[[Path], bool], endings: Iterable[str]) -> list[Path]:
    """The files below a folder that are taken, whose names mostly end so; how many others there are is said."""
    found = (Path(place, name) for place, _, names in os.walk(folder, onerror=_raise) for name in names)
    every = sorted(path for path in found if not path.name.startswith("."))
    others = [p for p in every if not takes(p)]
    if others:
        first, known = others[0].relative_to(folder).as_posix(), listed(sorted(endings), len(every))
        print(f"passed over {counted(len(others), 'file')}, first {first}: not {known}", file=sys.stderr)
    return [p for p in every if p not in {*others}]


def _raise(problem: OSError) -> None:
    """A folder that cannot be looked into is not passed over in silence."""
    raise problem


def _name(path: Path, folder: Path) -> str:
    """A file's name below a folder, as JSON can hold it."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")


def _takes(predictor: Any, *tensors: str) -> bool:
    """Whether a model's only input begins with a tensor of one of these names."""
    inputs = list(predictor.signature.inputs.values())
    return len(inputs) == 1 and inputs[0].tensors[0].name in tensors


def _files(predictor: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """A picture or a sound, or a folder of them."""
    from deepen.data.folders import PICTURES
    from deepen.sources.audio import SOUNDS

    first, *others = predictor.signature.inputs.values()
    sort = {"image": PICTURES, "sound": SOUNDS}.get(first.tensors[0].name)
    if sort is None or others:
        raise DeepenError("predict.kind", str(path), "neither table nor JSON lines", _wanted(predictor))
    for file in _below(path, sort.takes, sort.endings) if path.is_dir() else [path]:
        plain = file.is_file()  # to open a pipe would wait for ever
        yield _name(file, path if path.is_dir() else path.parent), str(file) if plain else Invalid("not a plain file")


def _wanted(predictor: Any) -> str:
    """What a model takes, and how it is handed over."""
    encoders = [*predictor.signature.inputs.values()]
    only = encoders[0].tensors[0].name if len(encoders) == 1 else ""
    how = HANDED.get(only, "a table, or JSON lines")
    return f"{'; '.join(encoder.describe() for encoder in encoders)}: {how}"


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


def _json_lines(predictor: Any, lines: Any) -> Iterator[tuple[str, Any]]:
    """An item a line. A model of texts takes plain lines too: what does not begin as a JSON text or object is the text."""
    plain = _takes(predictor, "tokens", "source")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if plain and line.lstrip()[:1] not in b'"{':
                value = line.decode("utf-8-sig").strip()
            else:
                value = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as problem:
            yield str(number), Invalid(f"not JSON in UTF-8 ({problem})", "one JSON value a line")
            continue
        yield str(number), _parsed(predictor, value)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _answers(predictor: Any, items: list[Any]) -> list[dict[str, Any]]:
    """An answer for each item; where one cannot be read, its error: one bad picture does not spoil a folder."""
    try:
        if any(isinstance(item, Invalid) for item in items):
            raise Invalid("an item that cannot be read")
        found = predictor(items)
    except Invalid:
        found = [_one(predictor, item) for item in items]
    return [answer if _finite(answer) else {"error": "the answer is not a finite number"} for answer in found]


def _one(predictor: Any, item: Any) -> dict[str, Any]:
    try:
        if isinstance(item, Invalid):
            raise item
        return predictor([item])[0]
    except Invalid as problem:
        return {"error": problem.reason} | ({"expected": problem.wanted} if problem.wanted else {})


def _finite(answer: dict[str, Any]) -> bool:
    try:
        json.dumps(answer, allow_nan=False)
    except ValueError:
        return False
    return True
