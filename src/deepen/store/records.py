"""Records that many may append and that go away by themselves: a directory of files of lines, oldest first.

A line is a batch of records, there whole or not at all. A file that is full, or spans a tenth of the days, is not
written on; files go, oldest first, when all together are too large or when the last was written to them too long ago: so
a record stays its days and a tenth at the most, as long as something is appended or `retire` is called. Every record is
an object with `time` (Unix seconds).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepen.store import durable, system

FILE = 4 << 20  # bytes after which a new file is begun
DAY = 86400
TICK = 1.0  # seconds; a file's time comes from the kernel's coarse clock, which is behind that of its records


class Records:
    """`most`: bytes kept at the most, beside the file being written; `days`: how long."""

    def __init__(self, path: Path, most: int = 256 << 20, days: float = 30) -> None:
        self.path, self.most, self.days = path, most, days
        self._begun: tuple[Path, float] | None = None  # the file being written, and when

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Add records as one batch: after a crash all of them are there or none. DeepenError where the disk fails."""
        if not records:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            files = self.files()
            last = files[-1] if files else None
            if last is None or last.stat().st_size >= FILE or self._spans(last):
                last = self.path / f"{int(last.stem) + 1 if last else 1:08d}.jsonl"
                self._begun = (last, time.time())
                self._retire(files)
            durable.append(last, {"time": records[-1]["time"], "records": list(records)})

    def _spans(self, file: Path) -> bool:
        """Whether a file has been written to for so long that the next one is begun."""
        if self._begun is None or self._begun[0] != file:  # another process began it
            self._begun = (file, min((batch[0]["time"] for batch in self._batches(file)), default=time.time()))
        return time.time() - self._begun[1] > self.days * DAY / 10

    def retire(self) -> None:
        """Let go of what is too old, also where nothing new comes."""
        if self.path.is_dir():
            with self._locked():
                self._retire(self.files())

    def read(self, since: float = 0) -> Iterator[dict[str, Any]]:
        """The records from a time on, in the order they were written."""
        for file in self.files():
            if _written(file) + TICK >= since:
                for batch in self._batches(file):
                    yield from (record for record in batch if record["time"] >= since)

    def last(self) -> dict[str, Any] | None:
        """The newest record."""
        found = (self._batches(file) for file in reversed(self.files()))
        return next((batches[-1][-1] for batches in found if batches), None)

    def erase(self, which: Callable[[dict[str, Any]], bool]) -> int:
        """Take out the records for which `which` holds, from the disk too; returns how many."""
        count = 0
        if not self.path.is_dir():
            return 0
        with self._locked():
            for file in self.files():
                batches = self._batches(file)
                kept = [[record for record in batch if not which(record)] for batch in batches]
                gone = sum(map(len, batches)) - sum(map(len, kept))
                if gone:
                    lines = [durable.line({"time": batch[-1]["time"], "records": batch}) for batch in kept if batch]
                    written = _written(file)
                    durable.replace(file, b"".join(lines))
                    os.utime(file, (written, written))  # what is left grows no younger by it
                count += gone
        return count

    def files(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.path.glob("[0-9]*.jsonl"))

    def _batches(self, file: Path) -> list[list[dict[str, Any]]]:
        return [line["records"] for line in durable.lines(file)[0]]

    def _retire(self, files: Sequence[Path]) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        total = 0
        oldest = time.time() - self.days * DAY
        for file in reversed(files):
            about = file.stat()
            total += about.st_size
            if total > self.most or about.st_mtime < oldest:
                with contextlib.suppress(OSError):  # gone next time
                    system.unlink(file)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The only writer; the kernel frees a dead owner's lock."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _written(file: Path) -> float:
    """When a file was written last, in Unix seconds: no record in it is newer by a TICK. 0 where it has gone since."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
