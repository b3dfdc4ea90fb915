"""One thread runs the model; whatever queued up meanwhile is the next batch. No timer: a single request never waits."""

from __future__ import annotations

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
    future: Future[list[Any]]


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
                self._finish(wanted)

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

    def _finish(self, jobs: list[Job]) -> None:
        """Answer jobs in one batch; where that fails each on its own, so that none spoils its neighbours."""
        try:
            answers = self._answer([job.arrays for job in jobs])
            if len(answers) != sum(job.items for job in jobs):
                raise RuntimeError(f"{len(answers)} answers for {sum(job.items for job in jobs)} items")
        except Exception as problem:
            if len(jobs) == 1:
                jobs[0].future.set_exception(problem)
                return
            for job in jobs:
                self._finish([job])
            return
        at = 0
        for job in jobs:
            job.future.set_result(answers[at : at + job.items])
            at += job.items

    def _answer(self, parts: list[Arrays]) -> list[Any]:
        return self.predictor.decode(self.predictor.run(self.predictor.join(parts)))
