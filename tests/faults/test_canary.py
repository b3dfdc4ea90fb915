"""Canaries in a service under load, on a machine that is as busy as it is: a bad one goes soon, a good one never."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepen.preprocess.image import png
from deepen.serving import background
from deepen.serving.core import Core
from deepen.serving.home import Fixed
from deepen.serving.messages import Request
from deepen.serving.model import Model
from deepen.serving.options import Options
from deepen.serving.version import Version
from tests.serving.test_http import Server, post

pytest.importorskip("onnxruntime")
CLIENTS = 8
PICTURE = png(np.random.default_rng(0).integers(0, 17, (8, 8), np.uint8))
Run = Callable[[Any], Any]


def fails(run: Run) -> Run:
    return lambda arrays: 1 / 0


def answers_nothing(run: Run) -> Run:
    return lambda arrays: {name: np.full_like(value, np.nan) for name, value in run(arrays).items()}


def is_slow(run: Run) -> Run:
    return lambda arrays: (time.sleep(0.1), run(arrays))[1]


def stood(
    monkeypatch: Any, bundle: Path, fault: Callable[[Run], Run] | None, seconds: float
) -> tuple[bool, int, float]:
    """Whether a canary stood so long, how many requests it had, and the seconds until it went."""
    load = Version.load.__func__  # type: ignore[attr-defined]

    def planted(cls: Any, name: str, *given: Any) -> Version:
        """The second version is always bad, also when it is loaded anew."""
        version = load(cls, name, *given)
        if name == "2" and fault is not None:
            version.turn = None
            version.predictor.run = fault(version.predictor.run)
        return version

    monkeypatch.setattr(Version, "load", classmethod(planted))
    options = Options(threads=1, watch=0)
    model = Model(Fixed("m", [bundle, bundle]), options)
    model.start()
    core = Core([model], options)
    begun = 0.0

    async def client() -> None:
        while len(model.route.shares) > 1 and time.monotonic() - begun < seconds:
            await core.handle(Request("POST", "/predict", {"content-type": "image/png"}, PICTURE))
            await asyncio.sleep(0.02)

    async def story() -> None:
        nonlocal begun
        model.home.route({"1": 0.5, "2": 0.5})
        await model.follow()
        begun = time.monotonic()
        beside = [asyncio.create_task(job()) for job in background.tasks(core)]
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        for task in beside:
            task.cancel()

    asyncio.run(story())
    core.close()
    tally = model.tallies["2"]
    return len(model.route.shares) > 1, tally.latency.count + sum(tally.errors.values()), time.monotonic() - begun


@pytest.mark.slow
def test_of_thirty_bad_canaries_all_go_within_a_hundred_requests_or_ten_seconds(monkeypatch, digits_bundle):
    for fault in (fails, answers_nothing, is_slow) * 10:
        with monkeypatch.context() as patch:
            stays, requests, seconds = stood(patch, digits_bundle, fault, 30)
        print(f"{fault.__name__:<16} {requests:>5} requests, {seconds:.1f} s")
        assert not stays
        assert requests <= 100 or seconds <= 10


@pytest.mark.slow
def test_of_thirty_good_canaries_none_goes(monkeypatch, digits_bundle):
    for _ in range(30):
        with monkeypatch.context() as patch:
            stays, requests, _ = stood(patch, digits_bundle, None, 5)
        assert stays
        assert requests > 50


PLANTED = """
import os
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody reads the log here
from deepen.serving.version import Version
load = Version.load.__func__
def planted(cls, name, *given):
    version = load(cls, name, *given)
    if name == '2':
        run = version.predictor.run
        version.predictor.run = lambda arrays: {fault}
    return version
Version.load = classmethod(planted)
"""
CRASHES = "1 / 0"
AT_TIMES = "1 / 0 if __import__('random').random() < 0.3 else run(arrays)"
NOT_FINITE = "{name: value * float('nan') for name, value in run(arrays).items()}"


async def asked(server: Server, body: bytes, seconds: float) -> Counter[int]:
    """What 64 clients are answered who ask without a pause, from the moment two versions share the traffic."""
    told: Counter[int] = Counter()
    end = time.monotonic() + seconds
    route = json.dumps({"shares": {"1": 0.5, "2": 0.5}}).encode()
    change = post(route, "application/json").replace(b"/predict", b"/models/m/route")

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while time.monotonic() < end:
            writer.write(body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r")[0]))
            told[int(head.split()[1])] += 1
        writer.close()

    assert (await asyncio.to_thread(server.ask, change))[0] == 200
    await asyncio.gather(*(client() for _ in range(64)))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("fault", [CRASHES, AT_TIMES, NOT_FINITE])
def test_over_sockets_at_full_rate_a_canary_fails_a_hundred_requests_at_the_most(digits_bundle, fault):
    code = PLANTED.replace("{fault}", fault)
    for _ in range(3):
        server = Server(digits_bundle, str(digits_bundle), "name=m", "threads=1", before=f"exec({code!r})")
        try:
            told = asyncio.run(asked(server, post(PICTURE, "image/png"), 10))
            shares = json.loads(server.ask(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")[2])["shares"]
        finally:
            server.stop()
        print(fault, dict(told))
        assert shares == {"1": 1.0}
        assert set(told) == {200, 500}
        assert told[500] <= 100
        assert told[200] > 1000
