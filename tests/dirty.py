"""Dirty files, made when a test needs them: what users' folders and exports really hold."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (40, 40), mode: str = "RGB") -> Image.Image:
    """A picture with some structure, another one for each seed. size: (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, raw: bytes, *more: bytes) -> bytes:
    """A PNG from its parts; nothing in it is checked."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", raw) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bomb(side: int = 13_000) -> bytes:
    """A PNG of side x side pixels in a few hundred kilobytes."""
    return png(side, side, 8, 0, zlib.compress(bytes(side * (side + 1)), 9))


def animated(form: str) -> bytes:
    frames = [picture(seed) for seed in range(3)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50)


def exif(orientation: int, more: bytes = b"") -> bytes:
    """An EXIF block with an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    if more:
        block[0x010E] = more.decode("latin-1")
    return block.tobytes()


JPEG = encoded(picture(1), "JPEG", quality=90)
PNG = encoded(picture(2))
WEBP = encoded(picture(3), "WEBP")


def bad_contents() -> dict[str, tuple[bytes, str]]:
    """Name with ending -> content that is no good picture, and the reason the check must give."""
    damaged, none, text = "truncated or damaged", "not a picture (unknown bytes)", "not a picture (text)"
    flipped = bytearray(PNG)
    flipped[60] ^= 0xFF  # in the compressed pixels
    cases = {
        "empty.jpg": (b"", "empty file"),
        "empty.png": (b"", "empty file"),
        "text.png": (b"hello, I am a text\n", text),
        "text.jpg": (b"404 Not Found", text),
        "page.jpg": (b"<html><body>login</body></html>", text),
        "json.webp": (b'{"error": "gone"}', text),
        "lfs.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", text),
        "newline.jpg": (b"\n", text),
        "zeros.png": (bytes(500), none),
        "zeros.jpg": (bytes(5000), none),
        "noise.jpg": (np.random.default_rng(0).bytes(3000), none),
        "one_byte.bmp": (b"\xff", none),
        "zip.jpg": (b"PK\x03\x04" + bytes(50), "not a picture (zip)"),
        "pdf.png": (b"%PDF-1.4\n%\xe2\xe3", "not a picture (PDF)"),
        "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture (SVG)"),
        "xml.jpg": (b"<?xml version='1.0'?><svg/>", "not a picture (XML)"),
        "gif.jpg": (encoded(picture(4), "GIF"), "not a picture (GIF)"),
        "moving_gif.png": (animated("GIF"), "not a picture (GIF)"),
        "tiff.jpg": (encoded(picture(5), "TIFF"), "not a picture (TIFF)"),
        "ico.png": (encoded(picture(5), "ICO"), none),
        "moving.webp": (animated("WEBP"), "an animation of 3 frames"),
        "moving.png": (animated("PNG"), "an animation of 3 frames"),
        "bomb.png": (bomb(), "13000 x 13000 pixels are too many"),
        "flipped.png": (bytes(flipped), damaged),
        "half.bmp": (encoded(picture(6), "BMP")[:900], damaged),
        "half.ppm": (encoded(picture(6), "PPM")[:900], damaged),
        "head.bmp": (b"BM" + bytes(6), none),
        "no_pixels.png": (png(20, 20, 8, 2, b""), damaged),
        "short_pixels.png": (png(20, 20, 8, 2, zlib.compress(bytes(100))), damaged),
        "signature.png": (b"\x89PNG\r\n\x1a\n", none),
        "signature.jpg": (b"\xff\xd8\xff", none),
        "soi.jpg": (b"\xff\xd8", none),
        "no_eoi.jpg": (JPEG[: len(JPEG) - 200], damaged),
    }
    for share in (20, 35, 50, 65, 80, 90):
        cases[f"cut{share}.jpg"] = (JPEG[: max(len(JPEG) * share // 100, 640)], damaged)
        cases[f"cut{share}.png"] = (PNG[: len(PNG) * share // 100], damaged)
        cases[f"cut{share}.webp"] = (WEBP[: len(WEBP) * share // 100], damaged)
    for ending in ("gif", "tif", "tiff", "heic", "svg", "pdf", "avif", "psd", "jp2"):
        cases[f"other.{ending}"] = (PNG, f"{ending.upper()} is not read, convert it to PNG or JPEG")
    return cases


def bad_places() -> dict[str, tuple[Callable[[Path], object], str]]:
    """Name -> how to make what is no plain file, and the reason."""
    return {
        "out.png": (lambda p: p.symlink_to("/etc/hostname"), "a link that leaves the folder"),
        "up.jpg": (_climb, "a link that leaves the folder"),
        "loop.png": (lambda p: p.symlink_to(p.name), "a link to nothing (Too many levels of symbolic links)"),
        "gone.jpg": (lambda p: p.symlink_to("not_there.jpg"), "a link to nothing (No such file or directory)"),
        "pipe.jpg": (lambda p: os.mkfifo(p), "not a file but a pipe or device"),
        "around": (lambda p: p.symlink_to(".."), "a link to a folder: not followed"),
    }


def _climb(place: Path) -> None:
    """A link by `..` to a picture beside the data."""
    (place.parents[2] / "beside.jpg").write_bytes(JPEG)
    place.symlink_to(Path("..") / ".." / "beside.jpg")


def good_pictures() -> dict[str, bytes]:
    """Odd but whole pictures: each must be read."""
    grey16 = np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40
    rgba = picture(7).convert("RGBA")
    rgba.putalpha(128)
    palette = picture(8).convert("P")
    return {
        "cmyk.jpg": encoded(picture(9, mode="CMYK"), "JPEG"),
        "grey.jpg": encoded(picture(10, mode="L"), "JPEG"),
        "bit.png": encoded(picture(11, mode="1")),
        "sixteen.png": encoded(Image.fromarray(grey16)),
        "alpha.png": encoded(rgba),
        "grey_alpha.png": encoded(rgba.convert("LA")),
        "palette.png": encoded(palette),
        "palette_clear.png": encoded(palette, transparency=3),
        "turned.jpg": encoded(picture(12, (60, 30)), "JPEG", exif=exif(6)),
        "huge_exif.jpg": encoded(picture(13), "JPEG", exif=exif(1, b"x" * 60_000)),
        "broken_exif.jpg": encoded(picture(14), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "progressive.jpg": encoded(picture(15), "JPEG", progressive=True),
        "wrong_ending.png": encoded(picture(16), "JPEG"),
        "UPPER.JPG": encoded(picture(17), "JPEG"),
        "one_pixel.png": encoded(picture(18, (1, 1))),
        "long.png": encoded(picture(19, (300, 2))),
        "ünïcode name 猫.png": encoded(picture(20)),
        "lossless.webp": encoded(picture(21), "WEBP", lossless=True),
        "old.bmp": encoded(picture(22), "BMP"),
        "phone.jpg": encoded(picture(24), "MPO", save_all=True, append_images=[picture(24, (20, 20))]),
        "plain.jfif": encoded(picture(23), "JPEG"),
    }


def folder(root: Path, counts: dict[str, int], seed: int = 0, size: tuple[int, int] = (24, 24)) -> Path:
    """Good pictures, `counts` of them in each class folder."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            seed += 1
            (root / name / f"{i}.png").write_bytes(encoded(picture(seed, size)))
    return root
