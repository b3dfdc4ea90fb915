"""The bytes of one connection cut into requests, or why they are none. The grammar of HTTP is httptools' work."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Protocol

import httptools

from deepen.serving.messages import Request
from deepen.serving.refusal import SHOWN, Refusal

HEAD_BYTES = 64 << 10  # of headers, and of what stands between two parts of a body or behind it
MOST_FIELDS = 256  # headers and trailers


class Taker(Protocol):
    """Whoever is told what a parser finds, in the order it came. `over`: no further request is wanted."""

    over: bool

    def began(self) -> None: ...

    def asked(self, request: Request, keep: bool, expects: bool) -> None: ...

    def came(self, part: bytes) -> None: ...

    def ended(self) -> None: ...

    def last(self) -> None: ...

    def refuse(self, status: int, code: str, error: str) -> None: ...


class Parser:
    """Finds requests in bytes, and tells a taker of them.

    asking  headers are awaited: from the start, then from the first byte of a request
    idle    bytes that came since the last that were of use
    fields  headers and trailers of this request; `hosts`: how many of them are hosts
    """

    def __init__(self, taker: Taker) -> None:
        self.taker, self.machine = taker, self._machine()
        self.asking, self.idle, self.fields, self.hosts = True, 0, 0, 0
        self.url, self.headers = b"", dict[str, str]()

    def take(self, data: memoryview) -> None:
        """Look at what came."""
        self.idle += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if self.fields <= MOST_FIELDS:
                self.taker.refuse(400, "request.http", "this is not an HTTP request")
        if self.idle > HEAD_BYTES or self.fields > MOST_FIELDS:
            text = f"more than {MOST_FIELDS} headers, or {HEAD_BYTES >> 10} KiB of them"
            self.taker.refuse(431, "request.head", text)

    def _machine(self) -> httptools.HttpRequestParser:
        machine = httptools.HttpRequestParser(self)
        machine.set_dangerous_leniencies(lenient_data_after_close=True)  # what came before it is answered
        return machine

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.machine.feed_data(data)
        except httptools.HttpParserUpgrade as problem:
            if not self._wishes():
                self.taker.last()
                return
            method, version = self.machine.get_method().decode("ascii"), self.machine.get_http_version()
            headers = {**self.headers, "connection": "close"}
            del headers["upgrade"]
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            first = f"{method} {self.url.decode('ascii')} HTTP/{version}\r\n"
            self.machine = self._machine()
            self._feed(f"{first}{lines}\r\n".encode("latin-1") + bytes(data[problem.args[0] :]))

    def _wishes(self) -> bool:
        """Whether a request with a body wishes for another protocol: it is read again without the wish.

        The machine leaves such a body to the other protocol, and there is none here.
        """
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        return framed and "upgrade" in self.headers and self.machine.should_upgrade()

    # ---------------------------------------------------------------- what httptools calls

    def on_message_begin(self) -> None:
        self.url, self.headers, self.fields, self.hosts, self.asking = b"", {}, 0, 0, True
        self.taker.began()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields += 1
        if self.fields > MOST_FIELDS:
            raise ValueError("too many headers")  # ends the machine
        if self.asking:  # nobody reads what comes behind a body
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.hosts += key == "host"
            # what stands twice is one list (RFC 9110, 5.3)
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        self.idle, self.asking = 0, False
        path, host = target(self.url)
        if host is not None:  # what stands in the request line is what counts
            self.headers["host"] = host
        if self.taker.over:
            return
        version = self.machine.get_http_version()
        try:
            check(version, self.headers, self.hosts)
        except Refusal as problem:
            self.taker.refuse(problem.status, problem.code, problem.error)
            return
        if self._wishes():
            return
        new = version == "1.1"
        expects = new and self.headers.get("expect", "").lower() == "100-continue"
        request = Request(self.machine.get_method().decode("ascii"), path, self.headers)
        self.taker.asked(request, new and self.machine.should_keep_alive(), expects)

    def on_body(self, body: bytes) -> None:
        self.idle = 0
        self.taker.came(body)

    def on_message_complete(self) -> None:
        self.idle = 0
        self.taker.ended()


def target(url: bytes) -> tuple[str, str | None]:
    """The path a request line names, without its query, and the host where it names that too (RFC 9112, 3.2)."""
    found = httptools.parse_url(url)
    path = (found.path or b"/").decode("ascii")
    host = re.split(rb"[/?]", url, maxsplit=3)[2].decode("ascii") if found.schema else None
    return urllib.parse.unquote(path) if "%" in path else path, host


def check(version: str, headers: Mapping[str, str], hosts: int) -> None:
    """Raise a Refusal where a request cannot be understood as HTTP/1, or names none or several hosts (RFC 9112, 3.2)."""
    if version not in {"1.0", "1.1"}:
        raise Refusal(505, "request.http", f"HTTP/{version}: this is HTTP/1.1")
    if hosts > 1 or (version == "1.1" and not hosts):
        raise Refusal(400, "request.http", f"the header 'host' {'stands twice' if hosts else 'is missing'}")
    coding = headers.get("transfer-encoding", "chunked")
    if coding.strip().lower() != "chunked":
        raise Refusal(501, "request.encoding", f"transfer encoding {coding[:SHOWN]!r}: send chunked or none")
