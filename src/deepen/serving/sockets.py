"""The socket a service listens on, and how many more it may open. Imports nothing heavy: the supervisor holds it while workers come and go."""

from __future__ import annotations

import contextlib
import resource
import socket
import sys

from deepen.errors import DeepenError

BACKLOG = 2048  # connections that wait to be taken


def listen(host: str, port: int, reserve: bool = False) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    reserve  only keep the port: somebody else of this user will listen there, who binds it himself (SO_REUSEPORT)
    """
    taken = None
    try:
        taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reserve:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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


def descriptors() -> int:
    """Raise the number of files and connections this process may have open as far as it can; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
