"""Golden items asked again in service: what is wrong is loaded anew, then goes, and a way back is always tried."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time

import numpy as np
import pytest

from deepen import bundle
from deepen.errors import DeepenError
from deepen.preprocess.image import png
from deepen.serving import batcher
from deepen.serving import canary as canaries
from deepen.serving import watch as watches
from deepen.serving.canary import Canary
from deepen.serving.core import Core
from deepen.serving.home import Fixed
from deepen.serving.model import Model
from deepen.serving.options import Options
from deepen.serving.version import Part
from deepen.serving.watch import Watch, fault
from deepen.store.live import Live
from tests.serving.fakes import ask

pytest.importorskip("onnxruntime")

PICTURE = png(np.zeros((8, 8), np.uint8))


@pytest.fixture
def started():
    cores = []

    def make(home, **options) -> Model:
        chosen = Options(**{"threads": 1, "watch": 0, **options})
        model = Model(home, chosen)
        model.start()
        cores.append(Core([model], chosen))
        model.core = cores[-1]
        return model

    yield make
    for core in cores:
        core.close()


def look(watch: Watch, times: int = 1) -> None:
    async def some() -> None:
        for _ in range(times):
            await watch.look()

    asyncio.run(some())


def lie(version) -> None:
    """From now on the model's answers are wrong."""
    run = version.predictor.program.run
    version.predictor.program.run = lambda arrays: {
        name: value[..., ::-1] if name == "probabilities" else value for name, value in run(arrays).items()
    }


def test_right_answers_change_nothing(started, digits_bundle):
    model = started(Fixed("m", [digits_bundle]))
    before = dict(model.versions)
    look(Watch(model), 3)
    assert model.versions == before
    assert model.ready


def test_files_that_vanish_take_no_sound_model_out(started, tmp_path, digits_bundle):
    place = shutil.copytree(digits_bundle, tmp_path / "b")
    model = started(Fixed("m", [place]))
    before = dict(model.versions)
    (place / "golden.json").unlink()
    look(Watch(model))
    shutil.rmtree(place)
    look(Watch(model))
    assert model.versions == before
    assert model.ready
    lie(model.versions["1"])  # they are asked all the same
    assert "golden answers differ" in asyncio.run(fault(model.versions["1"]))


def test_a_wrong_answer_loads_the_bundle_anew(started, digits_bundle):
    model = started(Fixed("m", [digits_bundle]))
    watch, old = Watch(model), model.versions["1"]
    lie(old)
    look(watch)
    assert model.versions["1"] is not old
    assert old.retired
    assert model.ready
    look(watch)
    assert not watch.strikes


def test_wrong_again_and_the_version_before_answers(started, tmp_path, digits_bundle):
    live = Live.create(tmp_path / "m")
    copy = shutil.copytree(digits_bundle, tmp_path / "copy")
    live.add(digits_bundle)
    bundle.seal(copy, run="next", runtime="onnx")
    live.add(copy)
    live.route({"1": 1})
    live.route({"2": 1})
    model = started(live)
    watch = Watch(model)
    lie(model.versions["2"])
    look(watch)
    assert list(model.versions) == ["2"]
    lie(model.versions["2"])
    look(watch)
    assert list(model.versions) == ["1"]
    assert model.ready
    assert "golden answers differ" in live.state().versions["2"].refused
    assert [e["what"] for e in live.events()][-2:] == ["loaded anew", "refused"]


def test_on_a_full_disk_wrong_answers_end_and_right_ones_come_back(started, tmp_path, digits_bundle, monkeypatch):
    live = Live.create(tmp_path / "m")
    live.add(digits_bundle)
    live.route({"1": 1})
    model = started(live)
    watch = Watch(model)

    def full(*given, **more):
        raise DeepenError("store.write", "m", "no space left", "a disk with space")

    monkeypatch.setattr(live, "event", full)
    monkeypatch.setattr(live, "refuse", full)
    old = model.versions["1"]
    lie(old)
    look(watch)
    assert model.versions["1"] is not old
    lie(model.versions["1"])
    look(watch)
    assert model.broken
    look(watch)
    assert model.ready


