"""A server of HTTP around an application, until a signal; a stop loses no request that was accepted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from deepen.serving import protocol
from deepen.serving.application import Application
from deepen.serving.protocol import Connection
from deepen.serving.refusal import leaving
from deepen.serving.signals import endings
from deepen.serving.sockets import BACKLOG, descriptors, shut

LINGER = 0.5  # seconds after SIGTERM in which busy connections are told to close before idle ones are cut
DRAIN = 0.15  # seconds after SIGTERM in which connections that wait in the kernel are still taken
GRACE = 8  # seconds for requests in flight after that,
STALLED = 2  # of which a client may send and take nothing for so many while it is waited for
TICK = 0.02  # seconds between two looks at whether all are gone
LOOKS = 20  # at each connection in the shortest time it is given


class Way(Protocol):
    """Another way in to the same application."""

    async def open(self) -> None:
        """Answer from now on."""

    async def close(self) -> None:
        """Finish what is here, told once the application is leaving, within GRACE seconds."""


class Server:
    """Answers on a socket.

    cert, key  PEM files, for TLS
    ways       open before a request is answered here: who is told that the service is ready finds all of them
    beside     what runs in its loop from start to end
    """

    def __init__(self, app: Application, bound: socket.socket, cert: str | None = None, key: str | None = None) -> None:
        self.app, self.bound = app, bound
        self.tls = {} if cert is None else _tls(cert, key)
        self.ways: Sequence[Callable[[], Way]] = ()  # each made in its loop
        self.beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
        self.connections: set[Connection] = set()
        self.most = min(protocol.MOST_CONNECTIONS, descriptors() // 2)  # the rest: connections on their way, files
        self.leaving, self.haste = asyncio.Event(), False
        self.loop: asyncio.AbstractEventLoop | None = None

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Until SIGTERM, SIGINT or SIGHUP, or `stop`. `ready` is called once it can be asked."""
        try:
            import uvloop
        except ImportError:  # slower, the same answers
            asyncio.run(self._serve(ready))
        else:
            uvloop.run(self._serve(ready))

    def stop(self) -> None:
        """Leave, said from another thread while it runs."""
        assert self.loop
        self.loop.call_soon_threadsafe(self.leave)

    def leave(self) -> None:
        """Answer what is here, take no more than what the kernel has taken already."""
        if not self.leaving.is_set():
            self.app.leaving = True
            shut(self.bound)  # what the kernel has taken is answered
            self.leaving.set()

    def _signalled(self) -> None:
        """The first signal asks connections to close after their next answer; a second one does not wait."""
        self.haste = self.leaving.is_set()
        self.leave()

    async def _serve(self, ready: Callable[[], None]) -> None:
        loop = self.loop = asyncio.get_running_loop()
        self.app.leaving = False
        ways = [made() for made in self.ways]
        for way in ways:
            await way.open()
        listener = await loop.create_server(
            lambda: Connection(self.app, self.connections, self.most), sock=self.bound, backlog=BACKLOG, **self.tls
        )
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: whoever started it stops it
            for number in endings():
                loop.add_signal_handler(number, self.leave if number == signal.SIGHUP else self._signalled)
        tasks = [loop.create_task(one()) for one in (self._look, *self.beside)]
        ready()
        await self.leaving.wait()
        await self._finish(listener, [loop.create_task(way.close()) for way in ways])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.app.close()

    async def _finish(self, listener: asyncio.Server, closing: Sequence[asyncio.Task[None]]) -> None:
        """Answer what is here, over every way in."""
        await self._gone(LINGER, DRAIN)
        listener.close()
        self.bound.close()
        for connection in list(self.connections):
            connection.leave()
        await self._gone(GRACE, patient=False)
        for connection in list(self.connections):
            connection.cut()
        while not self.haste and not all(task.done() for task in closing):
            await asyncio.sleep(TICK)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)

    async def _gone(self, seconds: float, least: float = 0, patient: bool = True) -> None:
        """Wait for the connections to end, but not for ever; `least`: seconds in which more may come.

        patient  also for clients that let themselves be waited for
        """
        assert self.loop
        start = self.loop.time()
        # what each of those had moved, and since when it moves no more
        moved: dict[Connection, tuple[int | None, float]] = {}
        while not self.haste and (gone := self.loop.time() - start) < seconds and (self.connections or gone < least):
            for connection in [] if patient else [*self.connections]:
                if (now := _moved(connection)) != moved.get(connection, (None,))[0]:
                    moved[connection] = now, gone
                elif now is not None and gone - moved[connection][1] > STALLED:
                    _give_up(connection)
            await asyncio.sleep(TICK)

    async def _look(self) -> None:
        assert self.loop
        while True:
            await asyncio.sleep(min(protocol.HEAD_SECONDS, protocol.ANSWER_SECONDS) / LOOKS)
            for connection in list(self.connections):
                connection.look(self.loop.time())


def _give_up(connection: Connection) -> None:
    """Wait for its client no more; who still sends is told so."""
    if connection.reading is None:
        connection.transport.abort()
    else:
        told = leaving()
        connection.refuse(told.status, told.code, told.error)


def _moved(connection: Connection) -> int | None:
    """Bytes that its client has sent and taken, up to a constant, where it is waited for; else None."""
    current, left = connection.current, connection.transport.get_write_buffer_size()
    if current is None:
        return -left or None
    comes = current is connection.reading
    return current.total - left if comes or connection.writable is not None else None  # else it is being answered


def _tls(cert: str, key: str | None) -> dict[str, Any]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return {"ssl": context, "ssl_handshake_timeout": protocol.HEAD_SECONDS, "ssl_shutdown_timeout": GRACE}
