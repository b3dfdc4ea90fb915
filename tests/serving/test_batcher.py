"""Queues: what expired is not run, what is too much is refused, a batch waits only if asked to."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.predictor import Predictor
from deepen.preprocess.array import Array
from deepen.program import Program
from deepen.serving import batcher as batchers
from deepen.serving.batcher import Batcher, Full, Job, Late, Turn
from deepen.serving.options import Options
from deepen.serving.tally import Histogram, percentiles
from deepen.signature import Signature
from tests.serving.fakes import JSON, Model, ask, only, service


class Held(Model):
    """Notes the size of every batch, and holds its runs until it is let go."""

    def __init__(self, held: bool = True):
        super().__init__(["array"])
        self.sizes: list[int] = []
        self.entered, self.go = threading.Event(), threading.Event()
        if not held:
            self.go.set()

    def run(self, arrays):
        self.sizes.append(len(arrays["array"]))
        self.entered.set()
        assert self.go.wait(30)
        return super().run(arrays)


def predictor(model: Model) -> Predictor:
    signature = Signature({"x": Array((2,))}, {"y": Classes(("a", "b"))})
    return Predictor(signature, Program([{"do": "run", "graph": "g"}], {"g": model}))


def job(items: int = 1, seconds: float = 30.0, decoded: bool = True) -> Job:
    future = asyncio.get_running_loop().create_future()
    return Job({"array": np.ones((items, 2), np.float32)}, items, decoded, time.monotonic() + seconds, future)


def story(**settings):
    """A batcher whose model holds its first run; `body(batcher, model, seen)` is run in a loop."""

    def wrap(body):
        async def inside():
            model, seen = Held(), []
            batcher = Batcher(predictor(model), seen.append, **settings)
            try:
                await asyncio.wait_for(body(batcher, model, seen), 60)
            finally:
                model.go.set()
                batcher.close()

        asyncio.run(inside())

    return wrap


def test_what_queued_up_meanwhile_is_the_next_batch():
    @story(largest=8)
    async def _(batcher, model, seen):
        jobs = [job()]
        batcher.submit(jobs)
        await asyncio.to_thread(model.entered.wait, 30)
        more = [job(3), job(3), job(3), job(9)]
        for one in more:
            batcher.submit([one])
        assert batcher.waiting == 18
        model.go.set()
        found = await asyncio.gather(*(one.future for one in (*jobs, *more)))
        assert model.sizes == [1, 6, 3, 9]
        assert [len(result.answers) for result in found] == [1, 3, 3, 3, 9]
        assert [batch.items for batch in seen] == [1, 6, 3, 9]
        assert [batch.jobs for batch in seen] == [1, 2, 1, 1]


def test_what_expired_is_not_run():
    @story()
    async def _(batcher, model, seen):
        first = job()
        batcher.submit([first])
        await asyncio.to_thread(model.entered.wait, 30)
        late, gone, fine = job(5, seconds=-1), job(7), job(2)
        batcher.submit([late])
        batcher.submit([gone])
        batcher.submit([fine])
        gone.future.cancel()
        model.go.set()
        assert len((await fine.future).answers) == 2
        with pytest.raises(Late):
            await late.future
        assert model.sizes == [1, 2]


def test_a_full_queue_takes_a_request_whole_or_not_at_all():
    @story(queue=4)
    async def _(batcher, model, seen):
        first = job()
        batcher.submit([first])
        await asyncio.to_thread(model.entered.wait, 30)
        big = job(100)
        batcher.submit([big])  # an empty queue takes any request
        with pytest.raises(Full):
            batcher.submit([job(1), job(1)])
        assert batcher.waiting == 100
        model.go.set()
        await asyncio.gather(first.future, big.future)
        assert model.sizes == [1, 100]


def test_a_batch_waits_for_more_only_if_asked_to():
    @story(wait=1000.0, largest=4)
    async def _(batcher, model, seen):
        model.go.set()
        jobs = [job() for _ in range(4)]
        for one in jobs:
            batcher.submit([one])
            await asyncio.sleep(0)
        full = asyncio.gather(*(one.future for one in jobs))  # does not wait any longer
        await asyncio.wait_for(full, 10)
        assert model.sizes == [4]

    @story(wait=0.05)
    async def _(batcher, model, seen):
        model.go.set()
        one = job()
        start = time.monotonic()
        batcher.submit([one])
        await one.future
        assert time.monotonic() - start >= 0.05


def test_a_closed_batcher_takes_nothing_but_finishes():
    @story()
    async def _(batcher, model, seen):
        one = job()
        batcher.submit([one])
        await asyncio.to_thread(model.entered.wait, 30)
        batcher.close(0)
        with pytest.raises(Full):
            batcher.submit([job()])
        model.go.set()
        assert len((await one.future).answers) == 1


def test_a_full_batch_is_run_beside_another_and_the_older_run_is_the_one_that_is_told(monkeypatch):
    monkeypatch.setattr(batchers, "LONG", 1000.0)

    @story(runners=2, largest=4)
    async def _(batcher, model, seen):
        first = job()
        batcher.submit([first])
        await asyncio.to_thread(model.entered.wait, 30)
        since = batcher.busy_since
        assert 0 < since <= time.monotonic()
        model.entered.clear()
        more = [job(), job(), job(2)]
        for one in more:
            batcher.submit([one])
            await asyncio.sleep(0.005)  # looked at, and not enough yet
        await asyncio.to_thread(model.entered.wait, 10)  # beside the first
        assert model.sizes == [1, 4]
        assert batcher.busy_since == since
        rest = [job(3), job(1), job(2)]
        for one in rest:
            batcher.submit([one])
        assert batcher.waiting == 6  # no third run
        model.go.set()
        assert [len((await one.future).answers) for one in (first, *more, *rest)] == [1, 1, 1, 2, 3, 1, 2]
        assert (model.sizes[:2], sorted(model.sizes[2:])) == ([1, 4], [2, 4])
        assert sum(batch.items for batch in seen) == 11
        batcher.close()
        assert batcher.busy_since == 0


def test_parts_of_one_request_are_run_side_by_side(monkeypatch):
    monkeypatch.setattr(batchers, "LONG", 1000.0)

    @story(runners=2, largest=4)
    async def _(batcher, model, seen):
        parts = [job(4), job(4)]
        batcher.submit(parts)
        async with asyncio.timeout(20):
            while model.sizes != [4, 4]:
                await asyncio.sleep(0.001)
        model.go.set()
        await asyncio.gather(*(one.future for one in parts))


def test_less_than_a_full_batch_waits_for_the_run_under_way_unless_that_is_long(monkeypatch):
    for long, beside in ((1000.0, False), (0.01, True)):
        monkeypatch.setattr(batchers, "LONG", long)

        @story(runners=2)
        async def _(batcher, model, seen, beside=beside):
            held, model.go = model.go, threading.Event()
            stuck, go = job(), model.go
            batcher.submit([stuck])
            await asyncio.to_thread(model.entered.wait, 30)
            since = batcher.busy_since
            model.go = held  # of the runs from here on
            held.set()
            jobs = [job(), job()]
            for one in jobs:
                batcher.submit([one])
                if beside:
                    await one.future
                    assert batcher.busy_since == since
            await asyncio.sleep(0.02)  # who may begin has begun
            assert model.sizes == ([1, 1, 1] if beside else [1])
            assert not stuck.future.done()
            go.set()
            await asyncio.gather(*(one.future for one in (stuck, *jobs)))
            assert model.sizes == ([1, 1, 1] if beside else [1, 2])


@pytest.mark.parametrize(("queued", "wait"), [(5, 0.0), (5, 1000.0), (0, 0.0)])
def test_two_runners_answer_what_is_queued_at_the_end_and_then_are_gone(queued, wait):
    @story(runners=2, largest=2, wait=wait)
    async def _(batcher, model, seen):
        model.go.set()
        jobs = [job() for _ in range(queued)]
        for one in jobs:
            batcher.submit([one])
        batcher.close(5)
        assert not any(thread.is_alive() for thread in batcher._threads)
        assert len(await asyncio.gather(*(one.future for one in jobs))) == queued
        assert sum(model.sizes) == queued


def test_a_runner_whose_batch_another_took_waits_on():
    @story(runners=2, largest=2)
    async def _(batcher, model, seen):
        model.go.set()
        for _ in range(50):
            jobs = [job(), job(), job()]  # two are told of them, and one may find nothing left
            for one in jobs:
                batcher.submit([one])
            await asyncio.gather(*(one.future for one in jobs))
        assert all(thread.is_alive() for thread in batcher._threads)
        assert sum(model.sizes) == 150


def test_a_turn_drops_what_expired_too():
    async def inside():
        model, seen = Held(held=False), []
        turn = Turn(predictor(model), seen.append)
        late, fine = job(seconds=-1), job(2, decoded=False)
        turn.submit([late, fine])
        assert (await fine.future).answers == []
        with pytest.raises(Late):
            await late.future
        assert model.sizes == [2]

    asyncio.run(inside())


def test_outputs_that_cannot_be_told_apart_are_answered_alone():
    class Detector:
        inputs, outputs = ["array"], ["boxes", "scores", "placed"]

        def run(self, arrays):
            n = len(arrays["array"])
            return {
                "boxes": np.tile(np.float32([[0, 0, 4, 4]]), (n, 1, 1)),
                "scores": np.full((n, 1, 1), 0.9, np.float32),
                "placed": np.float32([[1, 1, 8, 8]] * n),
            }

    kind = Boxes(("a",))
    signature = Signature({"x": Array((2,))}, {"y": kind})
    steps = [{"do": "run", "graph": "g"}, *kind.steps]

    async def inside():
        turn = Turn(Predictor(signature, Program(steps, {"g": Detector()})), lambda batch: None)
        jobs = [job(), job(2)]
        turn.submit(jobs)
        found = [await one.future for one in jobs]
        assert [len(result.answers) for result in found] == [1, 2]
        assert [result.outputs["boxes"].shape[0] for result in found] == [1, 2]

    asyncio.run(inside())


# ---------------------------------------------------------------- deadlines as clients say them


def test_a_deadline_in_a_header_or_a_parameter():
    model = Held()
    core = service(Array((2,)), model=model)
    body = b'{"items": [[1, 2]]}'
    infer = b'{"inputs":[{"name":"array","shape":[1,2],"datatype":"FP32","data":[1,2]}],"parameters":{"timeout":20000}}'
    try:
        for path, sent, headers in (
            ("/predict", body, {"timeout": "0.02"}),
            ("/v2/models/m/infer", infer, {}),
            ("/v2/models/m/infer", infer, {"timeout": "30"}),
        ):
            response = ask(core, path, sent, **headers, **{k.replace("-", "_"): v for k, v in JSON.items()})
            assert (response.status, response.document["code"]) == (504, "request.deadline"), response.data
        for text in ("0", "-1", "nan", "inf", "1e9", "soon", ""):
            response = ask(core, "/predict", body, timeout=text)
            assert (response.status, response.document["code"]) == (400, "request.timeout")
        assert only(core).tally.errors["request.deadline"] == 3
        core.options = Options(watch=0, timeout=0.02)  # now it is the model that had all its time
        assert ask(core, "/predict", body, **{k.replace("-", "_"): v for k, v in JSON.items()}).status == 504
        assert only(core).tally.errors["model.late"] == 1
    finally:
        model.go.set()
        core.close()


def test_histograms_and_percentiles():
    found = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        found.add(value)
    assert (found.counts, found.count, found.sum) == ([2, 2, 1], 5, 14.0)
    assert percentiles([]) == {}
    assert percentiles(list(range(101))) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([7]) == {"p50": 7, "p95": 7, "p99": 7}
