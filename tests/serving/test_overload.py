"""Ten times what a service can do: it goes on doing what it can, says no to the rest at once, and is well again soon after."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections import Counter, deque
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.serving.test_growth import Held
from tests.serving.test_http import Server

grpc = pytest.importorskip("grpc")

from tests.serving.test_rpc import begun, caller, ended, infer, pb  # noqa: E402

RUN, BATCH, QUEUE, TIMEOUT = 0.1, 4, 32, 10.0  # seconds of the model, items in a batch, in the queue, seconds
RATE = 10 * BATCH / RUN  # requests a second: ten times what can be answered
LINKS = 800  # of the flood over HTTP
IDLE, SLOW, STALLED = 1000, 50, 300
SLOWLY = (
    "import time; from deepen.predictor import Predictor; run = Predictor.run;"
    f"Predictor.run = lambda self, arrays: (time.sleep({RUN}), run(self, arrays))[1]"
)
HEAD = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 8, 8, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 64}}]}
)
ASK = (
    f"POST /v2/models/m/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(HEAD) + 64}\r\n"
    f"inference-header-content-length: {len(HEAD)}\r\n\r\n{HEAD}"
).encode() + bytes(64)
PICTURE = infer(bytes(64), None, (1, 8, 8, 1), "UINT8", "image")
STARVED = (
    0.5  # share of the time without a core that it could use, from which on how soon a process answers says nothing
)
TOLD = {"200", "429", "OK", "RESOURCE_EXHAUSTED"}
PILED = "UNAVAILABLE Stream removed (RST_STREAM (Received RST_STREAM with error code 7))"  # over 1,024 on a connection
METRICS = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Outcome(NamedTuple):
    """What a request got, and after how many seconds."""

    way: str
    what: str
    seconds: float


class Link:
    """A connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: Server) -> Link:
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    async def ask(self, request: bytes) -> tuple[str, bytes]:
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        return head.split()[1], await self.reader.readexactly(length)


class Flood:
    """Requests that come when they come, over both ways, whatever becomes of those before."""

    def __init__(self, call, links: list[Link]) -> None:
        self.call, self.links = call, deque(links)
        self.outcomes: list[Outcome] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        while (gone := loop.time() - start) < seconds:
            while sent < gone * RATE:
                task = loop.create_task(self.over_http() if sent % 2 else self.over_grpc())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*self.tasks)

    async def over_http(self) -> None:
        if not self.links:
            return  # the client itself is late, and asks for less than it should
        link, start = self.links.popleft(), time.monotonic()
        status, _ = await link.ask(ASK)
        self.outcomes.append(Outcome("http", status, time.monotonic() - start))
        self.links.append(link)

    async def over_grpc(self) -> None:
        start = time.monotonic()
        found = await self.call("ModelInfer", PICTURE)
        what = "OK"
        if isinstance(found, tuple):
            what = found[0] if found[0] == "RESOURCE_EXHAUSTED" else " ".join(found)
        self.outcomes.append(Outcome("grpc", what, time.monotonic() - start))


