"""Requests joined to batches without a timer: a single request never waits.

Batcher   a thread runs the model; whatever queued up meanwhile is the next batch, and a full one need not wait for that
Turn      a model faster than a hand-over between threads: what one turn of the event loop brought is the next batch

Both are given jobs in the event loop and answer them there. What expired while it waited is not run.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from deepen.predictor import Predictor
from deepen.serving.options import LARGEST
from deepen.tensors import Arrays

LONG = 1.0  # seconds of a run after which another begins beside it with however little waits


class Full(Exception):
    """The queue is full: the service is asked for more than it can give."""


class Late(Exception):
    """The time a request had is over."""


class Result(NamedTuple):
    """The graph's outputs for the items of a job; their answers, where those were asked for.

    finite  the outputs are known to be so: looked at once for all of a batch, it costs next to nothing
    """

    outputs: Arrays
    answers: list[Any]
    finite: bool = False


@dataclass(slots=True)
class Job:
    """Encoded items that are answered together. `decoded`: as answers, not only as arrays; `deadline`: monotonic."""

    arrays: Arrays
    items: int
    decoded: bool
    deadline: float
    future: asyncio.Future[Result]
    since: float = 0.0


class Batch(NamedTuple):
    """What one run of the model took, for the counters."""

    items: int
    seconds: float
    waited: float  # seconds, of all its jobs together
    jobs: int


Count = Callable[[Batch], None]


def finish(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | Exception]:
    """Answer jobs in one batch; where that fails each on its own, so that none spoils its neighbours."""
    names = [t.name for t in predictor.signature.output_tensors]
    try:
        if len(jobs) > 1 and not all(t.shape[:1] == ("batch",) for t in predictor.signature.output_tensors):
            raise NotImplementedError("outputs that cannot be told apart by item")
        known = predictor.run(predictor.join([job.arrays for job in jobs]))
        outputs = {name: known[name] for name in names}
        items = sum(job.items for job in jobs)
        if len(jobs) > 1 and any(len(array) != items for array in outputs.values()):
            raise RuntimeError(f"outputs of {', '.join(str(a.shape) for a in outputs.values())} for {items} items")
        answers = predictor.decode(known) if any(job.decoded for job in jobs) else []
        if answers and len(answers) != items:
            raise RuntimeError(f"{len(answers)} answers for {items} items")
    except Exception as problem:
        return [problem] if len(jobs) == 1 else [finish(predictor, [job])[0] for job in jobs]
    finite = not answers and all(a.dtype.kind != "f" or bool(np.isfinite(a).all()) for a in outputs.values())
    if len(jobs) == 1:
        return [Result(outputs, answers, finite)]
    found: list[Result | Exception] = []
    at = 0
    for job in jobs:
        end = at + job.items
        found.append(Result({name: array[at:end] for name, array in outputs.items()}, answers[at:end], finite))
        at = end
    return found


def next_batch(jobs: deque[Job], largest: int) -> list[Job]:
    """Jobs off the front, at least one, else at most `largest` items together."""
    found: list[Job] = []
    items = 0
    while jobs and (not found or items + jobs[0].items <= largest):
        found.append(jobs.popleft())
        items += found[-1].items
    return found


def run(predictor: Predictor, jobs: Sequence[Job]) -> tuple[list[tuple[Job, Result | Exception]], Batch | None]:
    """What becomes of the jobs of a batch; those nobody waits for any more are left out of it."""
    start = time.monotonic()
    waiting = [job for job in jobs if not job.future.done()]
    wanted = [job for job in waiting if job.deadline > start]
    found: list[tuple[Job, Result | Exception]] = [(job, Late()) for job in waiting if job.deadline <= start]
    if not wanted:
        return found, None
    found += zip(wanted, finish(predictor, wanted))
    seconds = time.monotonic() - start
    waited = sum(start - job.since for job in wanted)
    return found, Batch(sum(job.items for job in wanted), seconds, waited, len(wanted))


def deliver(found: Sequence[tuple[Job, Result | Exception]], batch: Batch | None, count: Count) -> None:
    """Tell those who wait, in the event loop."""
    for job, result in found:
        if job.future.done():
            continue
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
    if batch is not None:
        count(batch)


class Turn:
    """Answers in the event loop itself, once all that has arrived in this turn is read."""

    def __init__(self, predictor: Predictor, count: Count, largest: int = LARGEST) -> None:
        self.predictor, self.count, self.largest = predictor, count, largest
        self._jobs: deque[Job] = deque()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Answer jobs at the end of this turn."""
        now = time.monotonic()
        for job in jobs:
            job.since = now
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._flush)
        self._jobs.extend(jobs)

    def _flush(self) -> None:
        while self._jobs:
            deliver(*run(self.predictor, next_batch(self._jobs, self.largest)), self.count)


class Batcher:
    """Joins jobs to batches of at most `largest` items; at most `queue` items wait.

    wait     seconds a batch that is not full waits for more
    runners  batches under way at once. A run that shares its work among cores halts where one of them is taken by
             another process; a second run goes on meanwhile. One begins beside another only with a full batch, or where
             that other goes on for long: smaller batches cost more
    """

    def __init__(
        self, predictor: Predictor, count: Count, largest: int = LARGEST, wait: float = 0, queue: int = 2048,
        runners: int = 1,
    ) -> None:  # fmt: skip
        self.predictor, self.count, self.largest, self.wait, self.queue = predictor, count, largest, wait, queue
        self.waiting = 0  # items
        self._begun = [0.0] * runners  # when the run of each that goes on began; 0 between runs
        self._jobs: deque[Job] = deque()
        self._change = threading.Condition()
        self._open = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [
            threading.Thread(target=self._work, args=(which,), name="model", daemon=True) for which in range(runners)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def busy_since(self) -> float:
        """When the oldest run that goes on began; 0 where there is none."""
        return min(filter(None, self._begun), default=0.0)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Answer the jobs of one request; all are taken or none."""
        now, total = time.monotonic(), sum(job.items for job in jobs)
        for job in jobs:
            job.since = now
        self._loop = asyncio.get_running_loop()
        with self._change:
            if not self._open or (self._jobs and self.waiting + total > self.queue):
                raise Full
            first = not self._jobs
            self._jobs.extend(jobs)
            self.waiting += total
            if first or self.waiting >= self.largest:
                self._change.notify(1 + self.waiting // self.largest)

    def close(self, seconds: float = 2.0) -> None:
        """Answer what is queued, then end; a run that takes longer is left behind."""
        with self._change:
            self._open = False
            self._change.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self, which: int) -> None:
        while jobs := self._next(which):
            assert self._loop
            found, batch = run(self.predictor, jobs)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(deliver, found, batch, self.count)

    def _next(self, which: int) -> list[Job]:
        """The jobs of a runner's next batch, which begins now; none once closed and empty."""
        with self._change:
            self._begun[which] = 0.0
            while self._open and (left := self._left()) != 0:
                self._change.wait(left)
            jobs = next_batch(self._jobs, self.largest)
            self.waiting -= sum(job.items for job in jobs)
            self._begun[which] = time.monotonic() if jobs else 0.0
            return jobs

    def _left(self) -> float | None:
        """Seconds until the next batch is due, if nothing changes; None where there are no jobs."""
        if not self._jobs:
            return None
        if self.waiting >= self.largest:
            return 0.0
        due = self.busy_since + LONG if self.busy_since else self._jobs[0].since + self.wait
        return max(0.0, due - time.monotonic())
