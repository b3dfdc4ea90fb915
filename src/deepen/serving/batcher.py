"""One thread runs the model; whatever queued up meanwhile is the next batch. No timer: a single request never waits."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any, NamedTuple

from deepen.predictor import Predictor
from deepen.tensors import Arrays


class Full(Exception):
    """The queue is full: the service is asked for more than it can give."""


class Job(NamedTuple):
    arrays: Arrays
    items: int
    future: Future[list[Any]]


class Batcher:
    """Joins encoded requests to batches of at most `largest` items; at most `queue` items wait."""

    def __init__(self, predictor: Predictor, largest: int = 32, queue: int = 1024) -> None:
        self.predictor, self.largest, self.queue = predictor, largest, queue
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._change = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, arrays: Arrays, items: int) -> Future[list[Any]]:
        """The answers of one request, later."""
        job = Job(arrays, items, Future())
        with self._change:
            if self._waiting + items > self.queue and self._jobs:
                raise Full
            self._jobs.append(job)
            self._waiting += items
            self._change.notify()
        return job.future

    def close(self) -> None:
        """Answer what is queued, then end."""
        with self._change:
            self._open = False
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            try:
                answers = self._answer([job.arrays for job in jobs])
            except BaseException as problem:
                for job in jobs:
                    if not job.future.cancelled():
                        job.future.set_exception(problem)
                continue
            at = 0
            for job in jobs:
                if not job.future.cancelled():
                    job.future.set_result(answers[at : at + job.items])
                at += job.items

    def _next(self) -> list[Job]:
        """The jobs of the next batch; none once closed and empty."""
        with self._change:
            while not self._jobs and self._open:
                self._change.wait()
            jobs: list[Job] = []
            items = 0
            while self._jobs and (not jobs or items + self._jobs[0].items <= self.largest):
                jobs.append(self._jobs.popleft())
                items += jobs[-1].items
            self._waiting -= items
            return jobs

    def _answer(self, parts: list[Arrays]) -> list[Any]:
        return self.predictor.decode(self.predictor.run(self.predictor.join(parts)))
