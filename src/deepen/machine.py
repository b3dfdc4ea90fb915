"""What this process may use of the machine. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from deepen.errors import DeepenError

T = TypeVar("T")


def cores() -> int:
    """Cores this process may run on: affinity and the container's CPU quota, at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2 here
    return count


def memory() -> int:
    """Bytes of memory free for this process: what the machine has left, within the container's limit."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for text in Path("/proc/meminfo").read_text().splitlines():
            if text.startswith("MemAvailable:"):
                free = int(text.split()[1]) * 1024
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            free = min(free, int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return max(free, 0)


def out_of_memory(problem: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a device or the host."""
    text = str(problem).lower()
    said = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(problem, MemoryError) or any(words in text for words in said)


def in_chunks(count: int, size: int, work: Callable[[int, int], T]) -> list[T]:
    """What `work(start, stop)` gives for `count` items, `size` at a time; where memory runs out, half as many from there on."""
    found: list[T] = []
    start = 0
    while start < count:
        stop = min(start + size, count)
        try:
            found.append(work(start, stop))
            start = stop
        except (RuntimeError, MemoryError) as problem:  # tried again outside: within, it would hold on to the memory
            if not out_of_memory(problem):
                raise
            if stop - start == 1:
                raise DeepenError(
                    "memory", "evaluation", "out of memory with a single item", "memory for one", "a smaller network"
                ) from problem
            size = (stop - start) // 2
    return found
