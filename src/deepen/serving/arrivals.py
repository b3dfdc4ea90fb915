"""Messages of gRPC on their way. Who sends none keeps nobody out: of too many calls, the one waited for longest is given up."""

from __future__ import annotations

import asyncio
from typing import Any

from deepen.serving.batcher import Full
from deepen.serving.incoming import BODY_SECONDS
from deepen.serving.refusal import Refusal, leaving

MOST_COMING = 256  # messages


class Arrivals:
    """Those that are waited for."""

    def __init__(self) -> None:
        self.limits: dict[asyncio.Timeout, None] = {}  # oldest first
        self.ended = False

    async def next(self, context: Any) -> Any:
        """The message of a call, grpc.aio.EOF where it ends without; Full where too many wait, a Refusal where it is late or too late."""
        try:
            async with asyncio.timeout(BODY_SECONDS) as limit:
                self.limits[limit] = None
                self._make_room()
                return await context.read()  # the stream itself would leave a cycle for the garbage collector
        except TimeoutError:
            if limit not in self.limits:
                raise leaving() if self.ended else Full() from None
            raise Refusal(408, "request.timeout", f"the message did not arrive in {BODY_SECONDS} s") from None
        finally:
            self.limits.pop(limit, None)

    def end(self) -> None:
        """Wait for none of them any more: the service is being stopped."""
        self.ended = True
        while self.limits:
            self._give_up()

    def _make_room(self) -> None:
        if len(self.limits) > MOST_COMING:
            self._give_up()

    def _give_up(self) -> None:
        oldest = next(iter(self.limits))
        del self.limits[oldest]
        if not oldest.expired():
            oldest.reschedule(0)
