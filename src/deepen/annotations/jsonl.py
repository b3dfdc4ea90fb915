"""JSON lines: one label per line, as the dataset's own table holds it.

{"item": "cat/1.jpg", "label": "cat", "annotator": "ann"}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from deepen.annotations import Known, Label, bad, text_of


class Jsonl:
    """One label per line, of any kind."""

    kinds: ClassVar[tuple[str, ...]] = ("classes", "labels", "number", "boxes")
    each: ClassVar[bool] = True

    def recognises(self, path: Path) -> bool:
        return path.suffix.lower() in {".jsonl", ".ndjson"} and path.is_file()

    def read(self, path: Path, known: Known) -> list[Label]:
        found = []
        for number, line in enumerate(text_of(path).splitlines(), 1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                item, annotator, value = str(row["item"]), str(row.get("annotator", "")), row["label"]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
                raise bad(where, f"{line[:80]!r}", "an object with item and label") from problem
            found.append(Label(known.find(item, where), value, annotator, where))
        return found

    def write(self, labels: Sequence[Label], known: Known) -> dict[str, str]:
        rows = ({"item": label.item, "label": label.value, "annotator": label.annotator} for label in labels)
        return {"": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)}
