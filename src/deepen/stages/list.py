"""Show what there is: models, methods, sources and the other families, or the runs here."""

from __future__ import annotations

from typing import Any

from deepen import registry
from deepen.console import digits, document_asked
from deepen.errors import unknown
from deepen.schema import REQUIRED, Field, words

SHOWN = {
    "models": "networks",
    "methods": "what is minimised",
    "sources": "what data is read",
    "kinds": "what is answered",
    "preprocess": "what goes in",
    "formats": "what is exported to",
    "runtimes": "what runs an export",
    "queries": "what is asked about first",
    "annotations": "files of labels",
    "compressors": "what makes an export smaller and faster",
    "optimizers": "how steps follow from gradients",
    "schedules": "how the learning rate goes",
    "initialisers": "what weights begin as",
    "augmentations": "how training items are changed at random",
    "monitors": "what notices a change in service",
    "stages": "the verbs",
}


def list(family: str | None = None) -> Any:
    """Names of a family with their one-line meaning and parameters, or of the runs under runs/.

    family  models, methods, sources, kinds, preprocess, formats, runtimes, queries, annotations, compressors, optimizers, schedules, initialisers, augmentations, monitors, stages, settings (what a configuration holds besides) or runs (default: all families)
    """
    if family == "runs":
        return _runs()
    if family in {"settings", "train"}:
        return _settings()
    if family is None:
        rows = [
            {"name": name, "meaning": meaning, "techniques": registry.names(name)} for name, meaning in SHOWN.items()
        ]
        _show(f"{row['name']:<13} {', '.join(row['techniques'])}" for row in rows)
        return rows
    asked = family
    family = {"verbs": "stages"}.get(asked, asked if asked.endswith("s") else f"{asked}s")
    if family not in SHOWN:
        raise unknown("list.family", "list", asked, [*SHOWN, "settings", "runs"], what="family")
    rows = [row(family, name) for name in registry.names(family)]
    _show(
        f"{row['name']:<14} {row['meaning']}" + (f"\n{'':<14} {_parameters(row)}" if row["parameters"] else "")
        for row in rows
    )
    return rows


def row(family: str, name: str) -> dict[str, Any]:
    """A technique or verb with its one-line meaning and what a user can set on it, as plain data."""
    from deepen.config import RUN_TIME

    fields = (
        [f for f in registry.fields(family, name) if f.name not in RUN_TIME or family == "stages"]
        if family not in {"kinds", "preprocess", "runtimes", "formats", "annotations"}
        else []
    )
    aliases = sorted(registry.constant(family, name, "aliases") or {})
    return {
        "name": name,
        "meaning": registry.summary(family, name),
        "parameters": {f.name: described(f) for f in fields},
        "aliases": aliases,
    }


def settings() -> dict[str, Any]:
    """What the sections of a configuration hold that are no technique."""
    import inspect
    from dataclasses import fields

    from deepen.config import SECTIONS

    found = {}
    for section, kind in SECTIONS.items():
        told, made = registry.meanings(inspect.getdoc(kind) or ""), kind()
        found[section] = {
            f.name: described(Field(f.name, str(f.type), getattr(made, f.name), told.get(f.name, "")))
            for f in fields(kind)
        }
    return found


def _settings() -> Any:
    """The sections of a configuration that are no technique, with the meaning of each setting."""
    found = settings()
    _show(
        f"{f'{section}.{name}':<25} {one['meaning']}\n{'':<25} {one['expects']}; default {_plain(one['default'])}"
        for section, fields in found.items()
        for name, one in fields.items()
    )
    return found


def _plain(value: Any) -> str:
    """A default as a configuration has it."""
    import json

    if isinstance(value, dict):
        return str(value["name"])
    return value if isinstance(value, str) else json.dumps(value)


def described(field: Field) -> dict[str, Any]:
    """A parameter as plain data; one without a default must be given."""
    document = {"type": field.annotation, "expects": words(field.annotation)}
    if field.default is not REQUIRED:
        document["default"] = field.default
    if field.doc:
        document["meaning"] = field.doc
    return document


def _parameters(row: dict[str, Any]) -> str:
    return "  ".join(
        key + (f"={value['default']}" if "default" in value else "") for key, value in row["parameters"].items()
    )


def _runs() -> Any:
    import json
    from pathlib import Path

    rows = []
    for file in sorted(Path("runs").glob("*/run.json")):
        try:
            info = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            info = {"state": "damaged"}
        figure = next(iter((info.get("metrics") or {}).items()), None)
        rows.append(
            {"name": file.parent.name, "state": info.get("state"), "metrics": info.get("metrics"), "figure": figure}
        )
    if not rows:
        _show(["no runs below runs/"])
    _show(
        f"{row['name']:<16} {row['state']:<10} "
        + (f"{row['figure'][0]} {digits(row['figure'][1])}" if row["figure"] else "")
        for row in rows
    )
    return [{k: v for k, v in row.items() if k != "figure"} for row in rows]


def _show(lines: Any) -> None:
    if not document_asked():
        for line in lines:
            print(line)
