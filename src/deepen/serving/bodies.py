"""Raw items from the body of a request: a picture or a sound, multipart files, CSV rows, or {"items": [...]}. Every mistake is a Refusal."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import zlib
from typing import Any

from deepen.errors import Invalid
from deepen.predictor import Predictor
from deepen.serving.refusal import SHOWN, Refusal

LARGEST_BODY = 32 << 20  # bytes, after decompression too
MOST_ITEMS = 1024
RAW = {"application/octet-stream", "application/x-www-form-urlencoded", ""}  # what clients send with bytes as they are
FILES = {"image": "picture.png", "sound": "sound.wav"}  # tensors that are read from a file, and the name of one
WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's names for the two formats
OUT_OF_RANGE = re.compile(rb"[eE]\+?\d{3}|\d{300}")  # only such numbers can be infinite as floats
LIGHT_BODY = 16 << 10  # bytes
LIGHT_PICTURE = 1 << 14  # pixels
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_CELL = 100_000  # characters in a cell of a CSV body


def read(predictor: Predictor, headers: dict[str, str], body: bytes) -> list[Any]:
    """The raw items of a body, by its content type."""
    body = inflate(headers.get("content-encoding", "identity").strip().lower(), body)
    if not body:
        raise Refusal(422, "request.empty", "the body is empty")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        items = _by_type(predictor, kind, headers, body)
    except RecursionError:
        raise Refusal(400, "request.json", "nested too deeply") from None
    if not items:
        raise Refusal(422, "request.empty", "no items")
    return items


def light(predictor: Predictor, headers: dict[str, str], body: bytes) -> bool:
    """Whether reading a body surely takes less time than handing it to another thread: a few rows, or a small PNG."""
    if len(body) > LIGHT_BODY or headers.get("content-encoding"):
        return False
    if all(encoder.tensors[0].name != "image" for encoder in predictor.signature.inputs.values()):
        return True
    return body[:8] == PNG and int.from_bytes(body[16:20]) * int.from_bytes(body[20:24]) <= LIGHT_PICTURE


def _by_type(predictor: Predictor, kind: str, headers: dict[str, str], body: bytes) -> list[Any]:
    if kind == "application/json" or (kind in RAW and body[:1] in b"{["):
        return _json(predictor, body)
    if kind == "text/csv":
        return _csv(predictor, body)
    if kind == "multipart/form-data":
        found = files(headers["content-type"], body)
        if not file_of(predictor) and len(found) == 1:  # curl -F file=@rows.csv
            return _json(predictor, found[0]) if found[0][:1] in b"{[" else _csv(predictor, found[0])
        return [_file(predictor, data) for data in found]
    if kind.startswith(("image/", "audio/")) or kind in RAW:
        return [_file(predictor, body)]
    raise Refusal(
        415,
        "request.type",
        f"content type {kind[:SHOWN]!r}: send application/json, text/csv, image/*, audio/*, multipart/form-data or raw bytes",
    )


def inflate(encoding: str, body: bytes) -> bytes:
    """The body without its compression, never more than the cap."""
    if encoding in {"identity", ""}:
        return body
    if encoding not in WINDOWS:
        raise Refusal(415, "request.encoding", f"content encoding {encoding[:SHOWN]!r}: send gzip, deflate or none")
    machine = zlib.decompressobj(WINDOWS[encoding])
    try:
        whole = machine.decompress(body, LARGEST_BODY + 1)
    except zlib.error:
        raise Refusal(400, "request.encoding", f"the body is not {encoding}") from None
    if len(whole) > LARGEST_BODY:
        raise too_large()
    if not machine.eof or machine.unused_data:
        raise Refusal(400, "request.encoding", f"the {encoding} body is cut off, or goes on after its end")
    return whole


def too_large() -> Refusal:
    return Refusal(413, "request.size", f"the body is larger than {LARGEST_BODY >> 20} MiB", connection="close")


def file_of(predictor: Predictor) -> str:
    """What a file sent as it is is to a model, `image` or `sound`; nothing where it takes no files."""
    encoders = list(predictor.signature.inputs.values())
    name = encoders[0].tensors[0].name if len(encoders) == 1 else ""
    return name if name in FILES else ""


def _file(predictor: Predictor, data: bytes) -> bytes:
    if not file_of(predictor):
        encoders = predictor.signature.inputs.values()
        takes = "; ".join(encoder.describe() for encoder in encoders)
        raise Refusal(415, "request.type", f"this model takes {takes}: send JSON or CSV")
    return data


def _json(predictor: Predictor, body: bytes) -> list[Any]:
    finite = _finite if OUT_OF_RANGE.search(body) else None  # a call per number is slow, and hardly ever needed
    try:
        document = json.loads(body.decode(), object_pairs_hook=unique, parse_constant=_no_constant, parse_float=finite)
    except UnicodeDecodeError:
        raise Refusal(400, "request.json", "the body is not UTF-8") from None
    except ValueError as problem:
        raise Refusal(400, "request.json", f"not JSON: {problem}") from None
    if isinstance(document, dict) and set(document) == {"item"}:
        document = {"items": [document["item"]]}
    if not isinstance(document, dict) or set(document) != {"items"} or not isinstance(document["items"], list):
        raise Refusal(422, "request.json", 'expected {"items": [...]} or {"item": ...}')
    return _parse(predictor, document["items"])


def _csv(predictor: Predictor, body: bytes) -> list[Any]:
    if b"\0" in body:
        raise Refusal(400, "request.csv", "not CSV: it holds a zero byte")
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError:
        raise Refusal(400, "request.csv", "the body is not UTF-8") from None
    except csv.Error as problem:
        raise Refusal(400, "request.csv", f"not CSV: {problem}") from None
    rows = [row for row in rows if row]
    if any(len(cell) > LARGEST_CELL for row in rows for cell in row):
        raise Refusal(400, "request.csv", f"not CSV: a cell of more than {LARGEST_CELL:,} characters")
    if len(rows) < 2:
        raise Refusal(422, "request.csv", "expected a header line and rows")
    header = rows.pop(0)
    if len(set(header)) != len(header):
        raise Refusal(422, "request.csv", "a column stands twice in the header")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise Refusal(422, "request.csv", f"row {number}: {len(row)} cells where the header has {len(header)}")
    return _parse(predictor, _together(predictor, [dict(zip(header, row)) for row in rows]))


def _together(predictor: Predictor, rows: list[dict[str, str]]) -> list[Any]:
    """The items in the rows of a table: one in each, but where an item is a stretch of rows."""
    encoders = list(predictor.signature.inputs.values())
    together = getattr(encoders[0], "together", None) if len(encoders) == 1 else None
    return rows if together is None else [[rows[i] for i in places] for places in together(rows).values()]


def _parse(predictor: Predictor, values: list[Any]) -> list[Any]:
    if len(values) > MOST_ITEMS:
        raise Refusal(413, "request.items", f"{len(values)} items, at most {MOST_ITEMS} in a request")
    items = []
    for row, value in enumerate(values):
        try:
            items.append(predictor.parse(value))
        except Invalid as problem:
            raise problem.at(row) from None
    return items


def files(content_type: str, body: bytes) -> list[bytes]:
    """The files of a multipart body (RFC 7578), bytes as they are."""
    found = re.search(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', content_type, re.IGNORECASE)
    if not found:
        raise Refusal(400, "request.multipart", "the boundary is missing in the content type")
    mark = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    parts = (b"\r\n" + body).split(mark)
    if not parts[-1].startswith(b"--"):
        raise Refusal(400, "request.multipart", "the body is cut off, or has another boundary")
    if len(parts) - 2 > MOST_ITEMS:
        raise Refusal(413, "request.items", f"{len(parts) - 2} parts, at most {MOST_ITEMS} in a request")
    result = []
    for part in parts[1:-1]:
        head, blank, data = part.partition(b"\r\n\r\n")
        if not blank:
            raise Refusal(400, "request.multipart", "a part without headers")
        if not re.search(rb"filename\*?=", head, re.IGNORECASE):
            raise Refusal(422, "request.multipart", "a field that is no file: send files only, as curl -F file=@a.png")
        result.append(data)
    return result


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice[:SHOWN]!r} stands twice")
    return result


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value
