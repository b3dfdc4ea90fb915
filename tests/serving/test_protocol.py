"""Bytes in, bytes out: what a connection makes of what a client sends, and what it keeps of it meanwhile."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from deepen.preprocess.array import Array
from deepen.serving import application, http, incoming, protocol
from deepen.serving.application import Application
from deepen.serving.http import Server
from deepen.serving.messages import Request, Response
from deepen.serving.protocol import Connection
from deepen.serving.signals import endings
from deepen.serving.sockets import descriptors, listen, reopen, shut
from tests.serving.fakes import service

BODY = b'{"items": [[1, 2]]}'


class Transport(asyncio.Transport):
    """Keeps what is written. `left`: bytes that its client has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.left = b"", 0
        self.closing = self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closing
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.left


class Client:
    """One connection to an application. `held`: what the application kept in memory before each part that was sent."""

    def __init__(self, app: Application, among: set[Connection] | None = None, most: int = 99) -> None:
        self.app, self.transport = app, Transport()
        self.among = set[Connection]() if among is None else among
        self.connection = Connection(app, self.among, most)
        self.connection.connection_made(self.transport)
        self.held: list[int] = []

    async def send(self, *parts: bytes) -> int:
        """Send as far as the connection reads or stays open; how many parts those were."""
        for at, part in enumerate(parts):
            if self.transport.closing or self.transport.paused:
                return at
            self.held.append(self.app.held)
            self.connection.data_received(part)
            await turns()
        return len(parts)

    def go_away(self) -> None:
        self.transport.closing = True
        self.connection.connection_lost(None)

    def answers(self) -> list[tuple[int, dict[str, str], bytes]]:
        """All that was answered so far."""
        rest, found = self.transport.written, []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            size = int(headers.get("content-length", 0))
            found.append((int(first.split()[1]), headers, rest[:size]))
            rest = rest[size:]
        return found

    def answer(self) -> tuple[int, Any, dict[str, str]]:
        ((status, headers, data),) = self.answers()
        return status, json.loads(data), headers


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.001)


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())


def head(path: str = "/predict", more: str = "", length: int | None = None) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    text = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{framing}\r\n{more}\r\n"
    return text.encode()


def chunks(parts: Sequence[bytes]) -> list[bytes]:
    return [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]


