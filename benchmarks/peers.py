"""The same work done as each peer's documentation shows it: samples per CPU second of deepen over the peer's.

Peers live in a Python of their own, named by $DEEPEN_PEERS; without it only the textbook loop is compared.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.pairs import Contender, Row, alternate, peers, shown

BLOCK, TURNS = 8, 7
GOALS = {"textbook": 3.0, "lightning_trainer": 3.5, "keras_torch": 4.0}
PACKAGES = {
    "textbook": "torchvision",
    "lightning_trainer": "lightning",
    "keras_torch": "keras",
    "keras_one_crop": "keras",
}
NOTES = {"keras_one_crop": "less work: one crop for all pictures of a batch; "}


def rows(pairs: int) -> list[Row]:
    """LeNet-5, batch 128, crop and flip and normalise, one thread each."""
    python = peers()
    if python is None:
        print("  no $DEEPEN_PEERS: Lightning and Keras are skipped, the textbook loop runs without torchvision")
    found = {name: version(python, package) for name, package in PACKAGES.items()} if python else {"textbook": ""}
    results = []
    for seed in range(pairs):
        task = {"batch": 128, "steps": BLOCK * TURNS, "block": BLOCK, "threads": 1, "seed": seed}
        contenders = [Contender(name, task, python or sys.executable, TQDM_DISABLE="1") for name in found]
        results.append(alternate([Contender("engine", task), *contenders], TURNS))
    ours = shown([result["engine"]["accuracy"] for result in results])
    return [
        Row(
            f"samples per CPU second over {name.replace('_', ' ')} ({text or 'transforms written out'})",
            [result[name]["cpu"] / result["engine"]["cpu"] for result in results], "x",
            f">= {GOALS[name]:g}x" if name in GOALS else "",
            lambda v, name=name: v >= GOALS.get(name, 0),
            f"{NOTES.get(name, '')}accuracy {ours}, theirs {shown([result[name]['accuracy'] for result in results])}",
        )
        for name, text in found.items()
    ]  # fmt: skip


def version(python: str, package: str) -> str:
    """A package's name and version in another Python; empty where it is not installed."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    result = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return f"{package} {result.stdout.strip()}" if result.returncode == 0 else ""
