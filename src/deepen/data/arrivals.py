"""Items that came from service, put beside the data a model was trained on, for people to label: each once. Torch-free.

    photos/unlabelled/live-1f3a.png    a folder gets files
    table.csv.deepen/arrived.jsonl     a table stays as it is: its source reads these rows behind its own

The item's encoder says what it looks like there: `file` its content, `cells` its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepen import registry
from deepen.errors import DeepenError
from deepen.store import durable
from deepen.store.dataset import place

QUEUE = "unlabelled"  # the folder of new files
ROWS = "arrived.jsonl"


class Arrivals:
    """New items of the data at a path. `encoder`: of the one input of the model that is asked for them."""

    def __init__(self, path: str, encoder: Any) -> None:
        self.path, self.encoder = Path(path), encoder
        self.files = self.path.is_dir()
        kind = type(encoder).__module__.rpartition(".")[2]
        if not registry.defines("preprocess", kind, "file" if self.files else "cells"):
            form = "a folder" if self.files else "a file"
            raise DeepenError(
                "loop.data", path, f"{form}, where a model takes {encoder.describe()}",
                "a folder of pictures or texts, or a table of rows or texts",
                "add items to the data, deepen label them, deepen train parent=RUN, deepen export, deepen serve --live",
            )  # fmt: skip

    @property
    def where(self) -> Path:
        """Where they lie, for people."""
        return self.path / QUEUE if self.files else place(self.path) / ROWS

    def name(self, mark: str) -> str:
        """The name an item gets in the data, by a hash of its content."""
        return f"{QUEUE}/live-{mark}{self.encoder.ending}" if self.files else f"live-{mark}"

    def put(self, items: Mapping[str, Any]) -> None:
        """Add items as clients send them in JSON, by their names; those that are there already stay as they are."""
        self.where.parent.mkdir(exist_ok=True)
        if not self.files:
            new = {name: self.encoder.cells(self.encoder.parse(raw)) for name, raw in items.items()}
            rows = {**new, **arrived(self.path)}
            lines = (durable.line({"id": name, "row": row}) for name, row in sorted(rows.items()))
            durable.replace(self.where, b"".join(lines))
            return
        self.where.mkdir(exist_ok=True)
        durable.sync(self.path)
        for name in items.keys() - self.known():
            durable.replace(self.path / name, self.encoder.file(self.encoder.parse(items[name])))

    def known(self) -> set[str]:
        """The names of all that were added."""
        if self.files:
            return {f"{QUEUE}/{file.name}" for file in self.where.glob("live-*")}
        return set(arrived(self.path))

    def shown(self, names: list[str]) -> list[Any]:
        """Items for a labeller: the paths of files, or rows."""
        if self.files:
            return [str((self.path / name).absolute()) for name in names]
        rows = arrived(self.path)
        return [rows[name] for name in names]


def arrived(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> cells of the rows that came to a table since."""
    return {line["id"]: line["row"] for line in durable.lines(place(path) / ROWS)[0]}
