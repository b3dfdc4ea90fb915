"""HTTP by raw ASGI on uvicorn: reads a body within its limits, hands it to the core, writes the answer.

What uvicorn leaves open is closed here: slow or endless headers and bodies, errors that are not JSON, and a stop that
loses requests on connections kept alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any

from deepen.errors import DeepenError, missing_extra
from deepen.serving.bodies import LARGEST_BODY, Refusal, too_large
from deepen.serving.core import Core, Request

HEAD_SECONDS = 20  # for a request line and headers
HEAD_BYTES = 64 << 10
BODY_SECONDS = 60  # for a body to arrive, and for an answer to be taken
LINGER = 0.5  # seconds after SIGTERM in which busy connections are told to close before idle ones are cut
GRACE = 8  # seconds for requests in flight after that
MOST_BYTES = 512 << 20  # bodies held at one time


class App:
    """The ASGI application around a core."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.leaving = False
        self.held = 0  # bytes of bodies in memory

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            with contextlib.suppress(ConnectionError, TimeoutError):  # the client went away, or does not listen
                await self._http(scope, headers, receive, send)

    async def _http(self, scope: dict[str, Any], headers: dict[str, str], receive: Any, send: Any) -> None:
        request: Request | Refusal
        taken = 0
        try:
            body = await self._body(receive, headers)
            taken = len(body)
            self.held += taken
            request = Request(scope["method"], scope["path"], headers, body)
        except Refusal as refusal:
            request = refusal
        try:
            response = await self.core.handle(request)
        finally:
            self.held -= taken
        out = {
            "content-type": "application/json",
            "content-length": str(len(response.data)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **response.headers,
        }
        if self.leaving:
            out["connection"] = "close"
        head = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in out.items()]
        async with asyncio.timeout(BODY_SECONDS):
            await send({"type": "http.response.start", "status": response.status, "headers": head})
            data = b"" if scope["method"] == "HEAD" else response.data
            await send({"type": "http.response.body", "body": data})

    async def _body(self, receive: Any, headers: dict[str, str]) -> bytes:
        """The whole body. What is too large is read to its end and thrown away, so that the client hears the answer."""
        parts: list[bytes] = []
        total, wasted = 0, self.held > MOST_BYTES
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionResetError
                    total += len(message.get("body", b""))
                    if total > LARGEST_BODY or wasted:
                        parts.clear()
                    else:
                        parts.append(message.get("body", b""))
                    if not message.get("more_body") or total > 4 * LARGEST_BODY:
                        break
        except TimeoutError:
            text = f"the body did not arrive in {BODY_SECONDS} s"
            raise Refusal(408, "request.timeout", text, connection="close") from None
        if total > LARGEST_BODY:
            raise too_large()
        if wasted and total:
            raise Refusal(429, "request.overload", "too much is waiting to be answered", retry_after="1")
        return b"".join(parts)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self.core.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    try:
        taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(2048)  # from here on a client is heard, if only answered once the model is ready
    except OSError as problem:
        raise DeepenError(
            "serve.port",
            f"{host}:{port}",
            problem.strerror or str(problem),
            "a free port of this machine",
            "choose another: port=0 takes any",
        ) from problem
    return taken


def run(core: Core, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished."""
    try:
        import httptools
        import uvicorn
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        raise missing_extra("uvicorn with httptools", "serve", "to answer requests") from None

    class Protocol(HttpToolsProtocol):
        """uvicorn's own, with a time and a size for headers, and errors in JSON."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.head: int | None = 0  # bytes of the headers so far; None while a body arrives
            self.timer = self.loop.call_later(HEAD_SECONDS, self.give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self.timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.head is not None:
                self.head += len(data)
            super().data_received(data)
            if self.head is not None and self.head > HEAD_BYTES:
                self.refuse(431, "request.head", f"the headers are larger than {HEAD_BYTES >> 10} KiB")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.timer.cancel()
            self.timer = self.loop.call_later(HEAD_SECONDS, self.give_up)

        def on_headers_complete(self) -> None:
            self.timer.cancel()
            self.head = None
            try:
                super().on_headers_complete()
            except (UnicodeDecodeError, AttributeError, httptools.HttpParserInvalidURLError) as problem:
                raise ValueError("the path cannot be read") from problem  # told by send_400_response

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self.head = 0

        def give_up(self) -> None:
            self.refuse(408, "request.timeout", f"the headers did not arrive in {HEAD_SECONDS} s")

        def send_400_response(self, msg: str) -> None:
            self.refuse(400, "request.http", "this is not an HTTP request")

        def refuse(self, status: int, code: str, error: str) -> None:
            """An answer to what never became a request."""
            if self.transport.is_closing():
                return
            data = json.dumps({"error": error, "code": code}).encode()
            self.transport.write(
                b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%s" % (status, len(data), data)
            )
            self.transport.close()

    app = App(core)
    config = uvicorn.Config(
        app,
        http=Protocol,
        log_level="error",
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )

    class Server(uvicorn.Server):
        """uvicorn's own; a signal is not raised again once all is finished: a clean stop is exit code 0."""

        since = 0.0

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            old = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                yield
            finally:
                for number, handler in old.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """The first signal asks connections to close after their next answer; a second one does not wait."""
            if app.leaving:
                super().handle_exit(sig, frame)
            app.leaving, core.ready, self.since = True, False, time.monotonic()

        async def on_tick(self, counter: int) -> bool:
            if app.leaving and (not self.server_state.connections or time.monotonic() - self.since > LINGER):
                self.should_exit = True
            return await super().on_tick(counter)

    Server(config).run(sockets=[bound])
