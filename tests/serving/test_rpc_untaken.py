"""Answers over gRPC that nobody takes: a client that opens no window (RFC 9113, 5.2) and says nothing more."""

from __future__ import annotations

import asyncio
import struct
import time

import pytest

pytest.importorskip("grpc")

from deepen.preprocess.array import Array
from deepen.serving import application, rpc, rpc_server
from tests.serving.fakes import only, service
from tests.serving.test_rpc import infer, talk

HEADERS, DATA, SETTINGS = 1, 0, 4
WINDOW = struct.pack(">HI", 4, 0)  # SETTINGS_INITIAL_WINDOW_SIZE: 0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, data: bytes, stream: int = 0, flags: int = 0) -> bytes:
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data


def asked(stream: int) -> bytes:
    """A call, whole: END_HEADERS, END_STREAM; every header as it is (RFC 7541, 6.2.2)."""
    path, message = f"/{rpc.SERVICE}/ModelInfer", infer().SerializeToString()
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost", "te": "trailers"}
    headers["content-type"] = "application/grpc"
    block = b"".join(bytes([0, len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in headers.items())
    return frame(HEADERS, block, stream, 4) + frame(DATA, struct.pack(">BI", 0, len(message)) + message, stream, 1)


async def deaf(call, core, calls: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with so many calls that are answered, whose answers wait."""
    reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
    writer.write(PREFACE + frame(SETTINGS, WINDOW) + b"".join(asked(2 * at + 1) for at in range(calls)))
    async with asyncio.timeout(20):
        while only(core).tally.items < 2 * calls:
            await asyncio.sleep(0.001)
    return reader, writer


def test_what_nobody_takes_is_counted_and_ends_with_its_connection(monkeypatch):
    for name in ("BODY_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(rpc_server, name, 0)
    monkeypatch.setattr(rpc_server, "LONGEST", 0.2)
    core = service(Array((3,)), small=True, timeout=0.2)

    async def story(call):
        reader, writer = await deaf(call, core, 3)
        assert core.held > 3 * 16
        monkeypatch.setattr(application, "MOST_BYTES", core.held)
        assert (await call("ModelInfer", infer()))[0] == "RESOURCE_EXHAUSTED"
        async with asyncio.timeout(20):
            while await reader.read(1 << 16):
                pass
            while core.held:
                await asyncio.sleep(0.001)
        assert (await call("ModelInfer", infer())).outputs
        writer.close()

    talk(core, story)


def test_a_stop_does_not_wait_for_who_takes_nothing(monkeypatch):
    monkeypatch.setattr(rpc_server, "STALLED", 0.2)
    core = service(Array((3,)), small=True)

    async def story(call):
        _, writer = await deaf(call, core, 3)
        assert (await call("ModelInfer", infer())).outputs  # others are in no way held up
        start = time.monotonic()
        core.leaving = True
        await call.way.close()
        assert time.monotonic() - start < 5
        writer.close()

    talk(core, story)
    assert core.held == 0
