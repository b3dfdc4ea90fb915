"""What a service keeps of random requests over HTTP and gRPC: nothing. Of long use: test_soak.py."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.serving import test_http
from tests.serving.test_http import Server, many, never_a_server_error

grpc = pytest.importorskip("grpc")

from tests.serving import test_rpc  # noqa: E402
from tests.serving.test_rpc import PICTURE, caller  # noqa: E402

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
