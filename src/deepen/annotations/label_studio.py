"""Label Studio's JSON: a list of tasks, each with its annotations; boxes in per cent of the picture.

Read are choices, rectangle labels and numbers; what the item is stands in `data`, under `item` where we wrote it.
Beside that stands what Label Studio shows: a text, or where it finds a file below its LOCAL_FILES_DOCUMENT_ROOT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from deepen.annotations import Known, Label, bad, boxes_of, json_of, numbers, start_of
from deepen.kinds.boxes import PLACES

PLACE = ("item", "image", "text", "audio")  # where a task says what it is about, in this order
REMARK = "textarea"  # what annotators wrote beside their answers
TYPES = {"classes": "choices", "labels": "choices", "number": "number", "boxes": "rectanglelabels"}


class LabelStudio:
    """Label Studio's JSON, with every annotator's answer."""

    kinds: ClassVar[tuple[str, ...]] = ("classes", "labels", "number", "boxes")
    each: ClassVar[bool] = True

    def recognises(self, path: Path) -> bool:
        found = start_of(path) if path.suffix.lower() == ".json" else None
        return isinstance(found, list) and bool(found) and all(isinstance(t, dict) and "data" in t for t in found)

    def read(self, path: Path, known: Known) -> list[Label]:
        found = []
        for i, task in enumerate(json_of(path)):
            where = f"{path}: [{i}]"
            try:
                name = next((str(task["data"][key]) for key in PLACE if key in task["data"]), None)
                if name is None:
                    raise bad(where, f"data with {', '.join(task['data'])}", f"one of {', '.join(PLACE)}")
                item = known.find(name, where)
                for annotation in task.get("annotations", []):
                    if not annotation.get("was_cancelled"):
                        told = [r for r in annotation["result"] if r.get("type") != REMARK]
                        results = [r for r in told if r.get("type") == TYPES[known.kind]]
                        if len(results) < len(told):
                            raise bad(where, "results of another type", TYPES[known.kind])
                        value = _value(results, known, where)
                        found.append(Label(item, value, _who(annotation.get("completed_by", "")), where))
            except (KeyError, TypeError, AttributeError, IndexError) as problem:
                raise bad(
                    where, f"{type(problem).__name__}: {problem}", "a task with data and annotations"
                ) from problem
        return found

    def write(self, labels: Sequence[Label], known: Known) -> dict[str, str]:
        tasks: dict[str, dict[str, Any]] = {}
        for label in labels:
            data = {"item": label.item, **_shown(label.item, known.content(label.item))}
            task = tasks.setdefault(label.item, {"id": len(tasks) + 1, "data": data, "annotations": []})
            results = [_result(known, label.item, **part) for part in _parts(label.value, known.kind)]
            task["annotations"].append({"completed_by": {"email": label.annotator}, "result": results})
        return {"": json.dumps(list(tasks.values()), ensure_ascii=False, indent=1) + "\n"}


def _shown(item: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """What `$image`, `$audio` and `$text` of a labelling page are filled with."""
    local = f"/data/local-files/?d={quote(item)}"
    return {sort: value if sort == "text" else local for sort, value in content.items()}


def _who(completed: Any) -> str:
    if isinstance(completed, dict):
        return str(completed.get("email") or completed.get("username") or completed.get("id", ""))
    return str(completed)


def _value(results: list[dict[str, Any]], known: Known, where: str) -> Any:
    values = [result["value"] for result in results]
    if known.kind == "boxes":
        return [_thing(value, f"{where}: box {i}") for i, value in enumerate(values, 1)]
    if known.kind == "labels":
        return [str(name) for value in values for name in value["choices"]]
    given = [value["number"] if known.kind == "number" else value["choices"] for value in values]
    if len(given) != 1 or (known.kind == "classes" and len(given[0]) != 1):
        raise bad(where, f"{len(given)} answers in one annotation", "one")
    return given[0] if known.kind == "number" else str(given[0][0])


def _thing(value: dict[str, Any], where: str) -> dict[str, Any]:
    if value.get("rotation"):
        raise bad(where, "a box that is turned", "upright boxes")
    x, y, w, h = (v / 100 for v in numbers([value[key] for key in ("x", "y", "width", "height")], 4, where))
    names = value["rectanglelabels"]
    if len(names) != 1:
        raise bad(where, f"{len(names)} classes on one box", "one")
    return {"box": [x, y, x + w, y + h], "class": str(names[0])}


def _parts(value: Any, kind: str) -> list[dict[str, Any]]:
    if kind == "boxes":
        return [{"value": _percent(box, name)} for box, name in boxes_of(value)]
    if kind == "number":
        return [{"value": {"number": value}}]
    return [{"value": {"choices": value if isinstance(value, list) else [value]}}]


def _percent(box: Sequence[float], name: str) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    sides = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
    return {**{key: round(100 * v, PLACES + 1) for key, v in sides.items()}, "rotation": 0, "rectanglelabels": [name]}


def _result(known: Known, item: str, value: dict[str, Any]) -> dict[str, Any]:
    size = {}
    if known.kind == "boxes":
        width, height = known.size(item)
        size = {"original_width": width, "original_height": height, "image_rotation": 0}
    return {"type": TYPES[known.kind], "from_name": "label", "to_name": "item", **size, "value": value}
