"""Bodies as they arrive: who may not ask is not kept, what is kept is counted and given back, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from deepen.preprocess.array import Array
from deepen.serving import asgi, core
from tests.serving.fakes import service

BODY = b'{"items": [[1, 2]]}'


@pytest.fixture
def app():
    made = []

    def make(**options) -> asgi.App:
        made.append(service(Array((2,)), **options))
        return asgi.App(made[-1])

    yield make
    for one in made:
        one.close()


class Client:
    """Sends a body in parts and notes what the server holds of it before each. `then`: what comes in place of its end."""

    def __init__(self, app: asgi.App, parts: Sequence[bytes], then: str = "") -> None:
        self.app, self.parts, self.then = app, list(parts), then
        self.held: list[int] = []
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.held.append(self.app.core.held)
        if not self.parts:
            if self.then == "silence":
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts or self.then)}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def ask(self, path: str = "/predict", **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        named = {"host": "localhost", "content-type": "application/json", **headers}
        pairs = [(name.encode(), value.encode()) for name, value in named.items()]
        scope = {"type": "http", "method": "POST", "path": path, "headers": pairs}
        asyncio.run(self.app(scope, self.receive, self.send))
        assert self.app.core.held == 0
        if not self.sent:
            return 0, {}, {}
        head, body = self.sent
        return head["status"], json.loads(body["body"]), {k.decode(): v.decode() for k, v in head["headers"]}


def test_parts_are_counted_as_they_come_and_given_back(app):
    client = Client(app(), [BODY[:5], BODY[5:12], BODY[12:]])
    status, document, _ = client.ask()
    assert (status, len(document["answers"])) == (200, 1)
    assert client.held == [0, 5, 12]


def test_a_client_that_goes_away_midway_leaves_nothing(app):
    client = Client(app(), [BODY[:5], BODY[5:]], then="gone")
    assert client.ask() == (0, {}, {})
    assert client.held == [0, 5, len(BODY)]


@pytest.mark.parametrize(("path", "status"), [("/predict", 401), ("/nowhere", 404), ("/metrics", 405)])
def test_what_may_not_be_asked_is_read_to_its_end_but_not_kept(app, path, status):
    client = Client(app(token="secret"), [bytes(1000)] * 5)
    found, document, headers = client.ask(path)
    assert found == status
    assert document["code"].startswith("request.")
    assert (client.held, client.parts) == ([0] * 5, [])
    assert "connection" not in headers


def test_of_a_body_without_an_end_only_so_much_is_thrown_away(app, monkeypatch):
    monkeypatch.setattr(asgi, "LARGEST_BODY", 100)
    for token, status in ((None, 413), ("secret", 401)):
        client = Client(app(token=token), [bytes(50)] * 100)
        found, _, headers = client.ask()
        assert (found, headers["connection"]) == (status, "close")
        assert len(client.parts) == 91
        assert max(client.held) <= 100


def test_what_there_is_no_room_for_is_refused_part_by_part(app, monkeypatch):
    monkeypatch.setattr(core, "MOST_BYTES", 12)
    one = app()
    client = Client(one, [BODY[:5], BODY[5:12], BODY[12:]])
    status, document, headers = client.ask()
    assert (status, document["code"], headers["retry-after"]) == (429, "request.overload", "1")
    assert client.held == [0, 5, 12]
    assert one.core.default.errors == {"request.overload": 1}


def test_a_body_that_does_not_come_is_not_waited_for(app, monkeypatch):
    monkeypatch.setattr(asgi, "BODY_SECONDS", 0.02)
    for token, status in ((None, 408), ("secret", 401)):
        found, _, headers = Client(app(token=token), [BODY[:5]], then="silence").ask()
        assert (found, headers["connection"]) == (status, "close")
