"""Which source a table is for: the one of files where it names some, of pairs where free text is to be written, of texts
where free text tells most, of columns. Torch-free."""

from __future__ import annotations

from pathlib import Path

from deepen import registry
from deepen.data import tables
from deepen.data.columns import TYPES, Column, files_in, infer
from deepen.schema import Spec

HEAD = 1 << 20  # bytes of the file that are looked at
FEW = 3  # columns beside free text; with more, the table is about its columns


def source(spec: Spec) -> Spec:
    """The spec of a table, or of the texts in it. What is wrong with the table, reading it will tell."""
    if spec["name"] not in {"table", "texts"}:
        return spec
    if Path(spec["path"]).is_dir():
        return spec
    head = tables.read(spec["path"], spec.get("delimiter"), HEAD)
    columns = {name: Column.of(name, cells) for name, cells in zip(head.names, head.columns)}
    if pair := _pair(spec, columns):
        return pair
    if spec["name"] != "table":
        return spec
    dropped = spec.get("drop", ())
    own = {*spec.get("types", {}).values()} - {*TYPES}
    if (
        own
        or {*head.vectors} - {*dropped}
        or any(files_in(Column.of(n, cells)) for n, cells in zip(head.names, head.columns) if n not in dropped)
    ):
        return registry.check("sources", {**spec, "name": "mixed"}, "data")
    if {"types", "drop"} & spec.keys():
        return spec
    if spec.get("target") not in head.names:
        return spec
    found = {
        name: infer(Column.of(name, cells)).kind
        for name, cells in zip(head.names, head.columns)
        if name != spec["target"]
    }
    texts = [name for name, kind in found.items() if kind == "text"]
    others = [name for name, kind in found.items() if kind not in {"text", "drop"}]
    if not texts or len(others) > FEW:
        return spec
    return {**spec, "name": "texts", "text": tuple(texts)}


def _pair(spec: Spec, columns: dict[str, Column]) -> Spec | None:
    """The spec of pairs, where the target is a text and it is clear which column it answers."""
    said = spec.get("text") or ()
    target = columns.get(str(spec.get("target")))
    settings = {field.name for field in registry.fields("sources", "pairs")} | {"name"}
    if target is None or spec.keys() - settings or len(said) > 1 or spec.get("kind"):
        return None
    if not (_written(target) if said else infer(target).kind == "text"):
        return None
    others = said or tuple(name for name, column in columns.items() if column is not target and _written(column))
    if len(others) != 1 or others[0] not in columns:
        return None
    return {**spec, "name": "pairs", "text": others[0]}


def _written(column: Column) -> bool:
    """Whether nearly each value of a column is another text."""
    found = infer(column)
    return found.kind == "text" or (found.kind == "drop" and "nearly every value is different" in found.reason)
