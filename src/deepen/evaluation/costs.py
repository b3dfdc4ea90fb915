"""What a model costs: parameters, multiply-adds, size on disk, time per item on this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepen.machine import out_of_memory

BATCHES = (1, 64)
REPEATS = 30
SECONDS = 1.0  # at most, for each batch size
LONGEST = 60.0  # seconds: a batch that would take longer, as one in which texts are written may, is not timed


def costs(run: Any, predictor: Any, items: Sequence[Any]) -> dict[str, Any]:
    """Counts and times; `seconds` are per item, from the raw item to the answer."""
    import torch

    from deepen.nn.multiply_adds import multiply_adds
    from deepen.training.finished import MODEL

    runtime = predictor.program.runtimes["torch"]
    arrays, network = predictor.encode(items[:1]), runtime.packaged
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": multiply_adds(network, *(torch.from_numpy(arrays[name]) for name in runtime.inputs)),
        "bytes": (run.path / MODEL).stat().st_size,
        "machine": f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads",
        "seconds": {str(b): times for b in BATCHES if (times := _time(predictor, items, b))},
    }


def _time(predictor: Any, items: Sequence[Any], batch: int) -> dict[str, float] | None:
    """Median and 95th percentile per item over at most REPEATS calls; None where a batch is too long or too large.

    Few items are repeated to fill a batch.
    """
    some = [items[i % len(items)] for i in range(batch)]
    try:
        start = time.perf_counter()
        predictor(some[:1], 1)
        if (time.perf_counter() - start) * batch > LONGEST:
            return None
        predictor(some, batch)  # the first call allocates
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        return None
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < REPEATS and (len(taken) < 3 or time.perf_counter() - start < SECONDS):
        before = time.perf_counter()
        predictor(some, batch)
        taken.append((time.perf_counter() - before) / batch)
    return {"median": float(np.median(taken)), "p95": float(np.quantile(taken, 0.95)), "calls": len(taken)}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
