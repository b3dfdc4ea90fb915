"""Pictures: from bytes, a path or an array to uint8 (height, width, channels). The one deterministic path.

Decoded with Pillow, turned upright (EXIF), flattened onto white, brought to the frame. JPEG and PNG and WebP; 16-bit is
brought to 8; CMYK is converted; animations are refused.

    crop     scaled so that the picture covers the frame, cut in the middle
    stretch  either side scaled by itself
    fit      scaled so that all of it is in the frame, from the upper left corner on; the rest is grey. What was found in
             the frame has to be brought back to the picture, so `placed` goes with it
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from deepen.errors import DeepenError, Invalid, typed
from deepen.tensors import Arrays, Tensor

LARGEST_SIDE = 2048  # pixels of a network's input
LARGEST = 50_000_000  # pixels; a small file can claim far more than memory holds
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation -> Pillow.Transpose that puts it upright
KEPT = 64  # pictures of one size up to this many pixels a side are taken as they are
SOME = 256  # pictures whose figures are taken in one go
DEFAULT = 96  # the side, where pictures are larger or differ
FITTED = 320  # the longer side of a frame that pictures are fitted into, where they are larger
EVEN = 32  # its sides are multiples of this: a network may halve it five times
REST = 114  # grey of what a fitted picture leaves of its frame


class Image(msgspec.Struct, frozen=True):
    """A picture of a fixed size, uint8, channels last."""

    height: int
    width: int
    channels: int
    resize: Literal["crop", "stretch", "fit"] = "crop"
    decoder: str = ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """image; of fitted ones also placed: shares of the frame's width and height that hold the picture, then the
        picture's own in pixels."""
        image = Tensor("image", "uint8", ("batch", self.height, self.width, self.channels))
        return (image, Tensor("placed", "float32", ("batch", 4))) if self.resize == "fit" else (image,)

    @classmethod
    def fit(cls, values: Sequence[Any], size: int | None = None, resize: str = "crop", **_: Any) -> Image:
        """Size and channels from the training pictures' headers (at most 2,000 of them, evenly taken)."""
        import PIL

        if size is not None and size > LARGEST_SIDE:
            raise DeepenError("data.size", "data.size", f"got {size}", f"at most {LARGEST_SIDE} pixels a side")
        step = max(1, len(values) // 2000)
        seen = []
        for value in values[::step]:
            try:
                seen.append(header(value))
            except Invalid:
                continue  # the decoder will report it
        if not seen:
            raise Invalid("no readable picture", "at least one")
        shapes = {shape for shape, _ in seen}
        height = width = size or DEFAULT
        if resize == "fit":
            height, width = frame(shapes, size)
        elif size is None and len(shapes) == 1 and max(next(iter(shapes))) <= KEPT:
            height, width = next(iter(shapes))
        channels = 1 if all(grey for _, grey in seen) else 3
        return cls(height, width, channels, resize, f"pillow {PIL.__version__}")  # type: ignore[arg-type]

    def encode(self, values: Sequence[Any]) -> Arrays:
        """image uint8 (n, height, width, channels), and what `tensors` says goes with it."""
        sizes = np.full((len(values), 2), (self.width, self.height))
        if (
            isinstance(values, np.ndarray)
            and values.dtype == np.uint8
            and values.shape[1:] == self.tensors[0].shape[1:]
        ):
            return self._with(values, sizes)
        result = np.empty((len(values), self.height, self.width, self.channels), np.uint8)
        for row, value in enumerate(values):
            try:
                picture = open_picture(value)
                sizes[row] = upright(picture)
                result[row] = self._framed(picture)
            except Invalid as problem:
                raise problem.at(row) from None
        return self._with(result, sizes)

    def _with(self, images: np.ndarray, sizes: np.ndarray) -> Arrays:
        if self.resize != "fit":
            return {"image": images}
        shares = self.within(sizes) / (self.width, self.height)
        return {"image": images, "placed": np.hstack([shares, sizes]).astype(np.float32)}

    def within(self, sizes: np.ndarray) -> np.ndarray:
        """int (n, 2): width and height in the frame of fitted pictures of sizes (n, 2); no side is less than a pixel."""
        frame = np.array([self.width, self.height])
        scale = (frame / sizes).min(1, keepdims=True)
        return np.clip(np.round(sizes * scale).astype(int), 1, frame)

    def one(self, value: Any) -> np.ndarray:
        """One picture as uint8 (height, width, channels)."""
        return self._framed(open_picture(value))

    def _framed(self, picture: Any) -> np.ndarray:
        from PIL import Image as Pillow

        fitted = self.resize == "fit"
        size = tuple(self.within(np.array([upright(picture)]))[0].tolist()) if fitted else (self.width, self.height)
        picture = flatten(picture, size)
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        if picture.size != size:
            box = None
            if self.resize == "crop":
                scale = min(picture.width / self.width, picture.height / self.height)
                w, h = self.width * scale, self.height * scale
                left, top = (picture.width - w) / 2, (picture.height - h) / 2
                box = (left, top, left + w, top + h)
            picture = picture.resize(size, Pillow.Resampling.BILINEAR, box, reducing_gap=2.0)
        pixels = np.asarray(picture, np.uint8).reshape(size[1], size[0], self.channels)
        if not fitted:
            return pixels
        result = np.full((self.height, self.width, self.channels), REST, np.uint8)
        result[: size[1], : size[0]] = pixels
        return result

    def parse(self, value: Any) -> Any:
        """What a client may send in JSON: base64 text, {"b64": text}, or nested lists of 0..255."""
        if isinstance(value, dict) and set(value) == {"b64"}:
            value = value["b64"]
        if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise Invalid("text that is not base64", "a picture file in base64") from None
        if isinstance(value, list):
            try:
                array = np.asarray(value)
            except (ValueError, TypeError):
                raise Invalid("nested lists of unequal length", "height x width (x channels) numbers") from None
            whole = array.ndim in {2, 3} and array.size and array.dtype.kind in "iuf" and np.isfinite(array).all()
            if not whole or (array != np.round(array)).any() or array.min() < 0 or array.max() > 255:
                raise Invalid("not a picture", "height x width (x channels) whole numbers from 0 to 255")
            return array.astype(np.uint8)
        if isinstance(value, (bytes, np.ndarray)):
            return value
        raise Invalid(f"got {typed(value)}", "a picture file in base64, or nested lists of 0..255")

    def dump(self, value: Any) -> str:
        """A raw picture as `parse` takes it: the file in base64."""
        if isinstance(value, np.ndarray):
            value = png(value)
        elif isinstance(value, (str, Path)):
            value = Path(value).read_bytes()
        return base64.b64encode(value).decode()

    def restore(self, arrays: Arrays) -> np.ndarray:
        """The picture of one encoded item: nothing larger was ever looked at."""
        return arrays["image"][0]

    @property
    def ending(self) -> str:
        return ".png"

    def file(self, value: Any) -> bytes:
        return png(value)

    def statistics(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """What is watched of each picture, from 0 to 1: light, contrast, edges, where the light is, colours."""
        parts = [_look(arrays["image"][i : i + SOME]) for i in range(0, len(arrays["image"]), SOME)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def describe(self) -> str:
        return f"pictures {self.width} x {self.height}, {'grey' if self.channels == 1 else 'colour'}"


def frame(shapes: set[tuple[int, int]], size: int | None) -> tuple[int, int]:
    """(height, width) that pictures (height, width) are fitted into: of their shape if they share one, else square."""
    longest = size or min(FITTED, max(max(shape) for shape in shapes))
    even = lambda side: min(LARGEST_SIDE, -(-max(1, round(side)) // EVEN) * EVEN)
    wide = np.array([width / height for height, width in shapes])
    if wide.max() > 1.05 * wide.min():
        return even(longest), even(longest)
    shape = float(np.median(wide))
    return even(longest * min(1.0, 1 / shape)), even(longest * min(1.0, shape))


def _look(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of pictures uint8 (n, height, width, channels), each float64 (n,)."""
    pixels = pictures.astype(np.float32) / 255
    grey = pixels.mean(3)
    light = grey.mean((1, 2))
    contrast = grey.std((1, 2))
    across, down = np.abs(np.diff(grey, axis=2)).mean((1, 2)), np.abs(np.diff(grey, axis=1)).mean((1, 2))
    sharpness = np.divide(across + down, contrast, out=np.zeros_like(light), where=contrast > 1e-3)
    left = grey[:, :, : grey.shape[2] // 2].mean((1, 2)) if grey.shape[2] > 1 else light
    top = grey[:, : grey.shape[1] // 2].mean((1, 2)) if grey.shape[1] > 1 else light
    found = {
        "brightness": light,
        "contrast": contrast,
        "sharpness": sharpness,
        "left": left - light,
        "top": top - light,
    }
    if pixels.shape[3] == 3:
        colours = pixels.mean((1, 2))  # (n, 3)
        found |= {name: colours[:, i] - light for i, name in enumerate(("red", "green", "blue"))}
    return {name: values.astype(np.float64) for name, values in found.items()}


def open_picture(value: Any) -> Any:
    """A Pillow image, its header read and checked, its pixels not yet decoded."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if isinstance(value, np.ndarray):
        array = value[..., 0] if value.ndim == 3 and value.shape[-1] == 1 else value
        if array.dtype != np.uint8 or array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[-1] not in {3, 4}):
            raise Invalid(f"an array {value.dtype} {value.shape}", "uint8 (height, width) or (height, width, 3)")
        return Pillow.fromarray(array)
    if isinstance(value, (str, Path)):
        try:
            value = Path(value).read_bytes()
        except OSError as problem:
            raise Invalid(problem.strerror or "not readable", "a readable file") from None
    if not value:
        raise Invalid("empty file", "a picture")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # our cap below is stricter, and a damaged picture is told
    try:
        picture = Pillow.open(io.BytesIO(value), formats=FORMATS)
    except UnidentifiedImageError:
        raise Invalid(f"not a picture ({sniff(value)})", "JPEG, PNG or WebP") from None
    except Pillow.DecompressionBombError:
        raise Invalid("far too many pixels", f"at most {LARGEST:,} pixels") from None
    except OSError:
        raise Invalid("truncated or damaged", "a whole picture") from None
    except MemoryError:
        raise
    except Exception as problem:  # on hostile bytes Pillow's parsers fail in whatever way they happen to
        raise Invalid(f"damaged header ({problem or type(problem).__name__})", "JPEG, PNG or WebP") from None
    if picture.width * picture.height > LARGEST:
        raise Invalid(f"{picture.width} x {picture.height} pixels are too many", f"at most {LARGEST:,} pixels")
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # a phone's JPEG with a second, smaller picture: the first one counts
        raise Invalid(f"an animation of {frames} frames", "a single picture")
    return picture


def flatten(picture: Any, at_least: tuple[int, int]) -> Any:
    """Upright, 8 bits a channel, without transparency: mode L or RGB. JPEG is decoded no larger than needed."""
    from PIL import Image as Pillow

    try:
        if picture.format in {"JPEG", "MPO"}:
            picture.draft(None, at_least if orientation(picture) < 5 else at_least[::-1])
        picture.load()
        turn = TURNS.get(orientation(picture))
        picture = picture if turn is None else picture.transpose(turn)
    except MemoryError:
        raise
    except Exception as problem:  # as above
        short = str(problem).split("(")[0].strip() or type(problem).__name__
        common = isinstance(problem, OSError) or "truncated" in short or "broken" in short
        raise Invalid("truncated or damaged" if common else f"damaged: {short}", "a whole picture") from None
    if picture.mode.startswith("I"):  # 16 bits: 65535 becomes 255
        return Pillow.fromarray((np.asarray(picture, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    if picture.mode in {"LA", "PA", "RGBA", "RGBa", "La"} or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Pillow.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, rgba).convert("L" if picture.mode == "LA" else "RGB")
    return picture


def orientation(picture: Any) -> int:
    """1 to 8 as EXIF has it; 1, upright, where it is not said or not readable."""
    if getattr(picture, "format", None) is None or (picture.format == "PNG" and "exif" not in picture.info):
        return 1  # for a PNG Pillow would decode the pixels to look behind them
    try:
        found = picture.getexif().get(0x0112, 1)
    except Exception:  # a damaged note about the picture does not spoil the picture
        return 1
    return found if found in TURNS else 1


def header(value: Any) -> tuple[tuple[int, int], bool]:
    """((height, width), whether it is grey) without decoding the pixels."""
    picture = open_picture(value)
    width, height = upright(picture)
    return (height, width), picture.mode in GREY


def upright(picture: Any) -> tuple[int, int]:
    """(width, height) of an opened picture as it is shown."""
    return (picture.height, picture.width) if orientation(picture) >= 5 else (picture.width, picture.height)


def sniff(data: bytes) -> str:
    """What a file that is no picture looks like, for the error."""
    for magic, name in (
        (b"GIF8", "GIF"),
        (b"%PDF", "PDF"),
        (b"PK", "zip"),
        (b"<svg", "SVG"),
        (b"<?xml", "XML"),
        (b"II*", "TIFF"),
    ):
        if data.startswith(magic):
            return name
    return "text" if all(32 <= b < 127 or b in (9, 10, 13) for b in data[:256]) else "unknown bytes"


def png(array: np.ndarray) -> bytes:
    """A picture file from uint8 (height, width) or (height, width, channels)."""
    buffer = io.BytesIO()
    open_picture(np.ascontiguousarray(array)).save(buffer, "PNG")
    return buffer.getvalue()
