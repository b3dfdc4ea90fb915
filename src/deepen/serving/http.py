"""HTTP by raw ASGI on uvicorn, until a signal; a stop loses no request that was accepted."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from deepen.serving import protocol
from deepen.serving.asgi import App

LINGER = 0.5  # seconds after SIGTERM in which busy connections are told to close before idle ones are cut
DRAIN = 0.15  # seconds after SIGTERM in which connections that wait in the kernel are still taken
GRACE = 8  # seconds for requests in flight after that
TICK = 0.1  # seconds between two calls of uvicorn's `on_tick`


class Server(uvicorn.Server):
    """uvicorn's own; a signal is not raised again once all is finished: a clean stop is exit code 0."""

    def __init__(self, config: uvicorn.Config, app: App, bound: socket.socket) -> None:
        super().__init__(config)
        self.app, self.bound, self.since = app, bound, 0.0

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
        if self.app.core.leaving:
            super().handle_exit(sig, frame)
            return
        self.leave()

    def leave(self) -> None:
        """Answer what is here, take no more than what the kernel has taken already."""
        if not self.app.core.leaving:
            self.app.core.leaving, self.since = True, time.monotonic()
            self.bound.listen(1)  # what the kernel has taken is answered, and it takes no more than this loop does

    async def on_tick(self, counter: int) -> bool:
        if counter % round(protocol.ANSWER_SECONDS / TICK) == 0:
            for connection in list(self.server_state.connections):
                connection.look()  # type: ignore[union-attr]
        gone = time.monotonic() - self.since
        if self.app.core.leaving and (gone > LINGER or (gone > DRAIN and not self.server_state.connections)):
            self.should_exit = True
        return await super().on_tick(counter)


def server(app: App, bound: socket.socket, cert: str | None = None, key: str | None = None) -> Server:
    """A server around an application. `cert`, `key`: PEM files, for TLS."""
    config = uvicorn.Config(
        app,
        http=protocol.Protocol,
        log_level="error",
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    return Server(config, app, bound)
