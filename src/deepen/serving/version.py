"""One bundle in service: its model, its queue, its counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deepen import bundle
from deepen.machine import cores
from deepen.predictor import Predictor
from deepen.serving import oip
from deepen.serving.batcher import Batcher, Job, Late, Result, Turn
from deepen.serving.options import Options
from deepen.serving.tally import Tally
from deepen.tensors import Arrays

SMALL_MODEL = 0.3e-3  # seconds: a model that answers faster loses more by sharing work between cores than it gains
AT_ONCE = 2  # batches under way, of a model that shares its work between cores: where one halts, the other goes on


class Part(NamedTuple):
    """Encoded items of a request, at most a batch of them; `raw`: the same as they came, where they are to be kept."""

    arrays: Arrays
    items: int
    raw: Sequence[Any] = ()


class Version:
    """A predictor with a queue.

    active  requests that are being answered
    golden  items and the answers they must get, as they were when it was loaded: the files may go
    """

    def __init__(
        self, name: str, path: Path, manifest: dict[str, Any], predictor: Predictor, options: Options, tally: Tally,
        threads: int = 1, golden: tuple[list[Any], list[Any]] = ([], []),
    ) -> None:  # fmt: skip
        self.name, self.path, self.manifest, self.predictor, self.tally = name, path, manifest, predictor, tally
        self.reader = oip.Reader(predictor.signature)
        self.active, self.golden = 0, golden
        self.retired = False
        self.batcher = Batcher(
            predictor, self.tally.ran, options.max_batch_size, options.max_wait, options.queue, min(AT_ONCE, threads)
        )
        self.turn: Turn | None = None  # set where the model is small
        self.largest = options.max_batch_size

    @classmethod
    def load(cls, name: str, path: Path, options: Options, tally: Tally) -> Version:
        """A bundle whose golden items get their stored answers; DeepenError where they do not."""
        manifest, threads = bundle.manifest(path), options.threads or 1
        predictor = bundle.predictor(path, threads, manifest)
        try:
            golden = bundle.golden(path, predictor.signature)
            small = _seconds(golden[0], predictor) <= SMALL_MODEL
        except Exception:
            bundle.prove(path, predictor)  # says what is wrong with it
            raise
        if not small and options.threads is None and cores() > 1:
            threads = cores()
            predictor = bundle.predictor(path, threads, manifest)
        bundle.prove(path, predictor)
        made = cls(name, path, manifest, predictor, options, tally, threads, golden)
        if small and not options.max_wait:
            made.turn = Turn(predictor, made.tally.ran, options.max_batch_size)
        return made

    @property
    def run(self) -> str:
        return str(self.manifest["run"])

    async def ask(self, parts: Sequence[Part], decoded: bool, deadline: float, inline: bool) -> list[Result]:
        """What the model says to encoded parts of a request; Late after `deadline` (monotonic).

        inline  they were cheap to read: a small model may answer in the event loop itself
        """
        loop = asyncio.get_running_loop()
        jobs = [Job(arrays, items, decoded, deadline, loop.create_future()) for arrays, items, _ in parts]
        if self.turn is not None and inline:
            self.turn.submit(jobs)  # answered or late within this turn of the loop
            return await _all(jobs)
        self.batcher.submit(jobs)
        timer = loop.call_later(max(0.0, deadline - time.monotonic()), _expire, jobs)
        try:
            return await _all(jobs)
        finally:
            timer.cancel()

    def release(self) -> None:
        """A request is answered; the last one of a version that is out of service closes it."""
        self.active -= 1
        if self.retired and not self.active:
            self.close()

    def retire(self) -> None:
        """Take no new requests; end when those under way are answered."""
        self.retired = True
        if not self.active:
            self.close()

    def close(self, seconds: float = 0.0) -> None:
        self.batcher.close(seconds)


async def _all(jobs: Sequence[Job]) -> list[Result]:
    if len(jobs) == 1:
        return [await jobs[0].future]
    return await asyncio.gather(*(job.future for job in jobs))


def _expire(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(Late())


def _seconds(items: list[Any], predictor: Predictor) -> float:
    """What one item takes the model, at best of 20; of fewer where it is surely not small."""
    arrays = predictor.encode(items[:1])
    times: list[float] = []
    while len(times) < 20 and not (len(times) >= 3 and min(times) > 3 * SMALL_MODEL):
        start = time.perf_counter()
        predictor.decode(predictor.run(arrays))
        times.append(time.perf_counter() - start)
        if times[-1] > 100 * SMALL_MODEL:  # a text is being written
            break
    return min(times)
