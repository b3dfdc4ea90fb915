"""Requests joined to batches without a timer: a single request never waits.

Batcher   one thread runs the model; whatever queued up meanwhile is the next batch
Turn      a model faster than a hand-over between threads: what one turn of the event loop brought is the next batch
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from deepen.predictor import Predictor
from deepen.tensors import Arrays

LARGEST = 32


class Full(Exception):
    """The queue is full: the service is asked for more than it can give."""


class Job(NamedTuple):
    arrays: Arrays
    items: int
    future: Any  # of threads or of asyncio: list of answers


def finish(predictor: Predictor, jobs: list[Job]) -> None:
    """Answer jobs in one batch; where that fails each on its own, so that none spoils its neighbours."""
    try:
        answers = predictor.decode(predictor.run(predictor.join([job.arrays for job in jobs])))
        if len(answers) != sum(job.items for job in jobs):
            raise RuntimeError(f"{len(answers)} answers for {sum(job.items for job in jobs)} items")
    except Exception as problem:
        if len(jobs) == 1:
            jobs[0].future.set_exception(problem)
            return
        for job in jobs:
            finish(predictor, [job])
        return
    at = 0
    for job in jobs:
        job.future.set_result(answers[at : at + job.items])
        at += job.items


def next_batch(jobs: deque[Job], largest: int) -> list[Job]:
    """Jobs off the front, at least one, else at most `largest` items together."""
    found: list[Job] = []
    items = 0
    while jobs and (not found or items + jobs[0].items <= largest):
        found.append(jobs.popleft())
        items += found[-1].items
    return found


class Turn:
    """Answers in the event loop itself, once all that has arrived in this turn is read."""

    def __init__(self, predictor: Predictor, largest: int = LARGEST) -> None:
        self.predictor, self.largest = predictor, largest
        self._jobs: deque[Job] = deque()

    def submit_all(self, parts: Sequence[tuple[Arrays, int]]) -> list[asyncio.Future[list[Any]]]:
        """The answers of the parts of one request, at the end of this turn."""
        loop = asyncio.get_running_loop()
        if not self._jobs:
            loop.call_soon(self._flush)
        jobs = [Job(arrays, items, loop.create_future()) for arrays, items in parts]
        self._jobs.extend(jobs)
        return [job.future for job in jobs]

    def _flush(self) -> None:
        while self._jobs:
            wanted = [job for job in next_batch(self._jobs, self.largest) if not job.future.cancelled()]
            if wanted:
                finish(self.predictor, wanted)


class Batcher:
    """Joins encoded requests to batches of at most `largest` items; at most `queue` items wait."""

    def __init__(self, predictor: Predictor, largest: int = LARGEST, queue: int = 2048) -> None:
        self.predictor, self.largest, self.queue = predictor, largest, queue
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._change = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, arrays: Arrays, items: int) -> Future[list[Any]]:
        """The answers of one part, later."""
        return self.submit_all([(arrays, items)])[0]

    def submit_all(self, parts: Sequence[tuple[Arrays, int]]) -> list[Future[list[Any]]]:
        """The answers of the parts of one request, later; all are taken or none."""
        jobs = [Job(arrays, items, Future()) for arrays, items in parts]
        total = sum(job.items for job in jobs)
        with self._change:
            if not self._open or (self._jobs and self._waiting + total > self.queue):
                raise Full
            self._jobs.extend(jobs)
            self._waiting += total
            self._change.notify()
        return [job.future for job in jobs]

    def close(self, seconds: float = 2.0) -> None:
        """Answer what is queued, then end; a run that takes longer is left behind."""
        with self._change:
            self._open = False
            self._change.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while jobs := self._next():
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if wanted:
                finish(self.predictor, wanted)

    def _next(self) -> list[Job]:
        """The jobs of the next batch; none once closed and empty."""
        with self._change:
            while not self._jobs and self._open:
                self._change.wait()
            jobs = next_batch(self._jobs, self.largest)
            self._waiting -= sum(job.items for job in jobs)
            return jobs
