"""What a service keeps of what it was asked: nothing. Random requests, and long use, over HTTP and gRPC at once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.serving import test_http
from tests.serving.test_http import PICTURES, Server, many, never_a_server_error, post

grpc = pytest.importorskip("grpc")

from tests.serving import test_rpc  # noqa: E402
from tests.serving.test_rpc import PICTURE, caller, infer, pb  # noqa: E402

POOL = 4  # threads that the loop's own pool may still add, in which bundles are loaded: it takes one more now and then


class Held(NamedTuple):
    """What a process has: resident bytes, open files, threads."""

    memory: int
    files: int
    threads: int

    @classmethod
    def by(cls, process: int) -> Held:
        place = Path(f"/proc/{process}")
        pages = int((place / "statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(place / "fd")), len(os.listdir(place / "task")))


def settled(process: int) -> Held:
    """What it has once it has seen that its clients are gone: the least within a second."""
    found, end = [Held.by(process)], time.monotonic() + 1
    while time.monotonic() < end:
        found.append(Held.by(process))
    return Held(*map(min, zip(*found)))


@pytest.fixture
def one(digits_bundle):
    made = Server(digits_bundle, "grpc=0", "name=m", "threads=1")
    yield made
    assert made.stop()[0] == 0


def over_grpc(one: Server, story) -> None:
    async def whole() -> None:
        soon = [("grpc.initial_reconnect_backoff_ms", 20)]
        async with grpc.aio.insecure_channel(one.grpc, options=soon) as channel:
            await channel.channel_ready()
            await story(caller(channel))

    asyncio.run(whole())


# ---------------------------------------------------------------- random requests


def fuzz(one: Server, count: int, draw: random.Random) -> list:
    """Random requests over both ways; those that were answered after more than a second."""
    slow, late = [], []
    never_a_server_error(one.port, test_http.fuzzed(count, draw.getrandbits(30)), slow)
    over_grpc(one, lambda call: test_rpc.fuzz(call, count, PICTURE, draw, late))
    return [*slow, *late]


def hangs(one: Server, request: object) -> bool:
    """Whether a request takes long each time: once, the machine may have been busy."""
    for _ in range(3):
        slow = []
        if isinstance(request, bytes):
            asyncio.run(many(one.port, [request], 1, slow))
        else:
            start = time.monotonic()
            over_grpc(one, lambda call: call(*request))
            slow += [True] * (time.monotonic() - start > 1)
        if not slow:
            return False
    return True


@pytest.mark.parametrize(
    "count", [pytest.param(5_000, marks=pytest.mark.slow), pytest.param(50_000, marks=pytest.mark.proof)]
)
def test_random_requests_get_no_server_error_and_leave_nothing(one, count):
    draw = random.Random(0)
    slow = fuzz(one, max(2_000, count // 5), draw)
    before = settled(one.process.pid)
    slow += fuzz(one, count, draw)
    after = settled(one.process.pid)
    print(f"{before} -> {after}, {len(slow)} slow")
    assert not [request for request in slow if hangs(one, request)]
    assert after.memory <= 1.05 * before.memory
    assert after.files == before.files
    assert after.threads <= before.threads + POOL


# ---------------------------------------------------------------- long use


def mixed(count: int, draw: random.Random) -> list[bytes]:
    """Requests of one item to a thousand, in every form."""
    found = []
    for _ in range(count):
        size = int(2 ** draw.triangular(0, 8, 0))
        some = draw.choices(PICTURES, k=size)
        form = draw.randrange(4)
        if form == 0:
            found.append(post(some[0], "image/png"))
        elif form == 1:
            items = [base64.b64encode(one).decode() for one in some]
            found.append(post(json.dumps({"items": items}).encode(), "application/json"))
        elif form == 2:
            parts = [b"--B\r\ncontent-disposition: form-data; filename=a\r\n\r\n" + one + b"\r\n" for one in some]
            found.append(post(b"".join(parts) + b"--B--\r\n", "multipart/form-data; boundary=B"))
        else:
            rows = 4 * size
            one = {"name": "image", "shape": [rows, 8, 8, 1], "datatype": "UINT8"}
            head = json.dumps({"inputs": [{**one, "parameters": {"binary_data_size": rows * 64}}]}).encode()
            whole = post(head + draw.randbytes(rows * 64), "", f"inference-header-content-length: {len(head)}\r\n")
            found.append(whole.replace(b"/predict", b"/v2/models/m/infer", 1))
    return found


def use(one: Server, count: int, draw: random.Random) -> None:
    """So many requests, a fourth of them over gRPC; all are answered well."""
    for status, body in asyncio.run(many(one.port, mixed(count * 3 // 4, draw), 8)):
        assert status == 200, body

    async def story(call) -> None:
        async def client() -> None:
            for _ in range(count // 4 // 8):
                rows = int(2 ** draw.triangular(0, 10, 0))
                answer = await call("ModelInfer", infer(bytes(rows * 64), None, (rows, 8, 8, 1), "UINT8", "image"))
                assert isinstance(answer, pb.ModelInferResponse), answer

        await asyncio.gather(*(client() for _ in range(8)))

    over_grpc(one, story)


@pytest.mark.parametrize(
    ("turns", "each", "most"),  # MiB: what is kept at last settles in the first tens of thousands
    [pytest.param(10, 1_000, 2, marks=pytest.mark.slow), pytest.param(20, 2_500, 1, marks=pytest.mark.proof)],
)
def test_long_use_with_requests_of_every_size_leaves_nothing(one, turns, each, most):
    draw = random.Random(0)
    use(one, 10_000, draw)
    found = [settled(one.process.pid)]
    for _ in range(turns):
        use(one, each, draw)
        found.append(settled(one.process.pid))
    slope = np.polyfit(np.arange(turns + 1) * each, [each.memory for each in found], 1)[0]
    print(f"{slope * 10_000 / 2**20:.2f} MiB per 10,000 requests; {found}")
    assert slope * 10_000 < most << 20
    assert {each.files for each in found} == {found[0].files}
    assert found[-1].threads <= found[0].threads + POOL
