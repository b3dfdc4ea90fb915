"""uvicorn's HTTP/1.1 protocol with what it leaves open closed: slow or endless headers, answers nobody takes, and errors
that are not JSON."""

from __future__ import annotations

import asyncio
import json
import logging

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20  # for a request line and headers
HEAD_BYTES = 64 << 10  # of headers, and of what stands between two parts of a body or behind it
MOST_FIELDS = 256  # headers and trailers
ANSWER_SECONDS = 20  # in which a client takes an answer, or at least so much of it:
ANSWER_BYTES = 64 << 10

# Errors in what a client sent are told to the client.
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class Protocol(HttpToolsProtocol):
    """uvicorn's own, with a time and a size for whatever a client may draw out, and errors in JSON."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.idle = 0  # bytes that came since the last that were of use
        self.fields, self.through = 0, False  # headers so far; whether they are complete
        self.looked: tuple[object, int] = (None, 0)  # the request last looked at, and what was left of its answer
        self.timer = self.loop.call_later(HEAD_SECONDS, self.give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self.timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.idle += len(data)
        super().data_received(data)
        if self.idle > HEAD_BYTES or self.fields > MOST_FIELDS:
            self.refuse(431, "request.head", f"more than {MOST_FIELDS} headers, or {HEAD_BYTES >> 10} KiB of them")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.fields, self.through = 0, False
        self.timer.cancel()
        self.timer = self.loop.call_later(HEAD_SECONDS, self.give_up)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields += 1
        if not self.through and self.fields <= MOST_FIELDS:  # nobody reads what comes behind a body
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.timer.cancel()
        self.idle, self.through = 0, True
        try:
            super().on_headers_complete()
        except (UnicodeDecodeError, AttributeError, httptools.HttpParserInvalidURLError) as problem:
            raise ValueError("the path cannot be read") from problem  # told by send_400_response

    def on_body(self, body: bytes) -> None:
        self.idle = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.idle = 0

    def look(self) -> None:
        """Once in ANSWER_SECONDS: a client that takes next to nothing of its answer is let go, and its answer too."""
        left = self.transport.get_write_buffer_size()
        cycle, before = self.looked
        if left and before and cycle is self.cycle and left > before - ANSWER_BYTES:
            self.transport.abort()
        self.looked = self.cycle, left

    def give_up(self) -> None:
        self.refuse(408, "request.timeout", f"the headers did not arrive in {HEAD_SECONDS} s")

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, "request.http", "this is not an HTTP request")

    def refuse(self, status: int, code: str, error: str) -> None:
        """An answer to what never became a request."""
        if self.transport.is_closing():
            return
        data = json.dumps({"error": error, "code": code}).encode()
        self.transport.write(
            b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, len(data), data)
        )
        self.transport.close()
