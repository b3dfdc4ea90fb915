"""Start-up: CPU seconds to the first training step, and what the command line costs before it does anything."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import work
from benchmarks.pairs import PATH, ROOT, Row

HEAVY = ("torch._dynamo", "torch._inductor", "sympy", "scipy", "sklearn", "pandas")


def rows(pairs: int) -> list[Row]:
    """Everything in alternation; a pair is one run of each."""
    deepen = ["-m", "deepen"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "digits.npz"
        data = work.pictures(2000)
        np.savez(file, x_train=data.x, y_train=data.y, x_test=data.test_x, y_test=data.test_y)
        first = [str(ROOT / "benchmarks" / "contenders" / "first_step.py"), str(file), folder, *HEAVY]
        torch = [(spent(first), spent(["-c", "import torch"])) for _ in range(pairs)]
    tools = [(spent([*deepen, "--help"]), spent([*deepen, "list"]), spent(["-c", "pass"])) for _ in range(5 * pairs)]
    help_, list_ = ([row[i] / row[2] for row in tools] for i in (0, 1))
    return [
        Row("CPU time to the first training step beyond `import torch`", [a - b for a, b in torch], "s", "<= 1 s",
            lambda v: v <= 1, f"none of {', '.join(HEAVY)} loaded"),
        Row("CPU time of `deepen --help` over `python -c pass`", help_, "x", "<= 5x", lambda v: v <= 5, "no torch, NumPy, YAML"),
        Row("CPU time of `deepen list` over `python -c pass`", list_, "x", "<= 5x", lambda v: v <= 5, "no torch, NumPy, YAML"),
    ]  # fmt: skip


def spent(words: list[str]) -> float:
    """CPU seconds of one run of this Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
