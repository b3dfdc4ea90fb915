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

BODY_SECONDS = 60  # for a body to arrive, and for an answer to be taken
MOST_BYTES = 512 << 20  # bodies held at one time


class App:
    """The ASGI application around a core. `beside`: what runs in its loop from start to end."""

    def __init__(self, core: Core, beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()) -> None:
        self.core, self.beside = core, beside
        self.held = 0  # bytes of bodies in memory
        self.tasks: list[asyncio.Task[None]] = []

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
        if self.core.leaving:
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
                self.tasks = [asyncio.get_running_loop().create_task(one()) for one in self.beside]
                await send({"type": "lifespan.startup.complete"})
            else:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
                self.core.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
