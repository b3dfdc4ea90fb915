"""Which source a table is for: the one of files where it names some, of texts where free text tells most, of columns. Torch-free."""

from __future__ import annotations

from deepen import registry
from deepen.data import tables
from deepen.data.columns import Column, files_in, infer
from deepen.schema import Spec

HEAD = 1 << 20  # bytes of the file that are looked at
FEW = 3  # columns beside free text; with more, the table is about its columns


def source(spec: Spec) -> Spec:
    """The spec of a table, or of the texts in it. What is wrong with the table, reading it will tell."""
    if spec["name"] != "table":
        return spec
    head = tables.read(spec["path"], spec.get("delimiter"), HEAD)
    dropped = spec.get("drop", ())
    if {*head.vectors} - {*dropped} or any(
        files_in(Column.of(n, cells)) for n, cells in zip(head.names, head.columns) if n not in dropped
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