def waited(pid: int) -> float:
    """Seconds so far in which the main thread of a process could run and had no core."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


async def watched(server: Server, link: Link, ended: asyncio.Event) -> tuple[list[float], list[float], list[int]]:
    """Seconds that /metrics took, items in the queue, bytes of memory, again and again."""
    took, queue, memory = [], [], []
    while not ended.is_set():
        start = time.monotonic()
        _, text = await link.ask(METRICS)
        took.append(time.monotonic() - start)
        queue += [
            float(line.split()[-1]) for line in text.decode().splitlines() if line.startswith("deepen_queue_items")
        ]
        memory.append(Held.by(server.process.pid).memory)
        await asyncio.sleep(0.05)
    return took, queue, memory


async def dripped(links: list[Link], ended: asyncio.Event) -> None:
    """A byte of a request now and then."""
    while not ended.is_set():
        for link in links:
            link.writer.write(b"x")
        await asyncio.sleep(0.2)


async def overload(server: Server, seconds: float) -> bool:
    """Ask for too much; whether there were cores enough to judge how soon it says no."""
    channels = [grpc.aio.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in "ab"]
    for channel in channels:
        await channel.channel_ready()
    call, other = map(caller, channels)
    other.channel = channels[1]
    idle, slow, links = [[await Link.to(server) for _ in range(n)] for n in (IDLE, SLOW, LINKS)]
    for link in slow:
        link.writer.write(b"GET / HTTP/1.1\r\nhost: local")
    stalled = [begun(other) for _ in range(STALLED)]
    over = asyncio.Event()
    link, drip = await Link.to(server), asyncio.create_task(dripped(slow, over))
    assert (await link.ask(ASK))[0] == "200"  # none of those is in the way
    assert isinstance(await call("ModelInfer", PICTURE), pb.ModelInferResponse)
    before = Held.by(server.process.pid)
    watching = asyncio.create_task(watched(server, link, over))
    flood, both = Flood(call, links), (server.process.pid, os.getpid())
    since = [waited(pid) for pid in both]
    await flood.run(seconds)
    starved = max(waited(pid) - before for pid, before in zip(both, since)) / seconds
    well = time.monotonic()
    while (await links[0].ask(ASK))[0] != "200" or isinstance(await call("ModelInfer", PICTURE), tuple):
        pass
    well = time.monotonic() - well
    over.set()
    took, queue, memory = await watching
    await drip
    for one in (*idle, *slow, *links, link):
        one.writer.close()
    for one in stalled:
        one.cancel()
    await asyncio.gather(*map(ended, stalled), return_exceptions=True)
    for channel in channels:
        await channel.close()
    fair = starved <= STARVED
    judge(flood.outcomes, seconds, fair)
    print(
        f"without a core {starved:.0%}; well after {well:.2f} s; /metrics {statistics.median(took):.3f} s; queue {max(queue)}; {max(memory) - before.memory:,} bytes"
    )
    assert well < 5
    assert max(queue) <= QUEUE
    assert max(memory) - before.memory <= 32 << 20
    return fair


def judge(outcomes: list[Outcome], seconds: float, fair: bool) -> None:
    counts = Counter((one.way, one.what) for one in outcomes)
    print(counts)
    assert {what for _, what in counts} - ({PILED} if not fair else set()) == TOLD  # so none was late
    answered = [one.seconds for one in outcomes if one.what in {"200", "OK"}]
    assert len(answered) > 0.5 * seconds * BATCH / RUN
    print(f"answered after {statistics.median(answered):.2f} s, {statistics.quantiles(answered, n=100)[98]:.2f} at p99")
    for way, no in (("http", "429"), ("grpc", "RESOURCE_EXHAUSTED")):
        refused = [one.seconds for one in outcomes if (one.way, one.what) == (way, no)]
        print(f"{way}: refused after {statistics.median(refused):.4f} s at the median, {max(refused):.3f} at most")
        assert not fair or statistics.median(refused) <= 0.05
        assert not fair or len(refused) > seconds * RATE / 4


@pytest.mark.parametrize(
    "seconds", [pytest.param(6, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.proof)]
)
def test_asked_for_ten_times_as_much_it_answers_what_it_can(digits_bundle, seconds):
    words = ("grpc=0", "name=m", "threads=1", f"max_batch_size={BATCH}", f"queue={QUEUE}", f"timeout={TIMEOUT}")
    for _ in range(3):
        server = Server(digits_bundle, *words, before=SLOWLY, seconds=600)  # who is slow or idle stays
        try:
            fair = asyncio.run(overload(server, seconds))
        finally:
            code, told = server.stop()
        assert code == 0
        assert "Traceback" not in told
        if fair:
            return
    pytest.skip(f"others took the cores for more than {STARVED:.0%} of the time, three times")
