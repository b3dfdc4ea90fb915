"""A request whose body is on its way: kept in memory only for who may ask, and only as far as there is room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from deepen.serving.bodies import LARGEST_BODY, too_large
from deepen.serving.messages import Request
from deepen.serving.refusal import Refusal

if TYPE_CHECKING:
    from deepen.serving.protocol import Connection

BODY_SECONDS = 60  # for a body to arrive
SMALL = 1 << 10  # bytes of a part that takes in the next: alone, a part of two bytes takes the room of fifty
MOST_WASTED = 4  # times the largest body is read and thrown away, so that its client hears the answer


class Exchange:
    """A request whose headers are here, its body as it comes, and whether the connection outlives its answer.

    announced  its headers say that the body is too large
    """

    __slots__ = (
        "announced", "arrival", "asked", "connection", "ended", "expects", "fits", "held", "keep", "late", "parts",
        "request", "total",
    )  # fmt: skip

    def __init__(self, connection: Connection, request: Request, keep: bool, expects: bool) -> None:
        self.connection, self.request, self.keep, self.expects = connection, request, keep, expects
        self.parts: list[bytes] = []
        self.total, self.held = 0, 0  # bytes that came; that are accounted for
        self.asked, self.fits, self.ended, self.late = False, True, False, False
        self.announced = int(request.headers.get("content-length", 0)) > LARGEST_BODY
        self.arrival: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The whole body. What there is no room for is read to its end all the same, but not kept."""
        if self.announced:
            raise too_large()
        arrived, self.parts, self.asked = self.parts, [], True
        for part in arrived:
            self._keep(part)
        if not self.ended:
            if self.expects and not self.total:
                self.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.expects = False
            await self._arrive()
        if self.late:
            text = f"the body did not arrive in {BODY_SECONDS} s"
            raise Refusal(408, "request.timeout", text, connection="close")
        if self.total > LARGEST_BODY:
            raise too_large()
        if not self.fits:
            raise Refusal(429, "request.overload", "too much is waiting to be answered", retry_after="1")
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    async def drain(self) -> None:
        """Read what nobody asked for, up to a limit, and keep nothing of it: its client then hears the answer."""
        self.asked, self.fits = True, False
        self.release()
        if not (self.ended or self.late or self.endless or self.expects):  # who is to be told first sends nothing
            await self._arrive()

    async def _arrive(self) -> None:
        """Until the body has ended, is more than anybody reads, or is late."""
        if self.connection.transport.is_closing():
            raise ConnectionResetError
        self.arrival = asyncio.get_running_loop().create_future()
        self.connection.flow()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await self.arrival
        except TimeoutError:
            self.late = True

    @property
    def endless(self) -> bool:
        """Whether it is more than anybody reads."""
        return self.total > MOST_WASTED * LARGEST_BODY

    def come(self, part: bytes) -> None:
        """A part of the body is here."""
        self.total += len(part)
        if self.asked:
            self._keep(part)
        else:
            self._put(part)
        if self.endless:
            self.wake()

    def end(self) -> None:
        """The whole body is here."""
        self.ended = True
        self.wake()

    def wake(self, problem: Exception | None = None) -> None:
        """Tell whoever waits for the body: it is here, or will not come."""
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_exception(problem) if problem else self.arrival.set_result(None)

    def _keep(self, part: bytes) -> None:
        self.fits = self.fits and self.total <= LARGEST_BODY and self.connection.app.hold(len(part))
        if self.fits:
            self.held += len(part)
            self._put(part)
        else:
            self.release()

    def _put(self, part: bytes) -> None:
        if self.parts and len(self.parts[-1]) < SMALL:
            self.parts[-1] += part
        else:
            self.parts.append(part)

    def release(self) -> None:
        """Give back the room that what was kept has taken."""
        self.parts = []
        self.connection.app.held -= self.held
        self.held = 0
