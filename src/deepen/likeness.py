"""What is like an item: a picture or an array that a network tells again or makes up. NumPy only.

A network works on (value - mean) * scale, as nn/normalise.py gives it. Its answers are in the item's own unit: levels
from 0 to 255 of a picture, the numbers of an array or of a table's row.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from deepen.errors import DeepenError, counted
from deepen.panels import Curves, Line, Panel, Pictures, Table, numbers, thin
from deepen.preprocess.array import Array
from deepen.preprocess.image import Image, png
from deepen.preprocess.row import Row

L = TypeVar("L", bound="Likeness")
MOST = 20_000  # items that mean and deviation are taken from, as nn/normalise.py does
LEVELS = 255.0
SHOWN = 48  # pictures of each set
ROWS = 12  # of a table
SAME = 1e-2


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """The form of items.

    shape        height, width, channels of a picture, else the array's own
    picture      whether it holds levels from 0 to 255
    mean, scale  of each channel of a picture, of each place of an array
    names        the columns, where items are rows of a table
    """

    shape: tuple[int, ...]
    picture: bool
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    @classmethod
    def of(cls: type[L], inputs: dict[str, Any], columns: dict[str, Any], rows: np.ndarray, **own: Any) -> L:
        """The form of the items that go in, with mean and scale of the training rows."""
        encoder, tensor = _only(inputs)
        picture = tensor.dtype == "uint8"
        values = columns[tensor.name][rows[:: max(1, -(-len(rows) // MOST))]]
        mean, scale = _channels(values) if picture else _places(values)
        shape = tuple(int(size) for size in tensor.shape[1:])
        names = (*encoder.numbers, *(f"{name} missing" for name in encoder.flags)) if isinstance(encoder, Row) else ()
        return cls(
            shape=shape, picture=picture, mean=tuple(mean.tolist()), scale=tuple(scale.tolist()),
            names=names if len(names) == shape[0] else (), **own,
        )  # fmt: skip

    def column(self, inputs: dict[str, Any], columns: dict[str, Any]) -> np.ndarray:
        """The items themselves, (n, *shape)."""
        return columns[_only(inputs)[1].name]

    def encode(self, values: Sequence[Any], where: str = "target") -> np.ndarray:
        """No label says what the answer is: the items do."""
        raise DeepenError("data.label", where, "labels", "none: these answers are measured on the items themselves")

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """float64 (n, *shape) as the network sees it; NaN stays."""
        shape = (-1,) if self.picture else self.shape
        mean, scale = (np.reshape(v, shape) for v in (self.mean, self.scale))
        return (values.astype(np.float64) - mean) * scale

    def own(self, values: np.ndarray) -> np.ndarray:
        """The way back of `scaled`: float64 (n, *shape) from what a network has, pictures as planes (n, C, H, W)."""
        shape = (-1,) if self.picture else self.shape
        mean, scale = (np.reshape(v, shape) for v in (self.mean, self.scale))
        found = (np.moveaxis(values, 1, -1) if self.picture else values).astype(np.float64) / scale + mean
        return found.clip(0, LEVELS) if self.picture else found

    def shown(self, values: np.ndarray) -> list[Any]:
        """Items (n, *shape) for JSON: a PNG in base64, columns by name, or nested lists."""
        if self.picture:
            return [encoded(value) for value in levels(values)]
        if self.names:
            return [dict(zip(self.names, row)) for row in values.tolist()]
        return values.tolist()

    def read(self, shown: Sequence[Any]) -> np.ndarray:
        """float32 (n, *shape) from what `shown` gave."""
        if self.picture:
            found: list[Any] = [decoded(one, self.shape) for one in shown]
        elif self.names:
            found = [[one[name] for name in self.names] for one in shown]
        else:
            found = list(shown)
        return np.array(found, np.float32).reshape(-1, *self.shape)

    def apart(self, a: Any, b: Any) -> float:
        """The largest difference of two shown items, as a share of the levels or of the numbers' own size."""
        one, other = self.read([a])[0].astype(np.float64), self.read([b])[0].astype(np.float64)
        if self.picture:  # rounding may fall to either side
            return max(0.0, float(np.abs(one - other).max()) - 1) / LEVELS
        return float((np.abs(one - other) / np.maximum(1.0, np.abs(other))).max())

    def alike(self, a: np.ndarray, b: np.ndarray) -> float:
        """Share of items (n, *shape) whose mean squared difference is at most SAME of the training variance."""
        gap = (self.scaled(a) - self.scaled(b)).reshape(len(a), -1)
        return float(((gap**2).mean(1) <= SAME).mean())

    def furthest(self, a: np.ndarray, b: np.ndarray) -> float:
        """The largest difference of any place on the network's scale."""
        return float(np.abs(self.scaled(a) - self.scaled(b)).max(initial=0))

    def pictures(self, title: str, columns: Sequence[np.ndarray], said: Sequence[str], note: str) -> Pictures:
        """Pictures of the same items one below the other."""
        rows = tuple(tuple(encoded(one) for one in levels(values)) for values in columns)
        return Pictures(title, rows, tuple(said), note)

    def beside(self, target: np.ndarray, made: np.ndarray) -> list[Panel]:
        """Held-out items and made ones, to be told apart by a person."""
        if self.picture:
            notes = {"Made": "One for each draw, none chosen by hand.", "Held out": "What they are to look like."}
            sets = zip(notes.items(), (made, target))
            kept = [(head, values[some(len(values), SHOWN)]) for head, values in sets]
            return [self.pictures(title, (values,), [""] * len(values), note) for (title, note), values in kept]
        return [*self._points(target, made), *self._rows(made)]

    def _points(self, target: np.ndarray, made: np.ndarray) -> list[Panel]:
        if self.width < 2:
            return []
        lines = []
        for name, values in (("held out", target), ("made", made)):
            flat = np.nan_to_num(values.reshape(len(values), -1))
            kept = thin(flat[:, 0], 600)
            lines.append(Line(name, numbers(flat[kept, 0]), numbers(flat[kept, 1]), points=True))
        x, y = self.names[:2] if self.names else ("first number", "second number")
        return [Curves("Held out and made", x, y, tuple(lines), "The two clouds should not be told apart.")]

    def _rows(self, made: np.ndarray) -> list[Panel]:
        """Some made ones by number."""
        names = self.names or tuple(f"number {i + 1}" for i in range(self.width))
        rows = [numbers(row[:ROWS]) for row in made[some(len(made), ROWS)].reshape(-1, self.width)]
        return [Table("Made", names[:ROWS], tuple(rows))]

    def describe(self) -> str:
        if self.picture:
            height, width, channels = self.shape
            return f"pictures {width} x {height}, {'grey' if channels == 1 else 'colour'}"
        return f"rows of {counted_names(self.names)}" if self.names else f"arrays of shape {self.shape}"


