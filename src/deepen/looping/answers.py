"""Labels of what was asked: from people on the page, out of a file, or of a function of the user's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepen.errors import DeepenError
from deepen.labelling.asking import labeller_of
from deepen.looping.round import Round
from deepen.store import durable


def labelled(turn: Round) -> dict[str, Any] | str:
    """Enough labels of what was asked."""
    from deepen.data.labels import reading
    from deepen.store.dataset import place

    terms = turn.terms
    items = [name for name in turn.done["chosen"]["items"] if name not in turn.done["queued"]["gone"]]
    if terms.labeller is not None:
        _take(turn, _told(turn, terms.labeller, items))
    elif terms.labels is not None and Path(terms.labels).exists():
        about = Path(terms.labels).stat()
        if turn.seen != (stamp := (about.st_mtime_ns, about.st_size)):
            _take(turn, Path(terms.labels))
            turn.seen = stamp
    with reading(place(turn.path())) as found:
        given = {} if found is None else found.now().labels()
    count = sum(name in given for name in items)
    if count < terms.least:
        run = turn.done["chosen"]["run"]
        words = " ".join(f"{key}={value}" for key, value in turn.settings().items() if key == "data.target")
        return f"{terms.least} labels, {count} so far: deepen label {turn.dataset} {words} --run {run}"
    return {"labels": count, "says": f"{count} of {len(items)}"}


def _told(turn: Round, name: str, items: Sequence[str]) -> Path:
    """The file of what a function says of the items; it is asked once."""
    file = turn.ledger.place(turn.number) / "answers.jsonl"
    if not file.is_file():
        given = labeller_of(name)(turn.arrivals().shown(list(items)))
        count = len(given) if hasattr(given, "__len__") else "no"
        if count != len(items):
            raise DeepenError("loop.labeller", name, f"{count} labels of {len(items)} items", "one for each")
        rows = [{"item": item, "label": label, "annotator": name} for item, label in zip(items, given)]
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows if row["label"] is not None]
        durable.replace(file, "".join(lines))
    return file


def _take(turn: Round, file: Path) -> None:
    given: dict[str, Any] = {"import": str(file)}  # a word of the language: no keyword of a call
    turn.verb("label")(turn.dataset, **given, **turn.settings())
