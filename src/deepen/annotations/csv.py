"""A CSV table of labels: one line per item and annotator; for boxes one line per box.

item,label,annotator          cat/1.jpg,cat,ann            several labels are parted by ;
item,class,x1,y1,x2,y2,annotator                           shares of the picture; a line without class: no box
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from deepen.annotations import Known, Label, bad, boxes_of, numbers, text_of

SIDES = ("x1", "y1", "x2", "y2")


class Csv:
    """A table: item, label, annotator; for boxes a line for each."""

    kinds: ClassVar[tuple[str, ...]] = ("classes", "labels", "number", "boxes")
    each: ClassVar[bool] = True

    def recognises(self, path: Path) -> bool:
        return path.suffix.lower() == ".csv" and path.is_file()

    def read(self, path: Path, known: Known) -> list[Label]:
        rows = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
        wanted = ("item", "class", *SIDES) if known.kind == "boxes" else ("item", "label")
        try:
            absent = [name for name in wanted if name not in (rows.fieldnames or ())]
            if absent:
                raise bad(str(path), f"no column {absent[0]!r}", f"columns {', '.join(wanted)}")
            lines = [(f"{path}:{rows.line_num}", row) for row in rows]
        except csv.Error as problem:
            raise bad(str(path), str(problem), "a CSV table") from problem
        odd = next((where for where, row in lines if None in row or None in row.values()), None)
        if odd is not None:
            raise bad(odd, "another number of cells than the first line", "as many cells")
        if known.kind == "boxes":
            return self._boxes(lines, known)
        return [Label(known.find(r["item"], w), r["label"], r.get("annotator", ""), w) for w, r in lines]

    def _boxes(self, lines: list[tuple[str, dict[str, str]]], known: Known) -> list[Label]:
        found: dict[tuple[str, str], Label] = {}
        for where, row in lines:
            item, annotator = known.find(row["item"], where), row.get("annotator", "")
            label = found.setdefault((item, annotator), Label(item, [], annotator, where))
            if row["class"]:
                label.value.append({"box": numbers([row[side] for side in SIDES], 4, where), "class": row["class"]})
        return list(found.values())

    def write(self, labels: Sequence[Label], known: Known) -> dict[str, str]:
        boxes = known.kind == "boxes"
        rows: list[list[Any]] = [["item", *(("class", *SIDES) if boxes else ("label",)), "annotator"]]
        for label in labels:
            if boxes:
                things = [[name, *box] for box, name in boxes_of(label.value)] or [["", "", "", "", ""]]
                rows += [[label.item, *thing, label.annotator] for thing in things]
            else:
                value = ";".join(label.value) if isinstance(label.value, list) else label.value
                rows.append([label.item, value, label.annotator])
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows(rows)
        return {"": out.getvalue()}
