"""Canaries in a service under load, on a machine that is as busy as it is: a bad one goes soon, a good one never."""

from __future__ import annotations

import asyncio
import time
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
