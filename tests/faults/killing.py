"""Kill trainings with SIGKILL at random instants, resume them until they are done, compare with an uninterrupted one.

    python -m tests.faults.killing FAMILY KILLS SEED

A process of its own: it imports torch but computes nothing, so that its forks are clean. Each attempt is a fork, which
saves the seconds an interpreter takes to import torch. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import deepen
from deepen import registry
from deepen.store.run import Run

SMALL = {"threads": 1, "checkpoint_seconds": 0.03, "epochs": 6}
NOISY = "tests.faults.networks:Noisy"
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "rows-adamw-ema": ("blobs", {"model": "mlp", "hidden": [16], "dropout": 0.2, "average": "ema", **SMALL}),
    "rows-sgd-patience": ("blobs", {"model": "mlp", "hidden": [16], "optimizer": "sgd", "patience": 3, "batch_size": 8, **SMALL}),
    "number-accumulate": ("blobs", {"data.kind": "number", "model": "mlp", "hidden": [16], "accumulate": 3, "clip": 1.0, "optimizer": "rmsprop", **SMALL}),
    "pictures-swa": ("digits", {"model": NOISY, "average": "swa", "optimizer": "sgd", **SMALL}),
    "rows-muon-mixup": ("blobs", {"model": "mlp", "hidden": [16], "optimizer": "muon", "schedule": "plateau", "augment": "[mixup]", "resample": 1, "method.balance": 0.9, "l1": 1e-3, **SMALL}),
    "pictures-lion-cutmix": ("digits", {"model": NOISY, "optimizer": "lion", "schedule": "warm_restarts", "augment": "[cutout, erase, cutmix]", "method.focus": 2, "max_norm": 2.0, **SMALL}),
    "rows-hard": ("blobs", {"model": "mlp", "hidden": [16], "dropout": 0.2, "method.hard_examples": 0.8, "item_weights": {"blob1": 3}, **SMALL}),
    "pictures-adamw": ("digits", {"model": NOISY, "average": "ema", "warmup": 0.2, **SMALL, "epochs": 4}),
}  # fmt: skip


def attempt(what: str, settings: dict[str, Any], place: Path) -> int:
    """A child that begins or goes on; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        run = found(place)
        if run is None:
            deepen.train(what, output=str(place), **settings)
        else:
            deepen.train(resume=str(run))
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def found(place: Path) -> Path | None:
    """The run that was made there."""
    return next((file.parent for file in place.glob("[!.]*/run.json")), None)


def finish(what: str, settings: dict[str, Any], place: Path, delay: Any) -> int:
    """Attempts until one finishes; `delay()` says after how many seconds each is killed. Returns the kills."""
    place.mkdir()
    kills = 0
    while True:
        run = found(place)
        saved = [int(name.split("-")[1][4:]) for name in Run.open(run).checkpoints()] if run else []
        child = attempt(what, settings, place)
        wait = delay(kills)
        end = time.monotonic() + wait
        code = None
        while code is None:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            else:
                time.sleep(0.002)
        text = (place / "log").read_text() if (place / "log").exists() else ""
        (place / "log").unlink(missing_ok=True)
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a run was lost: {text}")
        begun = f"resuming at step {saved[-1]} of" if saved else ""
        if "resuming" in text and begun not in text:
            raise RuntimeError(f"not resumed from the last checkpoint, step {saved[-1]}: {text}")
        if code == 0:
            return kills
        kills += 1


def content(place: Path) -> dict[str, bytes]:
    run = found(place)
    assert run
    assert not list(run.rglob("*.tmp")), "leftovers"
    names = ("model.safetensors", "metrics.jsonl", "signature.json", "split.json")
    return {name: (run / name).read_bytes() for name in names} | {"kept": str(Run.open(run).info["metrics"]).encode()}


def torture(family: str, kills: int, seed: int) -> dict[str, Any]:
    what, settings = FAMILIES[family]
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        start = time.monotonic()
        finish(what, settings, Path(scratch, "whole"), lambda _: 1e9)
        length = time.monotonic() - start
        whole = content(Path(scratch, "whole"))
        done = runs = same = 0
        while done < kills:
            runs += 1
            place = Path(scratch, str(runs))
            # later attempts are given a little longer, so that every run ends
            done += finish(what, settings, place, lambda n: rng.uniform(0, length * (0.6 + 0.1 * n)))
            same += content(place) == whole
    return {"family": family, "kills": done, "runs": runs, "identical": same, "seconds": round(length, 2)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in ("stages:train", "sources:blobs", "sources:digits", "models:mlp", "methods:supervised"):
        registry.load(*name.split(":"))
    import deepen.training.engine
    import deepen.training.finished
    import tests.faults.networks  # noqa: F401

    print(json.dumps(torture(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
