"""The ASGI application around a core: reads a body within its limits, hands it over, writes the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from deepen.serving.bodies import LARGEST_BODY, too_large
from deepen.serving.core import Core
from deepen.serving.messages import Request
from deepen.serving.refusal import Refusal

BODY_SECONDS = 60  # for a body to arrive
MOST_WASTED = 4  # times the largest body is read and thrown away, so that its client hears the answer

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """The ASGI application around a core. `beside`: what runs in its loop from start to end."""

    def __init__(self, core: Core, beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()) -> None:
        self.core, self.beside = core, beside
        self.tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            with contextlib.suppress(ConnectionError):  # the client went away
                await self._http(scope, receive, send)

    async def _http(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = Body(self.core, receive)
        try:
            response = await self.core.handle(Request(scope["method"], scope["path"], headers), body.read)
            await body.drain()
        finally:
            body.release()
        out = {
            "content-type": "application/json",
            "content-length": str(len(response.data)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **response.headers,
        }
        if self.core.leaving or body.more:
            out["connection"] = "close"
        head = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in out.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.data})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.tasks = [asyncio.get_running_loop().create_task(one()) for one in self.beside]
                await send({"type": "lifespan.startup.complete"})
            else:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
                self.core.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


class Body:
    """The body of a request as it arrives. `more`: whether the end of it is still to come."""

    def __init__(self, core: Core, receive: Receive) -> None:
        self.core, self.receive = core, receive
        self.total, self.held, self.more = 0, 0, True

    async def read(self) -> bytes:
        """The whole body. What there is no room for is read to its end all the same, but not kept."""
        parts: list[bytes] = []
        fits = True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while self.more and self.total <= MOST_WASTED * LARGEST_BODY:
                    part = await self._next()
                    fits = fits and self.total <= LARGEST_BODY and self.core.hold(len(part))
                    if fits:
                        self.held += len(part)
                        parts.append(part)
                    else:
                        parts.clear()
                        self.release()
        except TimeoutError:
            text = f"the body did not arrive in {BODY_SECONDS} s"
            raise Refusal(408, "request.timeout", text, connection="close") from None
        if self.total > LARGEST_BODY:
            raise too_large()
        if not fits:
            raise Refusal(429, "request.overload", "too much is waiting to be answered", retry_after="1")
        return b"".join(parts)

    async def drain(self) -> None:
        """Read what nobody asked for, up to a limit, and keep nothing of it."""
        if self.more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BODY_SECONDS):
                    while self.more and self.total <= MOST_WASTED * LARGEST_BODY:
                        await self._next()

    def release(self) -> None:
        """Give back the room that what was kept has taken."""
        self.core.held -= self.held
        self.held = 0

    async def _next(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part: bytes = message.get("body", b"")
        self.total += len(part)
        self.more = bool(message.get("more_body"))
        return part
