"""Threads that read bodies, each within the time its request has.

A body may wait while   waiting < most   and   ((waiting + 1) / threads + 1) s <= half of its time left   where
s is the seconds that reading a body took lately, an exponential mean: what would be late is refused at once, what is
admitted has time left for the model, and a service asked for more than it can read goes on answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from deepen.serving.batcher import Full, Late

NEWEST = 0.2  # weight of the last body in the mean
READING = (
    0.5  # share of the time left that a body may wait and be read in, so far as is known: the model needs some too
)


class Unread(Late):
    """The time a request had was over before its body was read: no fault of the version that was to answer."""


class Readers:
    """At most `most` bodies wait. All but the reading itself happens in the event loop."""

    def __init__(self, threads: int, most: int) -> None:
        self.threads, self.most = threads, most
        self.seconds = 0.0
        self.free = threads
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.pool = ThreadPoolExecutor(threads, "reader")

    async def read(self, deadline: float, work: Callable[..., Any], *given: Any) -> Any:
        """What `work(*given)` makes of a body, in a thread; Full, or Late at `deadline` (monotonic).

        What is late before its thread begins is not read; what goes on beyond the deadline is left to end alone.
        """
        loop = asyncio.get_running_loop()
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout_at(loop.time() + left) as limit:
                await self._turn(left)
                reading = self.pool.submit(self._read, deadline, work, given)
                reading.add_done_callback(lambda done: self._ended(loop, done))
                return await asyncio.wrap_future(reading)
        except TimeoutError:
            if limit.expired():
                raise Unread from None
            raise

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, left: float) -> None:
        """Wait for a free thread, and take it."""
        if self.free:
            self.free -= 1
            return
        count = len(self.waiting)
        needed = ((count + 1) / self.threads + 1) * self.seconds
        if count >= self.most or (count and needed > READING * left):
            raise Full
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self.waiting:
                self.waiting.remove(turn)
            elif not turn.cancelled():  # its turn came in the same moment
                self._next()
            raise

    def _read(self, deadline: float, work: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        start = time.monotonic()
        if start >= deadline:
            raise Unread
        try:
            return work(*given)
        finally:
            self.seconds += NEWEST * (time.monotonic() - start - self.seconds)

    def _ended(self, loop: asyncio.AbstractEventLoop, done: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._next)

    def _next(self) -> None:
        """Give a thread that is free to who has waited longest."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
