"""Single items in a report: a picture or a sound as the network gets it, a row's values, a text."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np

from deepen.evaluation.html import short, text

SMALL = 40  # pixels a side up to which single pixels are shown, sharp and without loss
LARGEST = 128
DRAWN_ON = 400  # the same of a picture in which things are drawn


class Shown:
    """Items of a run's data by their row; each is encoded once more, a report shows few."""

    def __init__(self, prepared: Any, rows: np.ndarray) -> None:
        self.items, self.encoders, self.rows = prepared.items, prepared.signature.inputs, rows

    def name(self, place: int) -> str:
        return str(self.items.ids[int(self.rows[place])])

    def __call__(self, place: int) -> str | dict[str, Any]:
        """The item at a place among the measured ones: HTML, or the columns of a table."""
        raw = self.items.raw([int(self.rows[place])])[0]
        parts = [
            _one(encoder, raw if len(self.encoders) == 1 else raw[name], self.name(place))
            for name, encoder in self.encoders.items()
        ]
        columns = {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
        if all(isinstance(part, dict) for part in parts):
            return {"item": self.name(place), **columns}
        name = f'<div class="id" title="{text(self.name(place))}">{text(short(self.name(place), 26))}</div>'
        return "".join(part if isinstance(part, str) else _text(part) for part in parts) + name

    def pixels(self, place: int) -> tuple[str, int, int]:
        """A picture as the network sees it, as the address of its content, with its width and height in pixels."""
        raw = self.items.raw([int(self.rows[place])])[0]
        (encoder,) = self.encoders.values()
        image = _image(encoder.encode([raw])["image"][0])
        image.thumbnail((DRAWN_ON, DRAWN_ON))
        return _address(image, "JPEG"), *image.size


def _one(encoder: Any, value: Any, name: str) -> str | dict[str, Any]:
    if value is None:
        return _text("(missing)")
    encoder = getattr(encoder, "inner", encoder)
    for tensor in encoder.tensors:
        if tensor.dtype == "uint8" and len(tensor.shape) == 4:
            return picture(encoder.encode([value])[tensor.name][0], name)
    if hasattr(encoder, "picture"):
        return picture(encoder.picture(value), name)
    found = encoder.dump(value)
    return found if isinstance(found, dict) else _text(found)


def _text(value: Any) -> str:
    whole = value if isinstance(value, str) else json.dumps(_short(value), default=str)
    return f'<div class="text">{text(whole[:400] + ("…" if len(whole) > 400 else ""))}</div>'


def _short(value: Any) -> Any:
    """Numbers as a person reads them: four digits."""
    if isinstance(value, list):
        return [_short(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def picture(array: np.ndarray, name: str) -> str:
    """An <img> with the pixels inside it. array uint8 (height, width, 1 or 3)."""
    image = _image(array)
    sharp = max(image.size) <= SMALL
    if not sharp:
        image.thumbnail((LARGEST, LARGEST))
    address = _address(image, "PNG" if sharp else "JPEG")
    return f'<img class="{"sharp" if sharp else "soft"}" alt="{text(name)}" src="{address}">'


def _image(array: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array[..., :3])


def _address(image: Any, form: str) -> str:
    """A picture's content as an address that asks for nothing."""
    buffer = io.BytesIO()
    image.save(buffer, form, **({"optimize": True} if form == "PNG" else {"quality": 85}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
