"""uvicorn's HTTP/1.1 protocol with what it leaves open closed: slow or endless headers, and errors that are not JSON."""

from __future__ import annotations

import asyncio
import json
import logging

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20  # for a request line and headers
HEAD_BYTES = 64 << 10

# Errors in what a client sent are told to the client.
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class Protocol(HttpToolsProtocol):
    """uvicorn's own, with a time and a size for headers, and errors in JSON."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.head: int | None = 0  # bytes of the headers so far; None while a body arrives
        self.timer = self.loop.call_later(HEAD_SECONDS, self.give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self.timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.head is not None:
            self.head += len(data)
        super().data_received(data)
        if self.head is not None and self.head > HEAD_BYTES:
            self.refuse(431, "request.head", f"the headers are larger than {HEAD_BYTES >> 10} KiB")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.timer.cancel()
        self.timer = self.loop.call_later(HEAD_SECONDS, self.give_up)

    def on_headers_complete(self) -> None:
        self.timer.cancel()
        self.head = None
        try:
            super().on_headers_complete()
        except (UnicodeDecodeError, AttributeError, httptools.HttpParserInvalidURLError) as problem:
            raise ValueError("the path cannot be read") from problem  # told by send_400_response

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.head = 0

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
