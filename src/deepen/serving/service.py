"""A whole service in this process: models from what was named, a core, a server, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deepen import bundle
from deepen.errors import DeepenError, missing_extra
from deepen.serving import background
from deepen.serving.core import Core
from deepen.serving.home import Fixed, Home
from deepen.serving.model import Model
from deepen.serving.options import Options
from deepen.store.live import Live

if TYPE_CHECKING:
    from deepen.serving.http import Way

BEAT = 0.5  # seconds between signs of life to the supervisor
YOUNG = 20_000  # new objects between two collections of garbage


class Setup(msgspec.Struct):
    """What a service is made of; it travels from the supervisor to a worker as JSON.

    places   live directories and bundles
    name     the name of the bundles' model; without it each run is a model of its own
    sockets  file descriptors to listen on: HTTP, and gRPC where there is a second one
    status   file descriptor for signs of life to the supervisor; -1: there is none
    """

    places: list[str]
    options: Options
    sockets: list[int]
    name: str = ""
    cert: str | None = None
    key: str | None = None
    status: int = -1
    restarts: int = 0


def models(setup: Setup) -> list[Model]:
    """The models of a service, started: their golden items were answered rightly."""
    found = [Model(home, setup.options) for home in homes(setup.places, setup.name)]
    for model in found:
        model.start()
        if setup.restarts:
            model.event("restarted", times=setup.restarts)
    return found


def homes(places: Sequence[str], name: str) -> list[Home]:
    """Where the models come from, in the order of their places: no two have one name, and each can stand in a path."""
    lives: dict[str, Live] = {}
    found: dict[str, list[Path]] = {}
    for place in map(Path, places):
        live = Live.open(place) if (place / "live.json").is_file() else None
        each = live.name if live else name or bundle.run_of(place)
        if each in lives or (live and each in found):
            both = f"{found[each][0]} and {place} have the same name"
            way = "rename a live directory, or name=... for the bundles"
            raise DeepenError("serve.name", each, both, "a name for each model", way)
        if "/" in each:
            raise DeepenError("serve.name", each, "a slash, which ends a name in a path", "a name without", "name=...")
        if live:
            lives[each] = live
        found.setdefault(each, []).append(place)
    return [lives[each] if each in lives else Fixed(each, of) for each, of in found.items()]


def serve(setup: Setup, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until SIGTERM, SIGINT or SIGHUP, or until the supervisor is gone; requests in flight are finished."""
    core = Core(models(setup), setup.options)
    try:
        from deepen.serving.http import Server
    except ImportError:
        raise missing_extra("httptools", "serve", "to answer requests") from None
    bound = [socket.socket(fileno=handle) for handle in setup.sockets]
    beside = background.tasks(core)
    server = Server(core, bound[0], setup.cert, setup.key)
    if len(bound) > 1:
        server.ways = [_grpc(core, bound[1], setup)]
    if setup.status >= 0:
        beside.append(lambda: _report(setup.status, server.leave))
    server.beside = beside
    gc.freeze()  # what is here stays: no collection need look at it again,
    gc.set_threshold(YOUNG)  # nor so often at what answers leave behind
    server.run(ready)


def _grpc(core: Core, bound: socket.socket, setup: Setup) -> Callable[[], Way]:
    try:
        from deepen.serving.rpc_server import RpcServer
    except ImportError:
        raise missing_extra("grpcio with protobuf", "grpc", "to answer gRPC") from None
    return lambda: RpcServer(core, bound, setup.cert, setup.key)


async def _report(status: int, leave: Callable[[], None]) -> None:
    """Tell the supervisor now and again that the loop turns; stop once it is gone."""
    asyncio.get_running_loop().add_reader(0, _orphaned, leave)
    while True:
        try:
            os.write(status, b'{"beat": 1}\n')
        except BlockingIOError:
            pass  # it does not read just now
        except OSError:
            leave()
            return
        await asyncio.sleep(BEAT)


def _orphaned(leave: Callable[[], None]) -> None:
    """Standard input comes from the supervisor, which writes nothing more: it can only have ended."""
    with contextlib.suppress(OSError):
        if os.read(0, 1):
            return
    asyncio.get_running_loop().remove_reader(0)
    leave()


def tell(status: int, document: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        os.write(status, json.dumps(document).encode() + b"\n")
