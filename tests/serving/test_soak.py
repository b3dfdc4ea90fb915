"""Half an hour of everything at once: pictures, JSON, forms, tensors, gRPC, bad requests, versions that change. Nothing stays."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time

import numpy as np
import pytest

from deepen.store.live import Live
from tests.serving.test_growth import POOL, Held, settled
from tests.serving.test_http import PICTURES, Server, fuzzed, many, post
from tests.serving.test_swaps import SOON, marked

grpc = pytest.importorskip("grpc")

from tests.serving import test_rpc  # noqa: E402
from tests.serving.test_rpc import PICTURE, caller, infer, pb  # noqa: E402

TURN = 2_000  # requests between two looks at what is held
ROUTES = ({"2": 1.0}, {"1": 0.5, "2": 0.5}, {"1": 1.0})  # who answers, in each turn


def mixed(count: int, draw: random.Random) -> list[bytes]:
    """Requests of one item to a thousand, in every form."""
    found = []
    for _ in range(count):
        size = int(2 ** draw.triangular(0, 8, 0))
        some = draw.choices(PICTURES, k=size)
        form = draw.randrange(5)
        if form == 0:
            found.append(post(some[0], "image/png"))
        elif form == 1:
            items = [base64.b64encode(one).decode() for one in some]
            found.append(post(json.dumps({"items": items}).encode(), "application/json"))
        elif form == 2:
            parts = [b"--B\r\ncontent-disposition: form-data; filename=a\r\n\r\n" + one + b"\r\n" for one in some]
            found.append(post(b"".join(parts) + b"--B--\r\n", "multipart/form-data; boundary=B"))
        else:
            found.append(tensor(4 * size, form == 3, draw))
    return found


def tensor(rows: int, binary: bool, draw: random.Random) -> bytes:
    """An inference request of the protocol, its numbers as bytes or in JSON."""
    one: dict = {"name": "image", "shape": [rows, 8, 8, 1], "datatype": "UINT8"}
    data, more = draw.randbytes(rows * 64), ""
    if binary:
        head = json.dumps({"inputs": [{**one, "parameters": {"binary_data_size": rows * 64}}]}).encode()
        data, more = head + data, f"inference-header-content-length: {len(head)}\r\n"
    else:
        data = json.dumps({"inputs": [{**one, "data": [*data]}]}).encode()
    return post(data, "", more).replace(b"/predict", b"/v2/models/m/infer", 1)


async def called(call, count: int, draw: random.Random) -> None:
    """So many calls over gRPC, all answered well."""

    async def client() -> None:
        for _ in range(count // 8):
            rows = int(2 ** draw.triangular(0, 10, 0))
            answer = await call("ModelInfer", infer(bytes(rows * 64), None, (rows, 8, 8, 1), "UINT8", "image"))
            assert isinstance(answer, pb.ModelInferResponse), answer

    await asyncio.gather(*(client() for _ in range(8)))


def changed(one: Server, live: Live) -> None:
    """Let others answer, again and again; at the end who did at the beginning."""
    for shares in ROUTES:
        live.route(shares)
        end = time.monotonic() + 60
        while json.loads(one.ask(b"GET /models/m HTTP/1.1\r\nhost: localhost\r\n\r\n")[2])["shares"] != shares:
            assert time.monotonic() < end
            time.sleep(0.02)


async def turn(one: Server, live: Live, draw: random.Random) -> None:
    """TURN requests: three fifths are right, and answered well whatever happens beside them."""
    soon = [("grpc.initial_reconnect_backoff_ms", 20)]
    async with grpc.aio.insecure_channel(one.grpc, options=soon) as channel:
        await channel.channel_ready()
        call = caller(channel)
        right, wrong, *_ = await asyncio.gather(
            many(one.port, mixed(TURN * 9 // 20, draw), 8),
            many(one.port, fuzzed(TURN // 5, draw.getrandbits(30)), 8),
            called(call, TURN * 3 // 20, draw),
            test_rpc.fuzz(call, TURN // 5, PICTURE, draw),
            asyncio.to_thread(changed, one, live),
        )
    assert not [told for told in right if told[0] != 200]
    assert not [told for told in wrong if told[0] >= 500]


# seconds of the looks; requests a second, 0: what it can; MiB per 10,000: in a short time the allocator rules
@pytest.mark.parametrize(
    ("seconds", "rate", "most"),
    [pytest.param(20, 0, 32, marks=pytest.mark.slow), pytest.param(1800, 100, 1, marks=pytest.mark.proof)],
)
def test_long_use_leaves_nothing(digits_bundle, tmp_path, seconds, rate, most):
    live = Live.create(tmp_path / "live" / "m")
    for name in "12":
        assert live.add(marked(digits_bundle, tmp_path / name, int(name))) == name
    live.route({"1": 1.0})
    one = Server(live.path, "grpc=0", "threads=1", "sample=0.001", before=SOON)
    draw, found, begun = random.Random(0), [], 0.0
    try:
        while not found or found[-1][0] < seconds:
            start = time.monotonic()
            asyncio.run(turn(one, live, draw))
            begun = begun or time.monotonic() + seconds / 6  # when it is warm
            held = settled(one.process.pid)
            while rate and time.monotonic() < start + TURN / rate:
                time.sleep(0.1)
            if time.monotonic() > begun:
                found.append((time.monotonic() - begun, held))
                print(f"{found[-1][0]:.0f} s: {held}", flush=True)
    finally:
        code, told = one.stop()
    assert (code, "Traceback" in told) == (0, False)
    looks: list[Held] = [held for _, held in found]
    slope = np.polyfit(np.arange(len(looks)) * TURN, [held.memory for held in looks], 1)[0]
    print(f"{len(looks)} looks, {slope * 10_000 / 2**20:.2f} MiB per 10,000 requests; {looks[0]} -> {looks[-1]}")
    assert slope * 10_000 < most << 20
    assert {held.files for held in looks} == {looks[0].files}
    assert looks[-1].threads <= looks[0].threads + POOL
