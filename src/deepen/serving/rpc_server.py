"""gRPC itself: where it listens, what a connection may do, how it stops. What is answered: serving/rpc.py."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import grpc

from deepen.serving.bodies import LARGEST_BODY
from deepen.serving.core import Core
from deepen.serving.http import DRAIN, GRACE, STALLED, TICK
from deepen.serving.incoming import BODY_SECONDS
from deepen.serving.protocol import ANSWER_SECONDS, HEAD_SECONDS, IDLE_SECONDS
from deepen.serving.rpc import Methods, Service
from deepen.serving.sockets import descriptors

MOST_CONNECTIONS = 1024
LONGEST = 600.0  # seconds until a connection is asked to end: its calls then have as long as each may take, and no more
OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_BODY),
    ("grpc.max_send_message_length", LARGEST_BODY),
    ("grpc.so_reuseport", 1),
    ("grpc.max_concurrent_streams", 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.server_handshake_timeout_ms", HEAD_SECONDS * 1000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
]


class RpcServer:
    """The way in over gRPC, at the address of a socket that keeps the port."""

    def __init__(self, core: Core, bound: socket.socket, cert: str | None = None, key: str | None = None) -> None:
        most = min(MOST_CONNECTIONS, descriptors() // 4)  # HTTP has half of them
        longest = BODY_SECONDS + core.options.timeout + ANSWER_SECONDS
        limits = [
            ("grpc.max_allowed_incoming_connections", most),
            ("grpc.max_connection_age_ms", int(LONGEST * 1000)),  # an answer that nobody takes ends in no other way
            ("grpc.max_connection_age_grace_ms", int(longest * 1000)),
        ]
        self.server = grpc.aio.server(options=[*OPTIONS, *limits])
        self.service = Service(core)
        self.server.add_generic_rpc_handlers((Methods(self.service),))
        host, port = bound.getsockname()[:2]
        address = f"{f'[{host}]' if ':' in host else host}:{port}"
        if cert is not None and key is not None:
            pair = (Path(key).read_bytes(), Path(cert).read_bytes())
            self.server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            self.server.add_insecure_port(address)

    async def open(self) -> None:
        """Answer from now on."""
        await self.server.start()

    async def close(self) -> None:
        """Answer the calls whose message is here, then end. A message on its way, or an answer on its own, has STALLED
        seconds: whether its client still sends, or takes, cannot be seen."""
        start = time.monotonic()
        try:
            while self._waits(time.monotonic() - start):
                await asyncio.sleep(TICK)
            self.service.arrivals.end()
            await self.server.stop(STALLED)
        except asyncio.CancelledError:  # nobody waits any more
            await self.server.stop(None)
            raise

    def _waits(self, seconds: float) -> bool:
        """Whether there is something to wait for, so many seconds after a stop began."""
        longest = GRACE - STALLED if self.service.calls else STALLED if self.service.arrivals.limits else DRAIN
        return seconds < longest
