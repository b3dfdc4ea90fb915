"""Memory: the most that is resident in a training from a file of arrays, against the same by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import work
from benchmarks.pairs import Contender, Row

COUNT = 12_800


def rows(pairs: int) -> list[Row]:
    """`deepen.train` (checkpoints, validation and all) and a hand-written loop, 100 steps of 128 from the same file."""
    values = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.npz"
        data = work.pictures(COUNT)
        np.savez(file, x_train=data.x, y_train=data.y, x_test=data.test_x, y_test=data.test_y)
        for _ in range(pairs):
            peaks = []
            for name in ("memory_engine", "memory_hand"):
                contender = Contender(name, {}, BENCHMARK_FILE=str(file))
                peaks.append(contender.hear()["peak_mib"])
                contender.close()
            values.append(peaks[0] - peaks[1])
    return [Row("peak memory of a training beyond the hand-written loop's", values, "MiB", "<= 30 MiB", lambda v: v <= 30,
                f"by hand {peaks[1]:.0f} MiB, of which torch is most")]  # fmt: skip
