"""Writes docs/reference.md from the techniques' own files: python docs/reference.py (make docs)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepen import registry
from deepen.stages.list import SHOWN, row, settings

FILE = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Written by `make docs` from the files themselves: change those. A name is what a configuration says: `{name: ..., setting: ...}`.
On the command line the same stands in `deepen list FAMILY` and `deepen list settings`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Contents\n"]
    parts += [f"- [{family}](#{family}): {meaning}" for family, meaning in SHOWN.items()]
    parts += ["- [settings](#settings): what a configuration holds besides\n"]
    for family, meaning in SHOWN.items():
        parts += [f"## {family}\n", f"{meaning[0].upper()}{meaning[1:]}.\n"]
        parts += [technique(family, name) for name in registry.names(family)]
    parts.append("## settings\n")
    for section, fields in settings().items():
        parts += [f"### {section}\n", table(fields)]
    return "\n".join(parts)


def technique(family: str, name: str) -> str:
    """One technique: its meaning, what its file says of equation and paper, its settings."""
    found = row(family, name)
    lines = [f"### {name}\n", f"{found['meaning']}\n"]
    if found["aliases"]:
        lines.append(f"Also: {', '.join(f'`{alias}`' for alias in found['aliases'])}\n")
    more = registry.header(family, name).partition("\n")[2].strip("\n") if family != "stages" else ""
    if more:
        lines.append(f"```text\n{more}\n```\n")
    if found["parameters"]:
        lines.append(table(found["parameters"]))
    return "\n".join(lines)


def table(fields: dict[str, dict[str, Any]]) -> str:
    """Settings with what they take, their default and their meaning."""
    rows = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = f"`{json.dumps(field['default'])}`" if "default" in field else "to be given"
        cells = (f"`{name}`", field["expects"], default, field.get("meaning", ""))
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    print(f"wrote {FILE}")
