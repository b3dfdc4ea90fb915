"""Clients under measurement: requests as bytes, ready-made, asked over connections that are kept open."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

import numpy as np

SECONDS = 1.0  # that a turn takes
SHAPES = {"lenet": (28, 28, 1), "resnet": (96, 96, 3)}


def pictures(model: str = "lenet") -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (32, *SHAPES[model]), np.uint8))


# ---------------------------------------------------------------- requests


def request(path: str, body: bytes, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def tensors(array: np.ndarray) -> bytes:
    """The Open Inference Protocol in bytes, as tritonclient writes it."""
    raw = array.tobytes()
    one = {"name": "image", "shape": [1, *array.shape], "datatype": "UINT8"}
    document = {
        "inputs": [{**one, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document, separators=(",", ":")).encode()
    return request("/v2/models/m/infer", head + raw, f"inference-header-content-length: {len(head)}\r\n")


def numbers(array: np.ndarray) -> bytes:
    """The same in JSON."""
    one = {"name": "image", "shape": [1, *array.shape], "datatype": "UINT8", "data": array.ravel().tolist()}
    return request("/v2/models/m/infer", json.dumps({"inputs": [one]}).encode(), "content-type: application/json\r\n")


def named(array: np.ndarray) -> bytes:
    """What LitServe and BentoML take."""
    return request(
        "/predict", json.dumps({"image": array.ravel().tolist()}).encode(), "content-type: application/json\r\n"
    )


class Client(asyncio.Protocol):
    """Asks over one connection until the end, and notes the times. Every answer must be 200."""

    def __init__(self, bodies: list[bytes], at: int, end: float, pause: float = 0) -> None:
        self.bodies, self.at, self.end, self.pause = bodies, at, end, pause
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.data, self.size = b"", 0
        self.start = time.perf_counter()
        self.transport.write(self.bodies[self.at % len(self.bodies)])
        self.at += 1

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.size and (head := self.data.find(b"\r\n\r\n")) > 0:
            if not self.data.startswith(b"HTTP/1.1 200"):
                self._finish(AssertionError(self.data[:300]))
                return
            self.size = head + 4 + int(self.data[:head].lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if self.size and len(self.data) >= self.size:
            now = time.perf_counter()
            self.times.append(now - self.start)
            if now >= self.end:
                self._finish()
            elif self.pause:
                asyncio.get_running_loop().call_later(self.pause, self._ask)
            else:
                self._ask()

    def connection_lost(self, problem: Exception | None) -> None:
        self._finish(problem or ConnectionResetError("the server closed"))

    def _finish(self, problem: Exception | None = None) -> None:
        if not self.done.done():
            self.done.set_exception(problem) if problem else self.done.set_result(None)
        self.transport.close()


async def load(
    port: int, bodies: list[bytes], clients: int, seconds: float = SECONDS, beside: bytes = b""
) -> dict[str, Any]:
    """Answers a second and their times over connections kept open; every answer must be 200.

    beside  a request that one more client sends again and again; its times apart
    """
    loop, start = asyncio.get_running_loop(), time.perf_counter()
    many = [Client(bodies, at, start + seconds) for at in range(clients)]
    other = [Client([beside], 0, start + seconds, 0.02)] if beside else []
    await asyncio.gather(*(loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in (*many, *other)))
    await asyncio.gather(*(one.done for one in (*many, *other)))
    times, others = (sorted(t for one in some for t in one.times) for some in (many, other))
    return {
        "rate": len(times) / (time.perf_counter() - start), "p50": statistics.median(times),
        "p99": times[int(0.99 * (len(times) - 1))], "count": len(times),
        "beside": others[int(0.99 * (len(others) - 1))] if others else 0.0,
    }  # fmt: skip


async def call(port: int, clients: int, seconds: float = 2 * SECONDS) -> dict[str, Any]:
    """Answers a second over gRPC, the request as tritonclient writes it; every answer must be one."""
    import grpc

    from deepen.serving import oip_pb2 as pb

    asked = []
    for picture in pictures():
        one = pb.ModelInferRequest(model_name="m", raw_input_contents=[picture.tobytes()])
        one.inputs.add(name="image", datatype="UINT8", shape=[1, *picture.shape])
        asked.append(one.SerializeToString())
    start, counts = time.perf_counter(), []

    async def client(at: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            while time.perf_counter() - start < seconds:
                assert await infer(asked[at % len(asked)])
                at += 1
                counts.append(at)

    await asyncio.gather(*(client(at) for at in range(clients)))
    return {"rate": len(counts) / (time.perf_counter() - start), "count": len(counts)}
