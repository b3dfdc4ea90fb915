"""The label page over HTTP: a small ASGI application around a Desk, for uvicorn.

What the page does needs the session's token, which is told once, on the terminal, in the part of the address that is
never sent. A page of another site has no token, and is refused by its Origin and by the Host it was reached under.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import ipaddress
import json
import re
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from deepen.errors import DeepenError, Invalid, missing_extra
from deepen.labelling.desk import Desk, File

HERE = Path(__file__).parent
PAGES = {
    "/": ("label.html", "text/html; charset=utf-8"),
    "/label.css": ("label.css", "text/css; charset=utf-8"),
    "/label.js": ("label.js", "text/javascript; charset=utf-8"),
    "/boxes.js": ("boxes.js", "text/javascript; charset=utf-8"),
}
LARGEST_BODY = 1 << 20  # bytes
LONGEST_TEXT = 500  # characters of any field but the label itself
FIELDS = {
    "key": str,
    "holder": str,
    "annotator": str,
    "item": str,
    "name": str,
    "skip": bool,
    "skipped": bool,
    "value": object,
}
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Refusal(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


class App:
    """The application. `names`: host names it may be reached under beside addresses and localhost."""

    def __init__(self, desk: Desk, annotator: str = "", names: tuple[str, ...] = ()) -> None:
        self.desk, self.annotator, self.names = desk, annotator, names
        self.token = secrets.token_urlsafe(24)
        self.thread = ThreadPoolExecutor(1, "desk")  # one connection to the table, used by one thread
        self.posts: dict[str, Callable[..., dict[str, Any]]] = {
            "/api/next": desk.next,
            "/api/answer": desk.answer,
            "/api/undo": desk.undo,
            "/api/beat": desk.beat,
            "/api/leave": desk.leave,
            "/api/add": desk.add,
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            with contextlib.suppress(ConnectionError):
                status, found = await self._answer(scope, receive)
                head = {**SECURITY, "content-type": found.type, "content-length": str(len(found.data))}
                headers = [(name.encode(), value.encode()) for name, value in head.items()]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.data})

    async def _answer(self, scope: dict[str, Any], receive: Any) -> tuple[int, File]:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            return 200, await self._route(scope["method"], scope["path"], headers, receive)
        except Refusal as refusal:
            return refusal.status, _json({"error": refusal.text})
        except Invalid as problem:
            return 422, _json({"error": problem.args[0].removeprefix("item 0: ")})
        except DeepenError as problem:
            return 409 if problem.code == "label.item" else 503, _json({"error": str(problem)})

    async def _route(self, method: str, path: str, headers: dict[str, str], receive: Any) -> File:
        self._own(headers)
        if path in PAGES:
            _allow(method, "GET", "HEAD")
            name, type_ = PAGES[path]
            return File(type_, (HERE / name).read_bytes())
        if not path.startswith("/api/"):
            raise Refusal(404, "there is nothing here")
        self._known(headers)
        if path.startswith("/api/file/"):
            _allow(method, "GET")
            return await self._work(self.desk.file, path.removeprefix("/api/file/"))
        if path in {"/api/about", "/api/agreement"}:
            _allow(method, "GET")
            found = await self._work(self.desk.about if path == "/api/about" else self.desk.agreement)
            return _json({**found, "annotator": self.annotator})
        if path not in self.posts:
            raise Refusal(404, "there is nothing here")
        _allow(method, "POST")
        given = _fields(self.posts[path], await _body(receive, headers))
        return _json(await self._work(self.posts[path], **given))

    async def _work(self, function: Callable[..., Any], *values: Any, **named: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, lambda: function(*values, **named))

    def _own(self, headers: dict[str, str]) -> None:
        """Only under a name no other site can point here, and not for another site's page."""
        host = headers.get("host", "")
        name = re.sub(r":\d+$", "", host).strip("[]")
        if name not in {"localhost", *self.names} and not _address(name):
            raise Refusal(403, "not reached under this machine's own name")
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            raise Refusal(403, "pages of other sites are not answered")

    def _known(self, headers: dict[str, str]) -> None:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self.token.encode()):
            raise Refusal(401, "open the address that deepen label printed")


def _address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _allow(method: str, *methods: str) -> None:
    if method not in methods:
        raise Refusal(405, f"{' or '.join(methods)} only")


def _json(document: Any) -> File:
    return File("application/json", json.dumps(document, ensure_ascii=False, allow_nan=False).encode())


def _fields(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request, checked to be those the function takes."""
    with contextlib.suppress(TypeError):
        inspect.signature(function).bind(**given)
        typed = all(name in FIELDS and isinstance(value, FIELDS[name]) for name, value in given.items())
        if typed and all(len(value) <= LONGEST_TEXT for name, value in given.items() if FIELDS[name] is str):
            return given
    raise Refusal(400, "the fields are not those of this request")


async def _body(receive: Any, headers: dict[str, str]) -> dict[str, Any]:
    """The fields of a request: an object in JSON, which a form of another site cannot send."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "JSON only")
    data = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        data += message.get("body", b"")
        if len(data) > LARGEST_BODY:
            raise Refusal(413, f"more than {LARGEST_BODY >> 10} KiB")
        if not message.get("more_body"):
            break
    try:
        found = json.loads(data, parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()  # half a character (a lone surrogate) can be kept nowhere
    except (ValueError, RecursionError) as problem:
        raise Refusal(400, "not JSON") from problem
    if not isinstance(found, dict):
        raise Refusal(400, "not an object")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(text)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


# ---------------------------------------------------------------- serving


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(128)
    except (OSError, OverflowError) as problem:
        taken.close()
        found = getattr(problem, "strerror", None) or str(problem)
        raise DeepenError(
            "label.port", f"{host}:{port}", found, "a free port of this machine", "choose another: port=0 takes any"
        ) from problem
    return taken


def server(app: App) -> Any:
    """A uvicorn server; a signal ends it cleanly and is not raised again."""
    try:
        import uvicorn
    except ImportError:
        raise missing_extra("uvicorn", "serve", "to show the label page") from None

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            numbers = (signal.SIGTERM, signal.SIGINT)
            try:
                old = {number: signal.signal(number, self.handle_exit) for number in numbers}
            except ValueError:  # not in the main thread: whoever started it stops it
                old = {}
            try:
                yield
            finally:
                for number, handler in old.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit, self.should_exit = self.should_exit, True

    return Server(
        uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=3
        )
    )