def counted_names(names: Sequence[str]) -> str:
    """A few names, and how many there are."""
    return f"{counted(len(names), 'number')} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def levels(values: np.ndarray) -> np.ndarray:
    """uint8 from levels of any type."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def encoded(picture: np.ndarray) -> str:
    """uint8 (height, width, 1 or 3) as a PNG in base64."""
    return base64.b64encode(png(picture)).decode()


def decoded(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels of `encoded`."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))), np.uint8).reshape(shape)


def some(count: int, most: int = 16) -> np.ndarray:
    """Places of a few of the items, evenly taken."""
    return thin(np.empty(count), most)


def _only(inputs: dict[str, Any]) -> tuple[Any, Any]:
    """The one encoder and its one tensor; refused where an item is anything else than a picture or numbers."""
    encoders = list(inputs.values())
    tensors = [tensor for encoder in encoders for tensor in encoder.tensors]
    one = tensors[0]
    plain = len(tensors) == 1 and isinstance(encoders[0], (Image, Array, Row))
    if not plain or one.dtype not in {"uint8", "float32"}:
        raise DeepenError(
            "method.input", "method", "; ".join(encoder.describe() for encoder in encoders),
            "pictures, arrays of one shape, or rows of numbers alone",
            "leave other columns out: data.drop=[...]" if isinstance(encoders[0], Row) else "leave the method out to learn from labels",
        )  # fmt: skip
    return encoders[0], one


def _channels(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = np.stack([np.bincount(values[..., c].reshape(-1), minlength=256) for c in range(values.shape[-1])])
    steps, total = np.arange(256), counts.sum(1)
    mean = counts @ steps / total
    square = (counts * (steps - mean[:, None]) ** 2).sum(1) / total
    return mean, 1 / np.maximum(np.sqrt(square), 1.0)


def _places(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    mean, deviation = np.nanmean(flat, 0), np.nanstd(flat, 0)
    return mean, 1 / np.where(deviation > 1e-8 * np.abs(mean), np.maximum(deviation, 1e-30), 1.0)
