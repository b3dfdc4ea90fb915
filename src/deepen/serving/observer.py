"""Samples of what was asked and answered, written into a live directory beside the service, never in its way.

`observe` takes references only. A thread encodes them, asks how sure the model was, and appends them in batches; what
comes faster than it writes is dropped and counted.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from deepen.errors import DeepenError
from deepen.serving.version import Part, Version
from deepen.store.live import Live, Sample, pack
from deepen.tensors import Arrays

MOST = 256  # items that may wait to be written
LONGEST = 256 << 10  # bytes of a raw item that is kept
PAUSE = 0.5  # seconds between two writes

log = logging.getLogger("deepen.serving")


class Seen(NamedTuple):
    """An answered part of a request, and which of its items were drawn.

    start, of  where the part begins among the items of the request, and how many those are
    """

    version: Version
    part: Part
    rows: Sequence[int]
    answers: Sequence[Any]
    latency: float
    id: str
    time: float
    start: int
    of: int


class Observer:
    """Draws a share of the items of one model and keeps them. `dropped`: items drawn but not written."""

    def __init__(self, live: Live, share: float) -> None:
        self.live, self.share, self.dropped = live, share, 0
        self._seen: deque[Seen] = deque()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="observer", daemon=True)
        self._thread.start()

    def draw(self, items: int) -> list[int]:
        """Which of so many items are recorded: each with the same chance."""
        return [row for row in range(items) if random.random() < self.share]

    def observe(self, seen: Seen) -> None:
        """Record what was drawn. Returns at once."""
        if self._seen and len(self._seen) + len(seen.rows) > MOST:  # one large part alone is taken
            self.dropped += len(seen.rows)
            return
        self._seen.append(seen)

    def close(self) -> None:
        """Write what is left."""
        self._ended.set()
        self._thread.join(5)

    def _work(self) -> None:
        while not self._ended.wait(PAUSE):
            self._write()
        self._write()

    def _write(self) -> None:
        samples: list[Sample] = []
        try:
            while self._seen:
                samples += self._samples(self._seen.popleft())
            if samples:
                self.live.keep(samples)
        except DeepenError as problem:  # a full disk stops the record, not the service
            self.dropped += len(samples)
            log.error("samples are lost: %s", problem)
        except Exception:
            self.dropped += len(samples)
            log.exception("samples are lost")

    def _samples(self, seen: Seen) -> list[Sample]:
        """The drawn items one by one; where they cannot be cut apart, all of them together."""
        tensors = seen.version.predictor.signature.tensors
        if all(tensor.join in {"stack", "pad"} for tensor in tensors):
            arrays = seen.part.arrays
            return [self._sample(seen, {n: a[r : r + 1] for n, a in arrays.items()}, r, r + 1) for r in seen.rows]
        return [self._sample(seen, seen.part.arrays, 0, seen.part.items)] if seen.rows else []

    def _sample(self, seen: Seen, arrays: Arrays, start: int, end: int) -> Sample:
        count = end - start
        share = self.share if count == 1 else 1 - (1 - self.share) ** count
        return Sample(
            time=seen.time,
            id=seen.id,
            version=seen.version.name,
            run=seen.version.run,
            inputs={name: pack(array) for name, array in arrays.items()},
            answers=list(seen.answers[start:end]),
            uncertainty=uncertainty(seen.version, arrays),
            latency=seen.latency,
            share=share,
            items=count,
            row=seen.start + start,
            of=seen.of,
            raw=_raw(seen, start) if count == 1 else None,
        )


def _raw(seen: Seen, row: int) -> Any:
    """An item as JSON has it; None where it need not be kept, or is too long."""
    if not seen.part.raw:
        return None
    found = seen.version.predictor.signature.dump(seen.part.raw[row])
    return found if len(msgspec.json.encode(found)) <= LONGEST else None


def uncertainty(version: Version, arrays: Arrays) -> list[float]:
    """How unsure the model is of items, by the kind of the answer that decides. Runs them once more, alone."""
    signature = version.predictor.signature
    outputs = version.predictor.run(arrays)
    if len(signature.outputs) > 1:
        first = next(iter(signature.outputs))
        outputs = {n.removeprefix(f"{first}."): a for n, a in outputs.items() if n.startswith(f"{first}.")}
    return [float(value) for value in signature.answer.uncertainty(outputs)]
