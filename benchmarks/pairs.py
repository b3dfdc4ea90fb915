"""The driver's side: contenders as processes that train in turn, A B C A B C..., and ratios between them.

A pair is one process of each contender, started anew; its ratio is taken over the sum of all its turns but the first
(which warms up). The median over the pairs is the figure, the smallest and the largest are its spread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.turns import MARK

ROOT = Path(__file__).parents[1]
PATH = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
LONGEST = 600  # seconds a contender may live


@dataclass
class Row:
    """One line of the report: a figure, what was aimed at (empty: nothing), and whether it was reached."""

    claim: str
    values: list[float]
    unit: str
    goal: str
    met: Callable[[float], bool]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def cells(self) -> list[str]:
        """claim, figure, spread, n, goal, reached, note."""
        values = [f"{v:.3g}" if v < 10 else f"{v:.1f}" for v in (self.median, min(self.values), max(self.values))]
        reached = "" if not self.goal else "yes" if self.met(self.median) else "**no**"
        unit = f" {self.unit}".replace(" x", "x")
        return [
            self.claim,
            values[0] + unit,
            f"{values[1]} to {values[2]}",
            str(len(self.values)),
            self.goal,
            reached,
            self.note,
        ]


class Contender:
    """A process that trains when told to, with the settings in `more` in its environment (empty: taken out of it)."""

    def __init__(self, name: str, task: dict[str, int], python: str = sys.executable, **more: str) -> None:
        environment = {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1", **more}
        environment = {key: value for key, value in environment.items() if value}
        words = [text for key, value in task.items() for text in (f"--{key}", str(value))]
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed in close)
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.contenders.{name}", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        self.timer = threading.Timer(LONGEST, self.process.kill)
        self.timer.daemon = True
        self.timer.start()

    def begin(self) -> None:
        """Give it the turn."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next report."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        self.errors.seek(0)
        raise SystemExit(f"{self.name} ended early:\n{self.errors.read()[-2000:]}")

    def end(self) -> dict[str, Any]:
        """Let it finish; its last report."""
        self.begin()
        report = self.hear()
        self.close()
        return report

    def close(self) -> None:
        self.timer.cancel()
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def alternate(contenders: list[Contender], turns: int) -> dict[str, dict[str, Any]]:
    """One pair: every contender's CPU and wall seconds over all turns but the first, and its last report."""
    sums: dict[str, dict[str, Any]] = {c.name: {"cpu": 0.0, "wall": 0.0, "turns": []} for c in contenders}
    try:
        for turn in range(turns):
            for contender in contenders[:: 1 if turn % 2 else -1]:
                contender.begin()
                report = contender.hear()
                sums[contender.name]["turns"].append(report["cpu"])
                if turn:
                    for key in ("cpu", "wall"):
                        sums[contender.name][key] += report[key]
        return {c.name: {**sums[c.name], **c.end()} for c in contenders}
    finally:
        for contender in contenders:
            contender.close()


def shown(values: list[float]) -> str:
    """Median and spread as text."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def peers() -> str | None:
    """The Python that has the peers ($DEEPEN_PEERS)."""
    path = os.environ.get("DEEPEN_PEERS")
    return path if path and Path(path).is_file() else None


def machine() -> str:
    """Processor, cores, load and versions."""
    import platform
    from importlib.metadata import version

    name = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "numpy", "pillow"))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{name}, {len(os.sched_getaffinity(0))} cores, load {load}; Python {platform.python_version()}, {packages}"
