"""What a server of HTTP works for: it answers requests, and keeps account of what of them is in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from deepen.serving.messages import Request, Response

MOST_BYTES = 512 << 20  # of requests, and of answers over gRPC, in memory at one time

ReadBody = Callable[[], Awaitable[bytes]]


class Application:
    """`leaving`: it takes no new connections; `held`: bytes of requests in memory."""

    headers: ClassVar[dict[str, str]] = {}  # of every answer that does not say otherwise

    def __init__(self) -> None:
        self.leaving = False
        self.held = 0

    async def handle(self, request: Request, body: ReadBody) -> Response:
        """The answer to any request. Raises nothing but what `body` does when the client goes away.

        body  reads the request's body; asked only for what may be answered
        """
        raise NotImplementedError

    def hold(self, size: int) -> bool:
        """Whether there is room for so many bytes more of a request; whoever takes it gives it back."""
        if self.held + size > MOST_BYTES:
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        self.held -= size

    def close(self) -> None:
        """Finish what was accepted."""