def test_where_nothing_is_left_it_says_503_until_the_bundle_is_whole(started, tmp_path, digits_bundle):
    place = shutil.copytree(digits_bundle, tmp_path / "b")
    model = started(Fixed("m", [place]))
    watch = Watch(model)
    graph = (place / "graph.onnx").read_bytes()
    (place / "graph.onnx").write_bytes(graph[:-1])
    lie(model.versions["1"])
    look(watch)
    assert not model.ready
    response = ask(model.core, "/predict", b"x")
    assert (response.status, response.document["code"]) == (503, "model.broken")
    assert response.headers["retry-after"]
    assert ask(model.core, "/health/ready").status == 503
    assert ask(model.core, "/docs").status == ask(model.core, "/metrics").status == 200
    look(watch)
    assert not model.ready
    (place / "graph.onnx").write_bytes(graph)
    look(watch)
    assert model.ready
    assert ask(model.core, "/predict", b"x").status == 422


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stuck_run_has_its_model_replaced_and_requests_are_not_kept_waiting(
    started, digits_bundle, monkeypatch, threads
):
    monkeypatch.setattr(watches, "LATE", 0.05)
    monkeypatch.setattr(batcher, "LONG", 0.01)
    model = started(Fixed("m", [digits_bundle]), timeout=0.2, threads=threads)
    old, stuck, entered = model.versions["1"], threading.Event(), threading.Event()
    run = old.predictor.run

    def hang(arrays):
        if not entered.is_set():
            entered.set()
            stuck.wait(20)
        return run(arrays)

    old.predictor.run = hang
    old.turn = None
    items, _ = bundle.golden(digits_bundle, old.predictor.signature)
    arrays = old.predictor.encode(items[:1])

    async def story() -> None:
        request = asyncio.create_task(old.ask([Part(arrays, 1)], True, time.monotonic() + 0.2, False))
        await asyncio.to_thread(entered.wait, 10)
        if threads > 1:  # the other run goes on
            await old.ask([Part(arrays, 1)], True, time.monotonic() + 20, False)
        async with asyncio.timeout(20):
            while not await fault(old):
                pass
        await Watch(model).look()
        assert model.versions["1"] is not old
        with pytest.raises(Exception) as late:
            await request
        assert type(late.value).__name__ == "Late"
        assert not await fault(model.versions["1"])

    asyncio.run(story())
    stuck.set()


def test_a_long_queue_is_no_fault(started, digits_bundle):
    model = started(Fixed("m", [digits_bundle]), queue=1)
    version = model.versions["1"]
    version.turn = None
    arrays = version.predictor.encode(bundle.golden(digits_bundle, version.predictor.signature)[0][:1])
    hold = threading.Event()
    run = version.predictor.run
    version.predictor.run = lambda arrays: hold.wait(20) and run(arrays)

    async def story() -> None:
        def one():
            return asyncio.create_task(version.ask([Part(arrays, 1)], True, time.monotonic() + 20, False))

        tasks = [one()]
        async with asyncio.timeout(20):
            while not version.batcher.busy_since:
                await asyncio.sleep(0.001)
            tasks.append(one())
            while not version.batcher.waiting:
                await asyncio.sleep(0.001)
            assert await fault(version) == ""
            hold.set()
            await asyncio.gather(*tasks)

    asyncio.run(story())


def shared(model, **shares: float) -> Canary:
    """The look at versions 1 and 2, which share the traffic from now on."""
    model.home.route({name[1:]: share for name, share in shares.items()})
    asyncio.run(model.follow())
    canary = Canary(Watch(model))
    look(canary)
    return canary


def dealt(model, times: int = 200) -> set[str]:
    return {model.pick().name for _ in range(times)}


def failures(model, name: str) -> int:
    """How many in a row it takes until a version is dealt no more."""
    count = 0
    while name not in model.held:
        model.failed(name)
        count += 1
    return count


@pytest.mark.parametrize(("share", "most"), [(0.05, 8), (0.5, 24), (0.8, 70)])
def test_a_canary_that_fails_is_dealt_no_more_at_once_then_loaded_anew_then_goes(started, digits_bundle, share, most):
    model = started(Fixed("m", [digits_bundle, digits_bundle]))
    canary, old = shared(model, v1=1 - share, v2=share), model.versions["2"]
    assert dealt(model) == {"1", "2"}
    assert failures(model, "2") == most
    assert dealt(model) == {"1"}
    assert model.pick("2") is old  # by name it answers still
    model.failed("2")  # what was under way
    look(canary)
    assert model.versions["2"] is not old
    assert dealt(model) == {"1", "2"}
    look(canary)
    assert failures(model, "2") == most
    model.failed("1")
    look(canary)
    assert model.route.shares == {"1": 1}
    assert "requests failed, surely more than of" in model.home.state().versions["2"].refused
    for _ in range(100):
        model.failed("1")  # alone: its golden answers decide
    look(canary)
    assert model.ready
    assert model.held == {}


