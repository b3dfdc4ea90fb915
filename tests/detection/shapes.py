"""Made-up pictures with things whose boxes are known to the pixel: discs, squares and crosses apart from each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("cross", "disc", "square")


def picture(rng: np.random.Generator, size: tuple[int, int], most: int = 4) -> tuple[Image.Image, list[tuple]]:
    """A picture of (width, height) and its things: x, y, width, height, class."""
    width, height = size
    image = Image.fromarray(np.clip(rng.normal(120, 12, (height, width, 3)), 0, 255).astype(np.uint8))
    draw, things = ImageDraw.Draw(image), []
    for _ in range(20 * int(rng.integers(0, most + 1))):
        if len(things) >= most:
            break
        side = int(rng.integers(min(size) // 7, min(size) // 3))
        x, y = (int(rng.integers(0, length - side)) for length in size)
        if any(x < a + c and a < x + side and y < b + d and b < y + side for a, b, c, d, _ in things):
            continue
        kind, colour = NAMES[int(rng.integers(3))], tuple(int(v) for v in rng.choice([20, 240], 3))
        edges = (x, y, x + side - 1, y + side - 1)
        if kind == "disc":
            draw.ellipse(edges, fill=colour)
        elif kind == "square":
            draw.rectangle(edges, fill=colour)
        else:
            draw.line(edges, fill=colour, width=4)
            draw.line((x, y + side - 1, x + side - 1, y), fill=colour, width=4)
        things.append((x, y, side, side, kind))
    return image, things


def coco(place: Path, count: int, seed: int = 0, size: tuple[int, int] = (96, 64), name: str = "boxes.json") -> Path:
    """A folder with pictures, every third one upright, and their boxes in a COCO file."""
    rng = np.random.default_rng(seed)
    (place / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(1, count + 1):
        own = size if i % 3 else size[::-1]
        image, things = picture(rng, own)
        file = f"images/{seed}_{i:03}.png"
        image.save(place / file)
        images.append({"id": i, "file_name": file, "width": own[0], "height": own[1]})
        for x, y, w, h, kind in things:
            entry = {"id": len(annotations) + 1, "image_id": i, "category_id": NAMES.index(kind) + 1}
            annotations.append({**entry, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (place / name).write_text(json.dumps(document))
    return place
