"""The socket a service listens on, and how many more it may open. Imports nothing heavy: the supervisor holds it while workers come and go."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import sys

from deepen.errors import DeepenError

BACKLOG = 2048  # connections that wait to be taken
ATTACH_FILTER, DETACH_FILTER = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER
UNLESS_SYN = (  # byte 13 of the TCP header; SYN in it? then take 0 bytes of the packet; else all
    (0x30, 0, 0, 13),
    (0x45, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)


def listen(host: str, port: int, reserve: bool = False) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    reserve  only keep the port: somebody else of this user will listen there, who binds it himself (SO_REUSEPORT)
    """
    taken = None
    try:
        taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if reserve:
            _alone(taken.family, host, port)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if reserve else socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        if not reserve:
            taken.listen(BACKLOG)  # from here on a client is heard, if only answered once the model is ready
    except OSError as problem:
        if taken is not None:
            taken.close()
        raise DeepenError(
            "serve.port",
            f"{host}:{port}",
            problem.strerror or str(problem),
            "a free port of this machine",
            "choose another: port=0 takes any",
        ) from problem
    return taken


def _alone(family: int, host: str, port: int) -> None:
    """OSError where somebody else holds a port: a reserved one would be shared with another service, and so its clients."""
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what is left of old connections is nobody
        probe.bind((host, port))


def shut(bound: socket.socket) -> None:
    """Let no more connections begin, while those that have can still be taken: then no close resets any.

    Linux drops, by a filter on the socket, the packets that ask for a connection; whoever sent one tries again, and finds
    the port closed or its next owner. Elsewhere the queue is made as short as it can be.
    """
    if not _deaf(bound):
        bound.listen(1)


def hold(reserved: socket.socket) -> socket.socket:
    """A socket at a port that is only reserved, for as long as nobody listens there: until it is closed who connects is not
    refused but waits, and asks again after 1 s, 3 s, 7 s. Where such packets cannot be dropped he is refused."""
    held = socket.socket(reserved.family)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if _deaf(held):
        with contextlib.suppress(OSError):
            held.bind(reserved.getsockname())
            held.listen(1)
    return held


def _deaf(bound: socket.socket) -> bool:
    """Drop what asks this socket for a connection; whether that can be done here."""
    import ctypes

    orders = b"".join(struct.pack("HBBI", *order) for order in UNLESS_SYN)
    text = ctypes.create_string_buffer(orders)
    try:
        bound.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", len(UNLESS_SYN), ctypes.addressof(text)))
    except OSError:
        return False
    return True


def reopen(bound: socket.socket) -> None:
    """Let connections begin again."""
    with contextlib.suppress(OSError):  # there is no filter
        bound.setsockopt(socket.SOL_SOCKET, DETACH_FILTER, 0)


def descriptors() -> int:
    """Raise the number of files and connections this process may have open as far as it can; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
