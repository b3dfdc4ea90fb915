"""What the service answers, apart from how bytes travel: a request in, a response out.

POST /predict        a picture as the body, multipart files, CSV rows, or {"items": [...]}
GET  /health/live    the process answers        GET /health/ready    golden items were answered correctly
GET  /               what is served

Every response carries `x-request-id`; every error is {"error": text, "code": name, "id": request id}. What went wrong
inside is told to the log only, under that id.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepen import bundle
from deepen.errors import Invalid
from deepen.machine import cores
from deepen.predictor import Predictor
from deepen.serving import bodies
from deepen.serving.batcher import LARGEST, Batcher, Full, Turn
from deepen.serving.bodies import Refusal
from deepen.tensors import Arrays

MOST_REQUESTS = 1024  # accepted and not yet answered
MOST_TEXT = 500  # characters of an error: it may quote what the client sent
SMALL_MODEL = 0.3e-3  # seconds: a model that answers faster loses more by sharing work between cores than it gains
ROUTES = {
    "/": ("GET", "HEAD"),
    "/health/live": ("GET", "HEAD"),
    "/health/ready": ("GET", "HEAD"),
    "/predict": ("POST",),
}

log = logging.getLogger("deepen.serving")


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
    document: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""  # the document as JSON, once `encode` was called

    def encode(self) -> Response:
        """ValueError where a number is not finite: JSON has no name for it."""
        self.data = json.dumps(self.document, ensure_ascii=False, allow_nan=False).encode()
        return self


class Core:
    """One bundle in service. `token`: what a client must send as `Authorization: Bearer ...`, if anything.

    `threads`: cores for the model; by default one for a small model, else all.
    """

    def __init__(self, path: Path, threads: int | None = None, token: str | None = None) -> None:
        self.path, self.token, self.threads = path, token, threads
        self.manifest = bundle.manifest(path)
        self.attach(bundle.predictor(path, threads or 1))

    def attach(self, predictor: Predictor) -> None:
        """Answer with a predictor from now on."""
        self.predictor = predictor
        self.batcher = Batcher(predictor)
        self.turn: Turn | None = None  # set where the model is small
        self.readers = ThreadPoolExecutor(cores(), "reader")
        self.ready = False
        self.accepted = 0

    def start(self) -> None:
        """Ready means: the golden items get their stored answers."""
        bundle.prove(self.path, self.predictor)
        if self._seconds() <= SMALL_MODEL:
            self.turn = Turn(self.predictor)
        elif self.threads is None and cores() > 1:
            self.predictor = self.batcher.predictor = bundle.predictor(self.path)
            bundle.prove(self.path, self.predictor)
        self.ready = True

    def _seconds(self) -> float:
        """What one item takes the model, at best of 20."""
        items, _ = bundle.golden(self.path, self.predictor.signature)
        arrays = self.predictor.encode(items[:1])
        times = []
        for _ in range(20):
            start = time.perf_counter()
            self.predictor.run(arrays)
            times.append(time.perf_counter() - start)
        return min(times)

    def close(self) -> None:
        """Finish what was accepted."""
        self.ready = False
        self.readers.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    async def handle(self, request: Request | Refusal) -> Response:
        """The answer to any request, also to one that could not be read; never raises."""
        name = secrets.token_hex(8)
        try:
            if isinstance(request, Refusal):
                raise request
            response = (await self._route(request)).encode()
        except Exception as problem:
            response = refusal(problem, name).encode()
        response.headers["x-request-id"] = name
        return response

    async def _route(self, request: Request) -> Response:
        if request.path not in ROUTES:
            raise Refusal(404, "request.path", f"no {request.path[: bodies.SHOWN]!r} here: {', '.join(ROUTES)}")
        if request.method not in ROUTES[request.path]:
            allowed = ", ".join(ROUTES[request.path])
            raise Refusal(405, "request.method", f"{request.path} takes {allowed}", allow=allowed)
        if request.path == "/health/live":
            return Response(200, {"live": True})
        if request.path == "/health/ready":
            return Response(200 if self.ready else 503, {"ready": self.ready})
        self._authorise(request.headers)
        return Response(200, self.about()) if request.path == "/" else await self.predict(request)

    def _authorise(self, headers: dict[str, str]) -> None:
        """A token where there is one; without it only programs of this machine, not pages open in its browser."""
        if self.token is not None:
            given, wanted = headers.get("authorization", ""), f"Bearer {self.token}"
            if not hmac.compare_digest(given.encode("latin-1", "replace"), wanted.encode()):
                text = "no or wrong token: send 'Authorization: Bearer ...'"
                raise Refusal(401, "request.token", text, www_authenticate="Bearer")
            return
        host = headers.get("host", "localhost")
        if not loopback(re.sub(r":\d+$", "", host).strip("[]")):
            raise Refusal(403, "request.host", f"host {host[: bodies.SHOWN]!r} is not this machine's own name")
        if headers.get("origin", f"http://{host}") not in {f"http://{host}", f"https://{host}"}:
            raise Refusal(403, "request.origin", "pages of other sites are not answered without a token")

    def about(self) -> dict[str, Any]:
        return {
            "run": self.manifest["run"],
            "signature": self.predictor.signature.document(),
            "metrics": self.manifest.get("metrics"),
        }

    async def predict(self, request: Request) -> Response:
        """Read and encode the items beside the loop and answer them in the model's thread, unless that costs more."""
        if self.accepted >= MOST_REQUESTS:
            raise Full
        self.accepted += 1
        try:
            if self.turn is not None and bodies.light(self.predictor, request.headers, request.body):
                futures = self.turn.submit_all(self._parts(request))
            else:
                loop = asyncio.get_running_loop()
                parts = await loop.run_in_executor(self.readers, self._parts, request)
                futures = [asyncio.wrap_future(future) for future in self.batcher.submit_all(parts)]
            answers = [answer for part in await asyncio.gather(*futures) for answer in part]
        finally:
            self.accepted -= 1
        return Response(200, {"answers": answers, "run": self.manifest["run"]})

    def _parts(self, request: Request) -> list[tuple[Arrays, int]]:
        """The encoded items of a request, as many at a time as fit a batch."""
        items = bodies.read(self.predictor, request.headers, request.body)
        parts = []
        for start in range(0, len(items), LARGEST):
            some = items[start : start + LARGEST]
            try:
                parts.append((self.predictor.encode(some), len(some)))
            except Invalid as problem:
                raise problem.at(start + problem.row) from None
        return parts


def loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which no other machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def refusal(problem: Exception, name: str) -> Response:
    """The response to what went wrong with the request of this id."""
    headers: dict[str, str] = {}
    if isinstance(problem, Refusal):
        status, code, error, headers = problem.status, problem.code, problem.error, dict(problem.headers)
    elif isinstance(problem, Invalid):
        status, code, error = 422, problem.code, str(problem)
    elif isinstance(problem, Full):
        status, code, error, headers = 429, "request.overload", "too many requests are waiting", {"retry-after": "1"}
    elif isinstance(problem, ValueError) and "Out of range float" in str(problem):
        status, code, error = 500, "model.answer", "the model's answer to this item is not a finite number"
        log.error("request %s: the model's answer is not finite", name)
    else:
        status, code, error = 500, "internal", "an error inside the server; its log has more under this id"
        log.error("request %s failed", name, exc_info=problem)
    document: dict[str, Any] = {"error": error[:MOST_TEXT], "code": code, "id": name}
    if isinstance(problem, Invalid):
        document["item"] = problem.row
    return Response(status, document, headers)
