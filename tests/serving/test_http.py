"""A live server in its own process: what travels badly, who goes away, how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from deepen import bundle
from deepen.cli import main
from deepen.preprocess.image import png

pytest.importorskip("httptools")

CAP = 1 << 20
HASTE = (
    "from deepen.serving import bodies, incoming, protocol; bodies.LARGEST_BODY = incoming.LARGEST_BODY = 1 << 20;"
    "protocol.HEAD_SECONDS = incoming.BODY_SECONDS = protocol.ANSWER_SECONDS = {seconds}; {before}; from deepen.cli import main; import sys; sys.exit(main({words}))"
)


class Server:
    """`deepen serve` in one process, ready. `before`: what it does first, to be slower or in more haste than it is."""

    def __init__(
        self, bundle: Path, *words: str, seconds: float = 20, supervise: bool = False, before: str = "pass", **environment: str
    ) -> None:  # fmt: skip
        words = ("serve", str(bundle), "port=0", f"supervise={str(supervise).lower()}", *words)
        code = HASTE.format(seconds=seconds, before=before, words=repr([*words]))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        lines = iter(self.process.stdout.readline, "")
        self.address = next((line.split()[1] for line in lines if line.startswith("ready")), None)
        assert self.address, self.process.stderr.read()
        self.port = int(self.address.rsplit(":", 1)[1])
        self.grpc = next(lines).split()[1].removeprefix("grpc://") if "grpc=0" in words else ""

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def ask(self, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.connect() as link:
            for part in parts:
                link.sendall(part)
            return answer(link)

    def connections(self) -> int:
        """Open ones."""
        ours = {os.readlink(f) for f in Path(f"/proc/{self.process.pid}/fd").iterdir() if f.exists()}
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(
            int(row[1][-4:], 16) == self.port and row[3] == "01" and f"socket:[{row[9]}]" in ours for row in rows
        )

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=20)
        return self.process.returncode, told


def answer(link: socket.socket, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
    """One response from a connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = link.recv(65536)
        if not more:
            raise ConnectionResetError(f"closed after {data!r}")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    while not head_only and len(body) < int(headers["content-length"]):
        body += link.recv(65536)
    return int(lines[0].split()[1]), headers, body


