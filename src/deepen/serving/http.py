"""HTTP by raw ASGI on uvicorn: reads a body within its limits, hands it to the core, writes the answer."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from deepen.errors import DeepenError, missing_extra
from deepen.serving.core import LARGEST_BODY, Core, Request, Response

GRACE = 10  # seconds for requests in flight after SIGTERM


class App:
    """The ASGI application around a core."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(receive, headers)
        if body is None:
            return  # the client went away
        response = (
            body
            if isinstance(body, Response)
            else await self.core.handle(Request(scope["method"], scope["path"], headers, body))
        )
        data = response.encode()
        out = {
            "content-type": "application/json",
            "content-length": str(len(data)),
            "x-content-type-options": "nosniff",
            **response.headers,
        }
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [(k.encode(), v.encode()) for k, v in out.items()],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else data})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                self.core.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _body(receive: Any, headers: dict[str, str]) -> bytes | Response | None:
    too_large = Response(
        413,
        {"error": f"the body is larger than {LARGEST_BODY >> 20} MiB", "code": "request.size"},
        {"connection": "close"},
    )
    if headers.get("content-encoding", "identity").lower() != "identity":
        return Response(415, {"error": "compressed bodies are not taken here", "code": "request.encoding"})
    if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > LARGEST_BODY:
        return too_large
    parts: list[bytes] = []
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        total += len(parts[-1])
        if total > LARGEST_BODY:
            return too_large
        if not message.get("more_body"):
            return b"".join(parts)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen(2048)  # from here on a client is heard, if only answered once the model is ready
    except OSError as problem:
        raise DeepenError(
            "serve.port",
            f"{host}:{port}",
            problem.strerror or str(problem),
            "a free port",
            "choose another: port=0 takes any",
        ) from problem
    return taken


def run(core: Core, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished."""
    try:
        import uvicorn
    except ImportError:
        raise missing_extra("uvicorn", "serve", "to answer requests") from None
    config = uvicorn.Config(
        App(core),
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=64 << 10,
        ws="none",
    )

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """As uvicorn's own, but the signal is not raised again once all is finished: a clean stop is exit code 0."""
            old = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                yield
            finally:
                for number, handler in old.items():
                    signal.signal(number, handler)

    Server(config).run(sockets=[bound])