@pytest.fixture
def core():
    made = []

    def make(**options) -> application.Application:
        made.append(service(Array((2,)), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Echo(Application):
    """Answers with the path and the body. Under /slow it waits for `open`; under /deaf it does not look at the body."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.asked: list[str] = []

    async def handle(self, request: Request, body: application.ReadBody) -> Response:
        self.asked.append(request.path)
        if request.path == "/slow":
            await self.open.wait()
        if request.path == "/broken":
            raise RuntimeError("a mistake of the house")
        return Response(200, request.path.encode() + (b"" if request.path == "/deaf" else await body()))


def get(path: str, more: str = "", method: str = "GET", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nhost: localhost\r\n{more}\r\n".encode()


# ---------------------------------------------------------------- bodies


def test_parts_are_counted_as_they_come_and_given_back(core):
    async def story():
        client = Client(core())
        await client.send(head(length=len(BODY)), BODY[:5], BODY[5:12], BODY[12:])
        await until(client.answers)
        status, document, _ = client.answer()
        assert (status, len(document["answers"])) == (200, 1)
        assert client.held == [0, 0, 5, 12]
        assert client.app.held == 0

    run(story)


def test_a_body_in_crumbs_is_not_kept_in_crumbs():
    async def story():
        client = Client(Echo())
        await client.send(head("/b"))
        await client.send(b"".join(chunks([b"ab", b"cd"] * 2000)))
        exchange = client.connection.current
        assert exchange is not None
        assert len(exchange.parts) < 20
        assert exchange.held == 8000
        await client.send(b"0\r\n\r\n")
        assert client.answers()[-1][2] == b"/b" + b"abcd" * 2000

    run(story)


def test_a_client_that_goes_away_midway_leaves_nothing(core):
    async def story():
        client = Client(core())
        await client.send(head(length=500), BODY[:5], BODY[5:])
        assert client.app.held == len(BODY)
        client.go_away()
        await until(lambda: not client.among)
        assert client.transport.written == b""
        assert client.app.held == 0

    run(story)


@pytest.mark.parametrize(("path", "status"), [("/predict", 401), ("/nowhere", 404), ("/metrics", 405)])
def test_what_may_not_be_asked_is_read_to_its_end_but_not_kept(core, path, status):
    async def story():
        client = Client(core(token="secret"))
        await client.send(head(path, length=5000), *[bytes(1000)] * 5)
        await until(client.answers)
        found, document, headers = client.answer()
        assert found == status
        assert document["code"].startswith("request.")
        assert client.held == [0] * 6
        assert "connection" not in headers

    run(story)


def test_a_body_nobody_asked_for_yet_is_not_read_on():
    async def story():
        client = Client(Echo())
        part = bytes(protocol.BUFFER // 2)
        assert await client.send(head("/slow", length=10 * len(part)), *[part] * 10) == 4
        assert client.transport.paused
        client.app.open.set()
        await turns()
        assert await client.send(*[part] * 7) == 7
        (found,) = client.answers()
        assert len(found[2]) == 10 * len(part) + len("/slow")

    run(story)


def test_of_a_body_without_an_end_only_so_much_is_thrown_away(core, monkeypatch):
    monkeypatch.setattr(incoming, "LARGEST_BODY", 100)

    async def story(token, status):
        client = Client(core(token=token))
        assert await client.send(head(), *chunks([bytes(50)] * 100)) == 10
        found, _, headers = client.answer()
        assert (found, headers["connection"]) == (status, "close")
        assert max(client.held) <= 100
        assert client.app.held == 0

    for token, status in ((None, 413), ("secret", 401)):
        run(lambda token=token, status=status: story(token, status))


def test_what_there_is_no_room_for_is_refused_part_by_part(core, monkeypatch):
    monkeypatch.setattr(application, "MOST_BYTES", 12)

    async def story():
        client = Client(core())
        await client.send(head(length=len(BODY)), BODY[:5], BODY[5:12], BODY[12:])
        status, document, headers = client.answer()
        assert (status, document["code"], headers["retry-after"]) == (429, "request.overload", "1")
        assert client.held == [0, 0, 5, 12]
        assert client.app.held == 0
        assert client.app.default.errors == {"request.overload": 1}

    run(story)


def test_a_body_that_does_not_come_is_not_waited_for(core, monkeypatch):
    monkeypatch.setattr(incoming, "BODY_SECONDS", 0.02)

    async def story(token, status):
        client = Client(core(token=token))
        await client.send(head(length=500), BODY[:5])
        await until(client.answers)
        found, _, headers = client.answer()
        assert (found, headers["connection"], client.transport.closing) == (status, "close", True)
        assert client.app.held == 0

    for token, status in ((None, 408), ("secret", 401)):
        run(lambda token=token, status=status: story(token, status))


def test_who_expects_to_be_told_is_told_once_the_body_is_wanted(core):
    expects = "expect: 100-continue\r\n"

    async def wanted():
        client = Client(core())
        await client.send(head(more=expects, length=len(BODY)))
        assert client.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(BODY)
        await until(lambda: len(client.answers()) == 2)
        assert client.answers()[1][0] == 200

    async def not_wanted():
        client = Client(core(token="secret"))
        await client.send(head(more=expects, length=len(BODY)))
        status, _, headers = client.answer()
        assert (status, headers["connection"], client.transport.closing) == (401, "close", True)

    async def not_waited_for():
        client = Client(core())
        await client.send(head(more=expects, length=len(BODY)) + BODY)
        await until(client.answers)
        assert client.answer()[0] == 200

    async def too_old_to_know():
        client = Client(core())
        await client.send(head(more=expects, length=len(BODY)).replace(b"HTTP/1.1", b"HTTP/1.0"), BODY)
        await until(client.answers)
        assert client.answer()[0] == 200

    async def begun():
        client = Client(core())
        await client.send(head(more=expects, length=len(BODY)) + BODY[:5], BODY[5:])
        await until(client.answers)
        assert client.answer()[0] == 200

    for story in (wanted, not_wanted, not_waited_for, too_old_to_know, begun):
        run(story)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\nhost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400),
        (b"GET http://localhost/ HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400),
        (b"GET http://localhost/ HTTP/1.1\r\n\r\n", 400),
        (head("/", "host: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n", 2) + b"xy", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\norigin: http://localhost\r\n\r\n", 403),
    ],
)  # fmt: skip
@pytest.mark.parametrize("token", [None, "secret"])
def test_of_two_hosts_or_origins_none_is_believed(core, request_, status, token):
    async def story():
        client = Client(core(token=token))
        await client.send(request_.replace(b"\r\n", b"\r\nauthorization: Bearer secret\r\n", 1))
        await until(client.answers)
        assert client.answer()[0] == (200 if token and status == 403 else status)

    run(story)


def test_an_address_with_this_host_is_answered(core):
    async def story():
        client = Client(core())
        await client.send(b"GET http://localhost:80/?a HTTP/1.1\r\nhost: elsewhere\r\n\r\n")
        await until(client.answers)
        assert client.answer()[0] == 200

    run(story)


@pytest.mark.parametrize("token", [None, "secret"])
def test_who_announces_too_large_a_body_is_told_at_once_and_may_send_on(core, monkeypatch, token):
    monkeypatch.setattr(incoming, "LARGEST_BODY", 100)

    async def story(more, length, drained):
        client = Client(core(token=token))
        await client.send(head(more=more, length=length))
        found, _, headers = client.answer()
        assert (found, headers["connection"]) == (413 if token is None else 401, "close")
        assert await client.send(*[bytes(50)] * 100) == drained
        assert client.transport.closing
        assert client.app.held == 0
        await until(lambda: client.connection.current is None)

    run(lambda: story("", 101, 3))
    run(lambda: story("", 10**9, incoming.MOST_WASTED * 100 // 50 + 1))
    run(lambda: story("expect: 100-continue\r\n", 101, 0))


# ---------------------------------------------------------------- the order of answers


def test_requests_in_one_segment_are_answered_in_their_order_one_at_a_time():
    async def story():
        client = Client(Echo())
        await client.send(get("/slow") + head("/b", length=3) + b"abc" + get("/c"))
        assert client.app.asked == ["/slow"]
        assert client.transport.paused  # no more than this is taken
        client.app.open.set()
        await turns()
        assert [data for _, _, data in client.answers()] == [b"/slow", b"/babc", b"/c"]
        assert not client.transport.paused
        assert not client.transport.closing

    run(story)


def test_of_three_thousand_requests_in_one_segment_few_are_in_memory():
    async def story():
        client = Client(Echo())
        await client.send(get("/slow") + get("/a") * 3_000)
        assert len(client.connection.waiting) < 500
        assert client.transport.paused
        client.app.open.set()
        await until(lambda: len(client.app.asked) == 3_001)
        await turns()
        assert len(client.answers()) == 3_001
        assert not client.transport.paused

    run(story)


@pytest.mark.parametrize(
    "broken", [b"junk\r\n\r\n", head("/b") + b"zz\r\n", head("/b", length=9) + b"x\r\n\r\n" + bytes(99)]
)
def test_what_is_no_request_is_told_behind_the_answers_to_those_before(broken):
    async def story():
        client = Client(Echo())
        await client.send(get("/slow") + broken)
        client.app.open.set()
        await turns()
        found = [status for status, _, _ in client.answers()]
        assert found[0] == 200
        assert found[-1] == 400
        assert client.transport.closing
        assert client.app.held == 0

    run(story)


def test_a_body_that_breaks_off_ends_its_request():
    async def story():
        client = Client(Echo())
        await client.send(head("/b"), *chunks([b"abc"]), b"zz\r\n")
        assert client.answer()[0] == 400
        await turns()
        assert client.connection.current is None
        assert client.app.held == 0

    run(story)


@pytest.mark.parametrize(
    ("request_", "rest"),
    [
        (get("/a", version="1.0"), get("/b")),
        (get("/a", "connection: keep-alive\r\n", version="1.0"), get("/b")),
        (get("/a", "connection: close\r\n"), get("/b")),
        (get("/a", "connection: upgrade\r\nupgrade: websocket\r\n"), b"\x00\x01 frames"),
        (head("/a", "connection: upgrade\r\nupgrade: h2c\r\n", length=2) + b"xy", get("/b")),
    ],
)
def test_what_comes_behind_a_last_request_is_not_read(request_, rest):
    async def story():
        client = Client(Echo())
        await client.send(request_ + rest)
        ((status, headers, data),) = client.answers()
        assert (status, headers["connection"]) == (200, "close")
        assert data == (b"/axy" if b"xy" in request_ else b"/a")
        assert client.transport.closing
        assert not client.connection.waiting

    run(story)


@pytest.mark.parametrize("framing", ["content-length: 3\r\n", "transfer-encoding: chunked\r\n"])
def test_a_body_is_read_though_its_client_wishes_for_another_protocol(framing):
    async def story():
        client = Client(Echo())
        wish = f"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n{framing}"
        body = b"abc" if "length" in framing else b"3\r\nabc\r\n0\r\n\r\n"
        await client.send(get("/slow"), get("/b", wish, "POST") + body[:2])
        client.app.open.set()
        await turns()
        await client.send(body[2:])
        assert [(status, data) for status, _, data in client.answers()] == [(200, b"/slow"), (200, b"/babc")]
        assert client.transport.closing

    run(story)


@pytest.mark.parametrize("last", ["connection: close\r\n", "connection: upgrade\r\nupgrade: websocket\r\n"])
def test_what_comes_while_a_last_request_is_answered_is_not_looked_at(last):
    async def story():
        client = Client(Echo())
        await client.send(get("/slow", last), b"junk\r\n\r\n")
        assert client.connection.refusal == b""
        client.app.open.set()
        await turns()
        assert [status for status, _, _ in client.answers()] == [200]

    run(story)


def test_a_client_that_only_listens_any_more_is_answered():
    async def story():
        client = Client(Echo())
        await client.send(get("/slow"))
        assert client.connection.eof_received()
        client.app.open.set()
        await turns()
        assert client.answers()[0][2] == b"/slow"
        assert client.transport.closing
        silent = Client(Echo())
        assert not silent.connection.eof_received()
        await silent.send(head("/b", length=9), b"abc")
        assert not silent.connection.eof_received()

    run(story)


def test_a_mistake_of_the_house_ends_the_connection_and_is_logged(caplog):
    async def story():
        client = Client(Echo())
        await client.send(get("/broken"))
        assert client.transport.aborted
        assert "a mistake of the house" in caplog.text

    run(story)


def test_on_leaving_what_was_accepted_is_answered_and_the_last_answer_says_so():
    async def story():
        client, idle = Client(Echo()), Client(Echo())
        await client.send(get("/slow") + get("/b"))
        client.app.leaving = True
        for one in (client, idle):
            one.connection.leave()
        assert idle.transport.closing
        client.app.open.set()
        await turns()
        assert ["connection" in headers for _, headers, _ in client.answers()] == [False, True]
        assert client.transport.closing

    run(story)


def test_an_answer_waits_until_the_one_before_is_taken():
    async def story():
        client = Client(Echo())
        client.connection.pause_writing()
        await client.send(get("/a") + get("/b"))
        assert client.transport.written == b""
        assert client.app.asked == ["/a"]
        client.connection.resume_writing()
        await turns()
        assert len(client.answers()) == 2

    run(story)


def test_head_is_told_the_length_alone_and_every_answer_has_a_date():
    async def story():
        client = Client(Echo())
        await client.send(get("/abc", method="HEAD"))
        text = client.transport.written.decode()
        assert text.endswith("\r\n\r\n")
        assert "content-length: 4\r\n" in text
        assert "GMT\r\n" in text

    run(story)


# ---------------------------------------------------------------- time


def looked(client: Client, seconds: float, left: int = 0) -> None:
    client.transport.left = left
    client.connection.look(asyncio.get_running_loop().time() + seconds)


def test_who_says_nothing_or_half_a_request_is_let_go():
    async def story():
        for parts, limit in (
            ([], protocol.HEAD_SECONDS), ([b"GET /"], protocol.HEAD_SECONDS), ([get("/a")], protocol.IDLE_SECONDS),
            ([get("/a"), b"\r\n", b"\r\n"], protocol.IDLE_SECONDS), ([get("/a"), b"GET /"], protocol.HEAD_SECONDS),
        ):  # fmt: skip
            client = Client(Echo())
            await client.send(*parts)
            looked(client, limit - 1)
            assert not client.transport.closing
            looked(client, limit + 1)
            assert client.transport.closing
            statuses = [status for status, _, _ in client.answers()]
            assert statuses.count(408) == (limit == protocol.HEAD_SECONDS)

    run(story)


def test_of_too_many_connections_the_one_idle_longest_goes():
    async def story():
        app, among = Echo(), set[Connection]()
        made = []
        for path in ("/slow", "/a", "/b", ""):
            client = Client(app, among, most=3)
            made.append(client)
            await client.send(*([get(path)] if path else []))
        busy, longest, *_ = made
        assert [one.transport.closing for one in made] == [False, True, False, False]
        assert longest.connection not in among
        app.open.set()
        await turns()
        assert busy.answers()

    run(story)


def test_a_server_takes_as_many_connections_as_the_machine_lets_it():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert descriptors() == (sys.maxsize if hard == resource.RLIM_INFINITY else hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_is_waiting_for_an_answer_is_not_let_go():
    async def story():
        client = Client(Echo())
        await client.send(get("/slow"))
        looked(client, 1000)
        assert not client.transport.closing
        client.app.open.set()
        await turns()

    run(story)


@pytest.mark.parametrize(("took", "stays"), [(0, False), (1000, False), (protocol.ANSWER_BYTES + 1, True)])
def test_who_takes_next_to_nothing_of_an_answer_is_let_go(took, stays):
    async def story():
        client = Client(Echo())
        await client.send(get("/a"))
        for turn, left in enumerate((500_000, 500_000 - took)):
            looked(client, (turn + 1) * (protocol.ANSWER_SECONDS + 1), left)
        assert client.transport.aborted is not stays

    run(story)


# ---------------------------------------------------------------- the end


def stopping(story: Callable[[Server], Awaitable[None]]) -> None:
    async def whole():
        with listen("127.0.0.1", 0) as bound:
            server = Server(Echo(), bound)
            server.loop = asyncio.get_running_loop()
            async with asyncio.timeout(20):
                await story(server)

    asyncio.run(whole())


def test_a_stop_waits_for_its_connections_a_second_signal_for_nothing():
    async def story(server):
        client = Client(server.app)
        server.connections = client.among
        waiting = asyncio.get_running_loop().create_task(server._gone(1000))
        server._signalled()
        await turns()
        assert server.app.leaving
        assert not waiting.done()
        server.leave()  # the supervisor is gone, too: no reason for haste
        await turns()
        assert not waiting.done()
        server._signalled()
        await waiting

    stopping(story)


def test_ready_means_that_every_way_in_is_open():
    async def story(server):
        told, gate = [], asyncio.Event()

        class Way:
            async def open(self):
                await gate.wait()
                told.append("open")

            async def close(self):
                told.append("closed")

        server.ways = [Way]
        serving = asyncio.create_task(server._serve(lambda: told.append("ready")))
        reader, writer = await asyncio.open_connection(*server.bound.getsockname())
        writer.write(get("/a"))
        answer = asyncio.create_task(reader.readline())
        done, _ = await asyncio.wait([answer], timeout=0.05)
        assert (done, told) == (set(), [])
        gate.set()
        assert b"200" in await answer
        assert told == ["open", "ready"]
        writer.close()
        server.leave()
        await serving
        assert told == ["open", "ready", "closed"]

    stopping(story)


@pytest.mark.parametrize("sends", [True, False])
def test_a_stop_waits_for_no_client_that_neither_sends_nor_takes(monkeypatch, sends):
    """One whose body is on its way, one that takes its answer, one that is being answered while the next stands still."""
    monkeypatch.setattr(http, "STALLED", 0.1)

    async def story(server):
        clients = [Client(server.app, server.connections) for _ in range(3)]
        body, takes, busy = clients
        await body.send(head("/read", length=1000))
        await takes.send(get("/a"))
        takes.transport.left = 1000
        await busy.send(get("/slow") + head("/read", length=1000))
        gone = asyncio.create_task(server._gone(1000, patient=False))
        end = server.loop.time() + 0.3
        while sends and server.loop.time() < end:
            await body.send(b"x")
            takes.transport.left -= 1
            await asyncio.sleep(0.02)
        if not sends:
            await until(lambda: body.transport.closing and takes.transport.aborted)
            assert body.answer()[:2] == (503, {"error": "the service is being stopped", "code": "service.leaving"})
        assert [client.transport.closing for client in clients] == [not sends, not sends, False]
        for client in clients:
            client.go_away()
        server.app.open.set()
        await gone

    stopping(story)


def test_a_stop_takes_what_the_kernel_took_and_ends_with_the_last_connection():
    async def story(server):
        start = server.loop.time()
        await server._gone(1000, 0.05)  # nobody is here, but somebody may be on the way
        assert server.loop.time() - start >= 0.05
        client = Client(server.app)
        server.connections = client.among
        waiting = asyncio.get_running_loop().create_task(server._gone(1000))
        await turns()
        assert not waiting.done()
        client.go_away()
        await waiting

    stopping(story)


def test_on_leaving_no_connection_begins_and_those_that_have_can_be_taken():
    waits, late = socket.socket(), socket.socket()
    with listen("127.0.0.1", 0) as bound, waits, late:
        waits.connect(bound.getsockname())
        shut(bound)
        late.setblocking(False)
        assert late.connect_ex(bound.getsockname()) == errno.EINPROGRESS
        state = late.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        assert state == 2  # SYN_SENT: it would be connected at once
        taken, _ = bound.accept()
        with taken:
            waits.sendall(b"ask")
            assert taken.recv(10) == b"ask"
        bound.setblocking(False)
        with pytest.raises(BlockingIOError):
            bound.accept()
        reopen(bound)
        with socket.create_connection(bound.getsockname(), 20):
            bound.accept()[0].close()


def test_where_there_are_no_filters_the_queue_becomes_short():
    lengths = []
    shut(SimpleNamespace(setsockopt=lambda *_: os.listdir("/no such place"), listen=lengths.append))
    assert lengths == [1]


@pytest.fixture
def heard() -> Iterator[None]:
    """A terminal that closes is heard, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
def test_a_terminal_that_closes_and_says_so_twice_cuts_no_request():
    class Told(Server):
        """Knows how often it was told to leave."""

        def leave(self) -> None:
            super().leave()
            times.append(True)

    times: list[bool] = []
    with listen("127.0.0.1", 0) as bound:
        server, told = Told(Echo(), bound), []

        def ask() -> None:
            with socket.create_connection(bound.getsockname(), 20) as link:
                link.settimeout(20)
                link.sendall(head("/b", length=6) + b"abc")
                while not server.app.asked:
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGHUP)
                while not server.app.leaving:
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGHUP)
                while len(times) < 2:
                    time.sleep(0.001)
                told.append(server.haste)
                link.sendall(b"def")
                told.append(link.recv(1000))

        client = threading.Thread(target=ask)
        client.start()
        server.run()
        client.join()
    haste, answer = told
    assert not haste
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"/babcdef")


def test_who_was_started_to_outlive_its_terminal_does():
    assert signal.SIGHUP in endings()
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert endings() == [signal.SIGTERM, signal.SIGINT]
    finally:
        signal.signal(signal.SIGHUP, old)
