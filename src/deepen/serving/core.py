"""What the service answers, apart from how bytes travel: a request in, a response out.

POST /predict        a picture as the body, multipart files, CSV rows, or {"items": [...]}
GET  /health/live    the process answers        GET /health/ready    golden items were answered correctly
GET  /               what is served
"""

from __future__ import annotations

import asyncio
import csv
import hmac
import io
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

from deepen import bundle
from deepen.errors import DeepenError, Invalid
from deepen.machine import cores
from deepen.predictor import Predictor
from deepen.serving.batcher import Batcher, Full

LARGEST_BODY = 32 << 20
MOST_ITEMS = 1024
GOLDEN_GAP = 1e-3


@dataclass
class Request:
    """Headers in lower case; the path without its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Response:
    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        return json.dumps(self.document, ensure_ascii=False, allow_nan=False).encode()


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, error: str, **headers: str) -> None:
        self.response = Response(
            status, {"error": error, "code": code}, {k.replace("_", "-"): v for k, v in headers.items()}
        )


class Core:
    """One bundle in service. `token`: what a client must send as `Authorization: Bearer ...`, if anything."""

    def __init__(self, path: Path, threads: int | None = None, token: str | None = None) -> None:
        self.path, self.token = path, token
        self.manifest = bundle.manifest(path)
        self.predictor = bundle.predictor(path, threads)
        self.batcher = Batcher(self.predictor)
        self.readers = ThreadPoolExecutor(cores(), "reader")
        self.ready = False

    def start(self) -> None:
        """Ready means: the golden items get their stored answers."""
        items, answers = bundle.golden(self.path, self.predictor.signature)
        found = self.predictor.gap(self.predictor(items), answers)
        if found > GOLDEN_GAP:
            raise DeepenError(
                "serve.golden",
                str(self.path),
                f"golden answers differ by up to {found:.3g}",
                f"at most {GOLDEN_GAP}",
                "export the bundle again",
            )
        self.ready = True

    def close(self) -> None:
        """Finish what was accepted."""
        self.ready = False
        self.readers.shutdown()
        self.batcher.close()

    async def handle(self, request: Request) -> Response:
        """The answer to any request; never raises."""
        try:
            return await self._route(request)
        except Refusal as refusal:
            return refusal.response
        except Invalid as problem:
            return Response(422, {"error": str(problem), **problem.document()})
        except Full:
            return Response(
                429, {"error": "too many requests are waiting", "code": "request.overload"}, {"retry-after": "1"}
            )

    async def _route(self, request: Request) -> Response:
        known = {"/": ("GET",), "/health/live": ("GET",), "/health/ready": ("GET",), "/predict": ("POST",)}
        if request.path not in known:
            raise Refusal(404, "request.path", f"no {request.path[:100]!r} here: {', '.join(known)}")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in known[request.path]:
            raise Refusal(
                405, "request.method", f"{request.path} takes {known[request.path][0]}", allow=known[request.path][0]
            )
        if request.path == "/health/live":
            return Response(200, {"live": True})
        if request.path == "/health/ready":
            return Response(200 if self.ready else 503, {"ready": self.ready})
        self._authorise(request)
        if request.path == "/":
            return Response(200, self.about())
        return await self.predict(request)

    def _authorise(self, request: Request) -> None:
        if self.token is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise Refusal(
                401, "request.token", "no or wrong token: send 'Authorization: Bearer ...'", www_authenticate="Bearer"
            )

    def about(self) -> dict[str, Any]:
        return {
            "run": self.manifest["run"],
            "signature": self.predictor.signature.document(),
            "metrics": self.manifest.get("metrics"),
        }

    async def predict(self, request: Request) -> Response:
        """Read the items, encode them beside the loop, answer them in the model's thread."""
        items = self.items(request)
        if not items:
            raise Refusal(422, "request.empty", "no items")
        if len(items) > MOST_ITEMS:
            raise Refusal(413, "request.items", f"{len(items)} items, at most {MOST_ITEMS} in a request")
        loop = asyncio.get_running_loop()
        arrays = await loop.run_in_executor(self.readers, self.predictor.encode, items)
        answers = await asyncio.wrap_future(self.batcher.submit(arrays, len(items)))
        return Response(200, {"answers": answers, "run": self.manifest["run"]})

    # ---------------------------------------------------------------- reading items from a body

    def items(self, request: Request) -> list[Any]:
        """The raw items of a request, by its content type."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not request.body:
            raise Refusal(422, "request.empty", "the body is empty")
        if kind == "application/json" or (not kind and request.body[:1] in b"{["):
            return self._json(request.body)
        if kind == "text/csv":
            return self._csv(request.body)
        if kind == "multipart/form-data":
            return [self._picture(data) for data in self._multipart(request)]
        if kind.startswith("image/") or kind in {"application/octet-stream", "application/x-www-form-urlencoded", ""}:
            return [self._picture(request.body)]
        raise Refusal(
            415,
            "request.type",
            f"content type {kind!r}: send application/json, text/csv, image/*, multipart/form-data or raw bytes",
        )

    def _picture(self, data: bytes) -> bytes:
        encoders = list(self.predictor.signature.inputs.values())
        if len(encoders) != 1 or not encoders[0].tensors[0].name == "image":
            raise Refusal(415, "request.type", f"this model takes {encoders[0].describe()}: send JSON or CSV")
        return data

    def _json(self, body: bytes) -> list[Any]:
        try:
            document = json.loads(
                body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
            )
        except RecursionError:
            raise Refusal(400, "request.json", "nested too deeply") from None
        except UnicodeDecodeError:
            raise Refusal(400, "request.json", "the body is not UTF-8") from None
        except ValueError as problem:
            raise Refusal(400, "request.json", f"not JSON: {problem}") from None
        if isinstance(document, dict) and set(document) == {"item"}:
            document = {"items": [document["item"]]}
        if not isinstance(document, dict) or set(document) != {"items"} or not isinstance(document["items"], list):
            raise Refusal(422, "request.json", 'expected {"items": [...]} or {"item": ...}')
        if len(document["items"]) > MOST_ITEMS:
            raise Refusal(413, "request.items", f"{len(document['items'])} items, at most {MOST_ITEMS} in a request")
        return [_parse(self.predictor, value, row) for row, value in enumerate(document["items"])]

    def _csv(self, body: bytes) -> list[Any]:
        try:
            rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
        except UnicodeDecodeError:
            raise Refusal(400, "request.csv", "the body is not UTF-8") from None
        except csv.Error as problem:
            raise Refusal(400, "request.csv", f"not CSV: {problem}") from None
        rows = [row for row in rows if row]
        if len(rows) < 2:
            raise Refusal(422, "request.csv", "expected a header line and rows")
        odd = next((i for i, row in enumerate(rows[1:]) if len(row) != len(rows[0])), None)
        if odd is not None:
            raise Refusal(
                422, "request.csv", f"row {odd}: {len(rows[odd + 1])} cells where the header has {len(rows[0])}"
            )
        if len(set(rows[0])) != len(rows[0]):
            raise Refusal(422, "request.csv", "a column stands twice in the header")
        return [_parse(self.predictor, dict(zip(rows[0], row)), i) for i, row in enumerate(rows[1:])]

    def _multipart(self, request: Request) -> list[bytes]:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode("latin-1", "replace")
        message = BytesParser(policy=HTTP).parsebytes(head + request.body)
        if not message.is_multipart():
            raise Refusal(400, "request.multipart", "not multipart: the boundary is missing")
        return [part.get_payload(decode=True) for part in message.iter_parts()]


def _parse(predictor: Predictor, value: Any, row: int) -> Any:
    try:
        return predictor.parse(value)
    except Invalid as problem:
        raise problem.at(row) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in names if names.count(k) > 1)!r} stands twice")
    return result


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is out of range")
    return value
