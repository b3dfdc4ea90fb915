"""Desks to test with, their application called directly or over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepen.labelling.desk import Desk
from deepen.stages import label
from deepen.web import labelling
from tests import dirty


def photos(count: int = 6, folder: str = "photos") -> str:
    """A folder of pictures without labels."""
    Path(folder).mkdir()
    for i in range(count):
        Path(folder, f"{i}.png").write_bytes(dirty.encoded(dirty.picture(i, (80, 60))))
    return folder


def desk(
    what: str, kind: str | None = None, names: tuple[str, ...] = ("cat", "dog", "hen"), times: int = 1, **more: str
) -> Desk:
    return label._desk(what, kind, names, times, more.pop("which", "unlabelled"), more)


class Annotator:
    """A page without a browser."""

    def __init__(self, desk: Desk, name: str = "ann") -> None:
        self.desk, self.name, self.holder = desk, name, secrets.token_hex(4)
        self.item: dict[str, Any] | None = None
        self.progress: dict[str, Any] = {}

    def _shown(self, found: dict[str, Any]) -> dict[str, Any]:
        self.item, self.progress = found["item"], found["progress"]
        return found

    def next(self, skipped: bool = False) -> dict[str, Any]:
        return self._shown(self.desk.next(self.holder, self.name, skipped))

    def says(self, value: Any = None, skip: bool = False) -> dict[str, Any]:
        assert self.item
        return self._shown(
            self.desk.answer(secrets.token_hex(8), self.holder, self.name, self.item["item"], value, skip)
        )

    def undo(self) -> dict[str, Any]:
        return self._shown(self.desk.undo(secrets.token_hex(8), self.holder, self.name))


def call(
    app: labelling.App, method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str | None
) -> tuple[int, dict[str, str], bytes]:
    """One request to the application; the usual headers unless others are given, None leaves one out."""
    usual = {"host": "127.0.0.1:8010", "authorization": f"Bearer {app.token}", "content-type": "application/json"}
    given = {k.replace("_", "-"): v for k, v in {**usual, **headers}.items() if v is not None}
    data = raw if raw is not None else json.dumps(body).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pairs = [(k.encode(), v.encode()) for k, v in given.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    asyncio.run(app(scope, receive, send))
    head = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], head, sent[1]["body"]


@contextlib.contextmanager
def served(desk: Desk, annotator: str = "ann") -> Iterator[str]:
    """The page's address, served from a thread until the end of the block."""
    app = labelling.App(desk, annotator)
    server, bound = labelling.server(app), labelling.listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/#{app.token}"
    finally:
        server.should_exit = True
        thread.join()
        app.thread.shutdown()
        bound.close()
        desk.dataset.close()
