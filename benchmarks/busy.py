"""A busy machine: one of the cores is taken by another job; wall speed as it comes out of the box."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.pairs import Contender, Row, alternate

BLOCK, TURNS = 15, 6
SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


def rows(pairs: int) -> list[Row]:
    """deepen as installed against the same loop by hand on torch's default threads; LeNet-5, batch 128."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("  one core only: skipped")
        return []
    values = []
    for seed in range(pairs):
        task = {"batch": 128, "steps": BLOCK * TURNS, "block": BLOCK, "threads": 0, "seed": seed}
        contenders = [Contender(name, task, OMP_NUM_THREADS="", OMP_WAIT_POLICY="") for name in ("engine", "hand")]
        other = subprocess.Popen([sys.executable, "-c", SPIN, str(cores[0])])
        try:
            result = alternate(contenders, TURNS)
        finally:
            other.kill()
            other.wait()
        values.append(result["hand"]["wall"] / result["engine"]["wall"])
    load = f"{len(cores)} cores, load {os.getloadavg()[0]:.1f} at the end"
    return [Row("one core taken: wall speed over the default torch loop", values, "x", ">= 5x", lambda v: v >= 5, load)]
