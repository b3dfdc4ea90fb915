"""What any detector must be able to do: learn a few real pictures by heart, and find made-up things in new pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

HEART, ASIDE = (
    20,
    4,
)  # pictures that are learnt by heart; pictures of each other part, which nothing here is measured on
SHAPES = 500


def few(data: Path, place: Path, seed: int) -> dict[str, str]:
    """A folder with the first blood cells to train on."""
    source = data / "detection" / "bccd"
    (place / "images").mkdir(parents=True, exist_ok=True)
    for part, count in (("train", HEART), ("val", ASIDE), ("test", ASIDE)):
        document = json.loads((source / f"{part}.json").read_text())
        document["images"] = document["images"][:count]
        kept = {image["id"] for image in document["images"]}
        document["annotations"] = [one for one in document["annotations"] if one["image_id"] in kept]
        for image in document["images"]:
            shutil.copy(source / image["file_name"], place / image["file_name"])
        (place / f"{part}.json").write_text(json.dumps(document))
    return {"data.path": str(place)}


def by_heart(run: Any) -> dict[str, float]:
    """What is found in the pictures that were trained on."""
    import deepen

    document: Any = deepen.evaluate(str(run.path), part="train")
    return {"train_ap50": document["metrics"]["ap50"][0], "items": document["items"]}


def shapes(data: Path, place: Path, seed: int) -> dict[str, str]:
    """Discs, squares and crosses on noise, in upright and broad pictures."""
    from tests.detection import shapes

    return {"data.path": str(shapes.coco(place, SHAPES, seed=seed, size=(128, 96)))}
