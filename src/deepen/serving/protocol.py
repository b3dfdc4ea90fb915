"""HTTP/1.1 on one connection: bytes in, requests to an application, answers in the order of the requests, bytes out.

Whatever a client may draw out has a time and a size.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
from collections import deque

from deepen.serving import wire
from deepen.serving.application import Application
from deepen.serving.incoming import Exchange
from deepen.serving.messages import Request, Response
from deepen.serving.parsing import Parser

HEAD_SECONDS = 20  # for a request line and headers
MOST_CONNECTIONS = 4096
PIECE = 8 << 10  # bytes that are looked at in one go: requests in memory are larger than on their way
BUFFER = 64 << 10  # bytes of a body that wait to be asked for
ANSWER_SECONDS = 20  # in which a client takes an answer, or at least so much of it:
ANSWER_BYTES = 64 << 10
IDLE_SECONDS = 75  # between two requests: longer than proxies wait, so that it is they who close

log = logging.getLogger("deepen.serving")


class Connection(asyncio.Protocol):
    """What a client sends, cut into exchanges, and what it is answered.

    current  the exchange that is being answered; `waiting`: those behind it
    reading  the exchange whose body is coming in
    most     connections at one time; of more, those go that have waited for nothing longest
    rest     what came and is not looked at while requests wait
    over     nothing more is taken from this client
    """

    def __init__(self, app: Application, connections: set[Connection], most: int = MOST_CONNECTIONS) -> None:
        self.app, self.connections, self.most = app, connections, most
        self.loop = asyncio.get_running_loop()
        self.parser = Parser(self)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.current: Exchange | None = None
        self.waiting: deque[Exchange] = deque()
        self.reading: Exchange | None = None
        self.rest = memoryview(b"")
        self.task: asyncio.Task[None] | None = None
        self.over, self.paused, self.lost = False, False, False
        self.refusal = b""  # what is said last, once all before it is answered
        self.writable: asyncio.Future[None] | None = None  # while a client takes its answers too slowly
        self.since = self.loop.time()  # when the wait for headers, or for another request, began
        self.answers = 0
        self.seen = self.since, 0, 0  # the last look at an answer: when, at which, bytes left of it

    # ---------------------------------------------------------------- what the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.connections.add(self)
        if len(self.connections) > self.most:
            self._make_room()

    def _make_room(self) -> None:
        """Close the connections that have waited for nothing longest: some at once, as all are looked at for it."""
        idle = (one for one in self.connections if one.current is None)
        for one in heapq.nsmallest(max(1, self.most // 64), idle, key=lambda one: one.since):
            self.connections.discard(one)
            one.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.over = True
        self.waiting.clear()
        self.rest = self.rest[:0]
        if self.current is None:
            self.connections.discard(self)
        else:
            self.current.wake(ConnectionResetError())
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self.rest = memoryview(bytes(self.rest) + data)
        self._look_on()

    def _look_on(self) -> None:
        """Look at what came, as far as no request waits."""
        while self.rest and not self.waiting:
            piece, self.rest = self.rest[:PIECE], self.rest[PIECE:]
            if not self.over or self.reading is not None:
                self.parser.take(piece)
        self.flow()

    def eof_received(self) -> bool:
        """A client that has sent all it will send still hears its answers."""
        if self.current is None or self.reading is not None:
            return False
        self.last()
        return self.transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        self.writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None

    def flow(self) -> None:
        """Read on, or not: no more requests than wait already, no more of a body than was asked for."""
        full = self.reading is not None and not self.reading.asked and self.reading.total > BUFFER
        pause = full or bool(self.waiting)
        if pause != self.paused and not self.transport.is_closing():
            self.paused = pause
            self.transport.pause_reading() if pause else self.transport.resume_reading()

    # ---------------------------------------------------------------- what the parser finds

    def began(self) -> None:
        """The first bytes of a request are here."""
        self.since = self.loop.time()

    def asked(self, request: Request, keep: bool, expects: bool) -> None:
        """The headers of a request are here. `keep`: another may follow; `expects`: to be told to send its body."""
        self.over = not keep
        self.reading = Exchange(self, request, keep, expects)
        if self.current is None:
            self._start(self.reading)
        else:
            self.waiting.append(self.reading)

    def came(self, part: bytes) -> None:
        """A part of its body is here."""
        if self.reading is not None:
            self.reading.come(part)

    def ended(self) -> None:
        """All of it is here."""
        if self.reading is not None:
            self.reading.end()
            self.reading = None

    def last(self) -> None:
        """What was asked so far is answered, and nothing more."""
        self.over = True
        newest = self.waiting[-1] if self.waiting else self.current
        if newest is not None:
            newest.keep = False

    # ---------------------------------------------------------------- answers

    def _start(self, exchange: Exchange) -> None:
        self.current = exchange
        self.task = self.loop.create_task(self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            response = await self.app.handle(exchange.request, exchange.read)
            if not (exchange.ended or exchange.announced):
                await exchange.drain()
            while self.writable is not None:
                await self.writable
            last = self._write(exchange, response)
            if not exchange.ended:  # refused for the size it is said to have: who sends on still hears so
                await exchange.drain()
            if last:
                self.transport.close()
        except ConnectionError:
            pass  # the client went away
        except Exception:
            log.exception("a request failed")
            self.transport.abort()
        finally:
            exchange.release()
            self._next()

    def _write(self, exchange: Exchange, response: Response) -> bool:
        """Send an answer; whether it is the last."""
        if self.transport.is_closing():
            return True
        leaving = self.app.leaving and not self.waiting and not self.rest
        headers = {**self.app.headers, **response.headers}
        if leaving or not (exchange.keep and exchange.ended):
            headers["connection"] = "close"
        head = wire.head(response.status, headers, len(response.data))
        self.answers += 1
        self.transport.write(head if exchange.request.method == "HEAD" else head + response.data)
        return "connection" in headers

    def _next(self) -> None:
        """Go on behind an answer."""
        self.current, self.since = None, self.loop.time()
        if self.lost:
            self.connections.discard(self)
        elif self.transport.is_closing():
            pass
        elif self.waiting:
            self._start(self.waiting.popleft())
        elif self.refusal:
            self._close(self.refusal)
        self._look_on()

    def refuse(self, status: int, code: str, error: str) -> None:
        """An answer to what never became a request, behind all others."""
        if self.refusal or self.transport.is_closing():
            return
        data = json.dumps({"error": error, "code": code}).encode()
        self.refusal = wire.head(status, {"content-type": "application/json", "connection": "close"}, len(data)) + data
        broken, self.reading, self.over = self.reading, None, True
        if broken is not None and broken is not self.current:
            self.waiting.pop()
        elif broken is self.current:  # which is nothing, or will never be whole
            self._close(self.refusal)
        if broken is not None:
            broken.wake(ConnectionResetError())

    def _close(self, last: bytes) -> None:
        self.transport.write(last)
        self.transport.close()

    # ---------------------------------------------------------------- time

    def look(self, now: float) -> None:
        """Let a client go that takes too long, or next to nothing of its answer. For whoever serves to call often."""
        left = self.transport.get_write_buffer_size()
        when, answers, before = self.seen
        if now - when >= ANSWER_SECONDS:
            if left and before and answers == self.answers and left > before - ANSWER_BYTES:
                self.transport.abort()
            self.seen = now, self.answers, left
        if self.current is not None or left:
            return
        if self.parser.asking and now - self.since > HEAD_SECONDS:
            self.refuse(408, "request.timeout", f"the headers did not arrive in {HEAD_SECONDS} s")
        elif now - self.since > IDLE_SECONDS:
            self.transport.close()

    def leave(self) -> None:
        """The service stops: what waits for nothing ends."""
        if self.current is None:
            self.transport.close()

    def cut(self) -> None:
        """The service does not wait any more."""
        self.waiting.clear()
        if self.task is not None:
            self.task.cancel()
