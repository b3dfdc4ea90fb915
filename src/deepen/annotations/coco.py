"""COCO object detection: one JSON file with images, annotations and categories; boxes as x, y, width, height in pixels.

A picture without annotations is one with nothing in it. `iscrowd`: a box around several things that are not told apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from deepen.annotations import Known, Label, bad, json_of, numbers, pixels, share, start_of
from deepen.errors import DeepenError


class Coco:
    """COCO object detection, one JSON file of boxes."""

    kinds: ClassVar[tuple[str, ...]] = ("boxes",)
    each: ClassVar[bool] = False

    def recognises(self, path: Path) -> bool:
        found = start_of(path) if path.suffix.lower() == ".json" else None
        return isinstance(found, dict) and {"images", "annotations"} <= set(found)

    def read(self, path: Path, known: Known) -> list[Label]:
        document, where = json_of(path), str(path)
        try:
            names = {entry["id"]: str(entry["name"] or "") for entry in document["categories"]}
            labels = self._images(document["images"], path, known)
            for i, entry in enumerate(document["annotations"]):
                where = f"{path}: annotations[{i}]"
                image = entry["image_id"]
                if image not in labels:
                    known.wrong(where, bad(where, f"image_id {image!r}", "the id of an image in this file"))
                elif labels[image] is not None:
                    try:
                        labels[image].value.append(_thing(entry, names, known.size(labels[image].item), where))
                    except DeepenError as problem:
                        known.wrong(labels[image].item, problem)
                        labels[image] = None
        except (KeyError, TypeError, AttributeError) as problem:
            said = f"no {problem}" if isinstance(problem, KeyError) else f"{type(problem).__name__}: {problem}"
            raise bad(where, said, "images, annotations and categories") from problem
        return [label for label in labels.values() if label is not None]

    def _images(self, images: Any, path: Path, known: Known) -> dict[Any, Any]:
        """An empty label for each image by its id; None where it is spoilt."""
        labels: dict[Any, Any] = {}
        for i, entry in enumerate(images):
            where, name = f"{path}: images[{i}]", str(entry["file_name"])
            if entry["id"] in labels:
                raise bad(where, f"id {entry['id']} stands twice", "an id for each")
            labels[entry["id"]] = None
            try:
                item = known.find(name, where)
                name, size = item, known.size(item)
                stated = tuple(s if entry.get(key) is None else entry[key] for key, s in zip(("width", "height"), size))
                if numbers(stated, 2, where) != [*size]:
                    found = f"{item}: {stated[0]} x {stated[1]} pixels"
                    raise bad(where, found, f"{size[0]} x {size[1]}, as the picture has upright")
                labels[entry["id"]] = Label(item, [], "", where)
            except DeepenError as problem:
                known.wrong(name, problem)
        return labels

    def write(self, labels: Sequence[Label], known: Known) -> dict[str, str]:
        code = {name: i for i, name in enumerate(known.names, 1)}
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, label in enumerate(labels, 1):
            width, height = known.size(label.item)
            images.append({"id": number, "file_name": label.item, "width": width, "height": height})
            for thing in label.value:
                bbox = _bbox(thing["box"], width, height)
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "category_id": code[thing["class"]], "bbox": bbox,
                     "area": bbox[2] * bbox[3], "iscrowd": int(thing.get("crowd", False))}
                )  # fmt: skip
        categories = [{"id": i, "name": name} for name, i in code.items()]
        document = {"images": images, "annotations": annotations, "categories": categories}
        return {"": json.dumps(document, ensure_ascii=False, indent=1) + "\n"}


def _thing(entry: Any, names: dict[Any, str], size: tuple[int, int], where: str) -> dict[str, Any]:
    if lacking := {"category_id", "bbox"} - {*entry}:
        raise bad(where, f"no {min(lacking)}", "category_id and bbox")
    if entry["category_id"] not in names:
        raise bad(where, f"category_id {entry['category_id']!r}", "the id of a category in this file")
    crowd = {"crowd": True} if entry.get("iscrowd") else {}
    return {"box": _box(entry["bbox"], size, where), "class": names[entry["category_id"]], **crowd}


def _box(bbox: Any, size: tuple[int, int], where: str) -> list[float]:
    x, y, w, h = numbers(bbox, 4, where)
    return [share(x, size[0]), share(y, size[1]), share(x + w, size[0]), share(y + h, size[1])]


def _bbox(box: Sequence[float], width: int, height: int) -> list[int | float]:
    """x, y, width, height in pixels that read back as the box."""
    x1, y1, x2, y2 = box
    x, y = pixels(x1 * width, lambda v: share(v, width) == x1), pixels(y1 * height, lambda v: share(v, height) == y1)
    w = pixels((x2 - x1) * width, lambda v: share(x + v, width) == x2)
    h = pixels((y2 - y1) * height, lambda v: share(y + v, height) == y2)
    return [x, y, w, h]