def post(body: bytes, kind: str = "application/octet-stream", more: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n{more}\r\n"
    return head.encode("latin-1") + body


@pytest.fixture(scope="module")
def server(digits_bundle):
    made = Server(digits_bundle, "name=m")
    yield made
    code, told = made.stop()
    assert code == 0
    assert "Traceback" not in told


PICTURES = [png(p) for p in np.random.default_rng(0).integers(0, 17, (12, 8, 8), np.uint8)]


@pytest.fixture(scope="module")
def right(digits_bundle):
    return bundle.predictor(digits_bundle, 1)(PICTURES)


def test_a_picture_is_answered_as_the_predictor_answers(server, right):
    status, headers, body = server.ask(post(PICTURES[0], "image/png"))
    assert status == 200
    (found,) = json.loads(body)["answers"]
    assert found["probabilities"] == pytest.approx(right[0]["probabilities"], abs=1e-6)
    assert found["label"] == right[0]["label"]
    assert headers["content-type"] == "application/json"
    assert "server" not in headers


def test_neither_torch_nor_the_training_side_is_in_the_process(server):
    assert "torch" not in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_the_commands_of_the_readme_work(server, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(PICTURES[0])
    done = subprocess.run(
        ["curl", "-s", "-F", f"file=@{tmp_path / 'cat.jpg'}", f"{server.address}/predict"],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert json.loads(done.stdout)["answers"][0]["label"] in "0123456789"


CHUNKED = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
BAD = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "no version": (b"GET\r\n\r\n", 400),
    "bad length": (post(b"x", length=-5), 400),
    "two lengths": (post(b"x", more="content-length: 7\r\n"), 400),
    "length and chunks": (post(b"0\r\n\r\n", more="transfer-encoding: chunked\r\n"), 400),
    "bad chunk": (
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 400,
    ),
    "no body": (b"POST /predict HTTP/1.1\r\nhost: localhost\r\n\r\n", 422),
    "empty chunks": (b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 422),
    "too large": (post(bytes(CAP + 1)), 413),
    "large headers": (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 200_000, 431),
    "many headers": (b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 300 + b"\r\n", 431),
    "large trailer": (CHUNKED + b"0\r\nx: " + b"y" * 200_000, 431),
    "many trailers": (CHUNKED + b"0\r\n" + b"x: y\r\n" * 300 + b"\r\n", 431),
    "large extension": (CHUNKED + b"1;x=" + b"y" * 200_000, 431),
    "a trailer is nobody's header": (
        CHUNKED + b"0\r\nhost: evil.example\r\n\r\n", 422,
    ),
    "path in latin-1": (b"GET /\xe9 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "path in percent": (b"GET /%ff%00%2e%2e/ HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
    "another host": (b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403),
    "a query is ignored": (b"GET /health/live?a=1&b HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
    "upgrade": (b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 200),
    "star": (b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
    "put": (b"PUT /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx", 405),
    "old": (b"GET /health/ready HTTP/1.0\r\n\r\n", 200),
    "older": (b"GET /health/ready HTTP/0.9\r\nhost: localhost\r\n\r\n", 505),
    "oldest": (b"GET /health/ready\r\n\r\n", 505),
    "new": (b"GET /health/ready HTTP/2.0\r\nhost: localhost\r\n\r\n", 505),
    "newer": (b"GET /health/ready HTTP/3.0\r\nhost: localhost\r\n\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no host": (b"GET /health/ready HTTP/1.1\r\n\r\n", 400),
    "no path": (b"GET http://localhost HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
    "no path but a query": (b"GET http://localhost?a=/b HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
    "no path on another host": (b"GET http://evil.example?localhost HTTP/1.1\r\nhost: localhost\r\n\r\n", 403),
    "a tunnel": (b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "compressed on its way": (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", 501),
    "another coding": (CHUNKED.replace(b"chunked", b"gzip") + b"0\r\n\r\n", 501),
    "a length of a gigabyte": (post(b"", length=1 << 30), 413),
    "a length no number holds": (post(b"", length=10**30), 400),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_travels_badly_gets_one_sentence(server, name):
    request, status = BAD[name]
    found, _, body = server.ask(request)
    assert found == status
    document = json.loads(body)
    if status >= 400:
        assert document["error"]
        assert document["code"].startswith("request.")
    assert server.ask(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")[0] == 200


def test_a_chunked_body_over_the_cap(server):
    chunk = b"%x\r\n%s\r\n" % (1 << 18, bytes(1 << 18))
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    status, headers, body = server.ask(head, *[chunk] * 5, b"0\r\n\r\n")
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["code"] == "request.size"


def test_head_has_no_body_and_the_connection_goes_on(server):
    with server.connect() as link:
        link.sendall(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        status, headers, body = answer(link, head_only=True)
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 100
        for picture in PICTURES[:2]:
            link.sendall(post(picture))
            assert answer(link)[0] == 200


def test_a_body_shorter_than_said_and_clients_that_go_away(server):
    for request in (post(b"abc", length=500), post(PICTURES[0]), post(PICTURES[0])[:40], b""):
        for _ in range(5):
            with server.connect() as link:
                link.sendall(request)
    assert server.ask(post(PICTURES[0]))[0] == 200


def test_slow_clients_are_let_go(digits_bundle):
    slow = Server(digits_bundle, seconds=0.3)
    with slow.connect() as head, slow.connect() as body, slow.connect() as silent:
        head.sendall(b"GET / HTTP/1.1\r\nhost: local")
        body.sendall(post(b"abc", length=500))
        for link in (head, body, silent):
            status, headers, told = answer(link)
            assert (status, headers["connection"]) == (408, "close")
            assert json.loads(told)["code"] == "request.timeout"
    assert slow.stop()[0] == 0


def test_answers_that_nobody_takes_are_not_kept_for_ever(digits_bundle):
    """Slow ones are: it goes on taking, if little at a time."""
    one = Server(digits_bundle, seconds=0.8)
    ask = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with socket.socket() as deaf, one.connect() as slow:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", one.port))
        for link in (deaf, slow):
            link.sendall(ask * 2000)
        took, end = 0, time.monotonic() + 20
        while one.connections() < 2:
            pass
        while one.connections() > 1 and time.monotonic() < end:
            for _ in range(8):  # enough between two looks, which take their time
                took += len(slow.recv(1 << 14))
            slow.sendall(ask * 8)  # as much as it took: there is always more to come
        assert one.connections() == 1
        assert took > 1 << 20
        slow.sendall(ask)
        assert slow.recv(1)
    assert one.stop()[0] == 0


async def many(
    port: int, requests: list[bytes], clients: int, slow: list[bytes] | None = None
) -> list[tuple[int, bytes]]:
    """All requests over a number of connections, each kept open; answers in order.

    slow  takes those that were answered after more than a second
    """
    found: list = [None] * len(requests)
    todo = iter(range(len(requests)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for at in todo:
            start = time.monotonic()
            writer.write(requests[at])
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            found[at] = int(head.split()[1]), await reader.readexactly(length)
            if slow is not None and time.monotonic() - start > 1:
                slow.append(requests[at])
            if "connection: close" in head:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


def test_64_clients_with_good_and_bad_items_among_them(server, right):
    draw = random.Random(0)
    picks = [draw.randrange(-4, 12) for _ in range(600)]
    bad = [b"junk", b"", b"\x89PNG\r\n\x1a\n", PICTURES[0][:50]]
    requests = [post(PICTURES[pick] if pick >= 0 else bad[-pick - 1]) for pick in picks]
    for pick, (status, body) in zip(picks, asyncio.run(many(server.port, requests, 64))):
        document = json.loads(body)
        if pick < 0:
            assert status == 422
            continue
        assert status == 200
        assert document["answers"][0]["label"] == right[pick]["label"]
        assert document["answers"][0]["probability"] == pytest.approx(right[pick]["probability"], abs=1e-5)


# ---------------------------------------------------------------- random requests


def fuzzed(count: int, seed: int = 0) -> list[bytes]:
    """Requests that are right, or wrong in one of many ways."""
    draw = random.Random(seed)
    scalars = ["null", "true", "0", "-1", "1e5", '""', '"a"', "[]", "{}", "1e999", "NaN", "[[[1]]]", '"\\ud800"', '"é"']
    kinds = ["application/json", "text/csv", "image/png", "multipart/form-data; boundary=B", "", "a/b", "text/csv; x"]

    def value(depth: int) -> str:
        if depth == 0 or draw.random() < 0.4:
            return draw.choice(scalars)
        inner = [value(depth - 1) for _ in range(draw.randrange(4))]
        if draw.random() < 0.5:
            return "[" + ",".join(inner) + "]"
        names = ["items", "item", "b64", "image", "x"]
        return "{" + ",".join(f'"{draw.choice(names)}":{v}' for v in inner) + "}"

    def body() -> bytes:
        how = draw.randrange(6)
        if how == 0:
            return draw.randbytes(draw.randrange(200))
        if how == 1:
            data = bytearray(draw.choice(PICTURES))
            for _ in range(draw.randrange(4)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.5 else data)
        if how == 2:
            return b"--B\r\nx: filename=\r\n\r\n" + draw.choice(PICTURES) + draw.choice([b"\r\n--B--", b"\r\n--B", b""])
        if how == 3:
            return ("a,b\n" + "\n".join(",".join(draw.choices(["1", "x", '"', "é"], k=2)) for _ in range(3))).encode()
        text = '{"items": [' + ",".join(value(4) for _ in range(draw.randrange(3))) + "]}" if how == 4 else value(5)
        return text.encode()

    def seldom(right, *wrong):
        return right if draw.random() < 0.8 else draw.choice(wrong)

    def inference() -> bytes:
        """An inference request in which each thing is wrong now and then."""
        raw = seldom(draw.randbytes(64), draw.randbytes(draw.randrange(200)), b"")
        one: dict = {"name": "image", "shape": [1, 8, 8, 1], "datatype": "UINT8"}
        if draw.random() < 0.5:
            one["parameters"] = {"binary_data_size": seldom(64, len(raw), -1, 2**70, "x")}
        else:
            one["data"], raw = seldom([7] * 64, [[7] * 64], [300] * 64, [1.5] * 64, [None], "x", {}), b""
        if draw.random() < 0.2:
            odd = draw.choice(["", None, [], {}, -1, 2**63, [0, 8, 8, 1], [-1] * 4, [2**62] * 4, "FP32", 1.5])
            one[draw.choice(["name", "shape", "datatype", "parameters", "data", "x"])] = odd
        whole: dict = {"inputs": seldom([one], [one, one], [], one, [7])}
        if draw.random() < 0.4:
            whole[draw.choice(["id", "outputs", "parameters"])] = draw.choice(
                ["a", 7, [{"name": "probabilities", "parameters": {"classification": draw.choice([2, -1, 2**40, "x"])}}],
                 {"timeout": draw.choice([10**7, -1, "x", 1e400])}, {"binary_data_output": True}]
            )  # fmt: skip
        head = json.dumps(whole).encode()
        length = seldom(len(head), len(head) + 1, 0, -1, 10**12, "x")
        path = seldom("m/infer", "m/versions/1/infer", "m/versions/latest/infer", "n/infer", "m/infer/x")
        more = f"inference-header-content-length: {length}\r\n" if raw or draw.random() < 0.2 else ""
        return post(head + raw, "", more).replace(b"/predict", f"/v2/models/{path}".encode(), 1)

    found = []
    for _ in range(count):
        if draw.random() < 0.4:
            found.append(inference())
            continue
        data = body()
        more = draw.choice(
            ["", "", "", "content-encoding: gzip\r\n", "origin: http://x\r\n", "authorization: \xe9\r\n"]
        )
        request = post(data, draw.choice(kinds), more)
        if draw.random() < 0.1:
            request = request.replace(b"POST", draw.choice([b"PUT", b"DELETE", b"OPTIONS"]), 1)
        if draw.random() < 0.1:
            request = request.replace(b"/predict", draw.choice([b"/", b"/x%00", b"/predict/", b"/%2e%2e/a"]), 1)
        found.append(request)
    return found


def never_a_server_error(port: int, requests: list[bytes], slow: list[bytes] | None = None) -> None:
    statuses = set()
    hang = 60 + len(requests) / 10
    for status, body in asyncio.run(asyncio.wait_for(many(port, requests, 8, slow), hang)):
        statuses.add(status)
        assert status < 500, body
        assert status == 200 or json.loads(body)["error"]
    assert {200, 400, 404, 405, 415, 422} <= statuses


def test_a_fuzzed_request_can_be_right(server):
    """Else the fuzzer would only knock at the door."""
    found = [r for r in fuzzed(500) if b"/infer " in r]
    statuses = [status for status, _ in asyncio.run(many(server.port, found, 8))]
    assert statuses.count(200) >= 10
    assert statuses.count(400) >= 50


def test_random_requests_never_get_a_server_error(server):
    never_a_server_error(server.port, fuzzed(500))


# ---------------------------------------------------------------- start and stop


def stopped_under_load(one: Server) -> None:
    """SIGTERM while 16 clients ask without a pause, half of them on a new connection each time."""
    told = {"answered": 0, "lost": 0}
    lock, begun = threading.Lock(), threading.Event()

    def client(seed: int) -> None:
        link = None
        while True:
            try:
                link = link or one.connect()
            except OSError:
                return  # the server is gone: nothing was accepted
            try:
                link.sendall(post(PICTURES[seed % 12], more="connection: close\r\n" if seed % 2 else ""))
                status, headers, _ = answer(link)
                assert status == 200
                with lock:
                    told["answered"] += 1
                    if told["answered"] > 200:
                        begun.set()
                if headers.get("connection") == "close":
                    link.close()
                    link = None
            except OSError:
                link.close()
                link = None
                with lock:
                    told["lost"] += 1

    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(16)]
    for thread in clients:
        thread.start()
    assert begun.wait(30)
    start = time.monotonic()
    code, _ = one.stop()
    assert time.monotonic() - start < 10
    for thread in clients:
        thread.join(20)
    assert code == 0
    assert told["lost"] == 0, told
    assert told["answered"] > 200


def test_a_stop_under_load_loses_no_request(digits_bundle):
    stopped_under_load(Server(digits_bundle))


@pytest.mark.proof
@pytest.mark.parametrize("supervise", [False, True])
def test_not_one_in_fifty_stops(digits_bundle, supervise):
    for _ in range(25):
        stopped_under_load(Server(digits_bundle, supervise=supervise))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_kill_leaves_nothing_behind(digits_bundle, tmp_path):
    before = contents(digits_bundle.parent)
    one = Server(digits_bundle, TMPDIR=str(tmp_path))
    assert one.ask(post(PICTURES[0]))[0] == 200
    one.process.kill()
    one.process.communicate(timeout=20)
    assert contents(digits_bundle.parent) == before
    assert not list(tmp_path.iterdir())  # the runtime's own telemetry would keep its session here
    with socket.create_server(("127.0.0.1", one.port)):
        pass  # the port is free at once


def test_a_token_from_the_environment_is_asked_for_and_told_nowhere(digits_bundle):
    one = Server(digits_bundle, "host=0.0.0.0", DEEPEN_TOKEN="secret-of-7")
    assert one.ask(post(PICTURES[0]))[0] == 401
    assert one.ask(post(PICTURES[0], more="authorization: Bearer secret-of-7\r\n"))[0] == 200
    assert one.ask(post(PICTURES[0], more="authorization: Bearer secret-of-8\r\n"))[0] == 401
    assert b"secret" not in Path(f"/proc/{one.process.pid}/cmdline").read_bytes()
    one.process.send_signal(signal.SIGTERM)
    out, told = one.process.communicate(timeout=20)
    assert one.process.returncode == 0
    assert "secret" not in out + told


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["host=0.0.0.0"], "no token. Expected a token"),
        (["host=192.0.2.1", "token=x"], "Expected a free port of this machine"),
        (["host=no.such.name.invalid", "token=x"], "Expected a free port of this machine"),
        (["port=65536"], "Expected 0 to 65535"),
        (["port=-1"], "Expected 0 to 65535"),
    ],
)
def test_where_it_cannot_listen_it_says_so(words, text, digits_bundle, capsys, monkeypatch):
    monkeypatch.delenv("DEEPEN_TOKEN", raising=False)
    assert main(["serve", str(digits_bundle), *words]) == 2
    assert text in capsys.readouterr().err


def test_a_port_that_is_taken(digits_bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(digits_bundle), f"port={taken.getsockname()[1]}"]) == 2
    assert "Address already in use" in capsys.readouterr().err


def test_the_loopback_of_ipv6(digits_bundle):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    one = Server(digits_bundle, "host=::1")
    assert one.address.startswith("http://[::1]:")
    with socket.create_connection(("::1", one.port), 20) as link:
        link.sendall(b"GET / HTTP/1.1\r\nhost: [::1]:%d\r\n\r\n" % one.port)
        assert answer(link)[0] == 200
    assert one.stop()[0] == 0