def test_what_is_held_back_stays_so_while_another_is_loaded_anew_and_on_a_full_disk(
    started, digits_bundle, monkeypatch
):
    model = started(Fixed("m", [digits_bundle, digits_bundle, digits_bundle]))
    canary = shared(model, v1=1, v2=1, v3=1)
    failures(model, "2")
    asyncio.run(model.follow(frozenset({"1"})))
    assert dealt(model) == {"1", "3"}
    canary.anew.add("2")
    before = model.home.refuse

    def full(*given):
        raise DeepenError("store.write", "m", "no space left", "a disk with space")

    monkeypatch.setattr(model.home, "refuse", full)
    look(canary)
    assert (model.ready, dealt(model)) == (True, {"1", "3"})
    monkeypatch.setattr(model.home, "refuse", before)
    look(canary)
    assert set(model.route.shares) == {"1", "3"}


def test_a_version_alone_in_the_route_answers_though_it_was_held_back(started, digits_bundle):
    model = started(Fixed("m", [digits_bundle, digits_bundle]))
    canary = shared(model, v1=0.5, v2=0.5)
    failures(model, "2")
    model.home.route({"2": 1})
    asyncio.run(model.follow())
    look(canary)
    assert dealt(model) == {"2"}


def test_only_what_was_dealt_and_failed_by_the_version_counts(started, digits_bundle):
    model = started(Fixed("m", [digits_bundle, digits_bundle]))
    shared(model, v1=1, v2=10)
    model.dealt = {"2": 1.0}
    noted = []
    model.failed = noted.append
    two = model.versions["2"]
    two.turn = None
    for path, run, counts in (
        ("/predict", lambda arrays: 1 / 0, True),
        ("/predict", lambda arrays: {name: np.full((1, 10), np.nan) for name in ("scores", "probabilities")}, True),
        ("/models/m/versions/2/predict", lambda arrays: 1 / 0, False),
    ):
        two.predictor.run = run
        noted.clear()
        assert ask(model.core, path, PICTURE, content_type="image/png").status == 500
        assert noted == ["2"] * counts
    assert ask(model.core, "/predict", b"no picture", content_type="image/png").status == 422
    assert noted == []


def answer(model, name: str, seconds: float, count: int) -> None:
    for _ in range(count):
        model.versions[name].tally.answered(1, seconds)


@pytest.mark.parametrize(("slower", "left"), [(3.0, {"1": 1}), (0.0, {"1": 0.5, "2": 0.5})])
def test_a_canary_that_is_slow_goes_and_what_was_before_is_not_counted(started, digits_bundle, slower, left):
    model = started(Fixed("m", [digits_bundle, digits_bundle]), slower=slower)
    canary = Canary(Watch(model))
    look(canary)
    answer(model, "1", 0.9, 500)  # alone, on a busy machine
    model.home.route({"1": 0.5, "2": 0.5})
    asyncio.run(model.follow())
    look(canary)
    answer(model, "1", 0.02, 90)
    answer(model, "2", 0.055, 90)  # slower, but not by a factor of three
    look(canary)
    assert model.route.shares == {"1": 0.5, "2": 0.5}
    answer(model, "2", 0.2, 40)
    look(canary)
    assert model.route.shares == left
    assert ("up to 210 ms an item" in model.home.state().versions["2"].refused) == bool(slower)


def test_a_canary_that_becomes_slow_late_is_found_and_the_version_before_never_goes(
    started, digits_bundle, monkeypatch
):
    monkeypatch.setattr(canaries, "NEWEST", 50)
    model = started(Fixed("m", [digits_bundle, digits_bundle]))
    model.home.route({"1": 0.5, "2": 0.5})
    asyncio.run(model.follow())
    canary = Canary(Watch(model))
    look(canary)
    for _ in range(6):
        answer(model, "1", 0.5, 60)
        answer(model, "2", 0.02, 60)
        look(canary)
    assert model.route.shares == {"1": 0.5, "2": 0.5}
    answer(model, "1", 0.02, 30)
    answer(model, "2", 0.5, 30)
    look(canary)
    assert model.route.shares == {"1": 1}
