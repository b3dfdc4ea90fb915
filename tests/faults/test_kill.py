"""Killed and resumed is uninterrupted, bit for bit: weights, metrics, split, what is kept."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import deepen
from deepen.config import from_target, write
from deepen.data.prepare import prepare
from deepen.registry import build
from deepen.store.run import Run
from deepen.training import plan
from tests.faults.killing import FAMILIES

ROOT = Path(__file__).parents[2]
SMALL = {"threads": 1, "epochs": 3, "model": "mlp", "hidden": [8]}


def harness(family: str, kills: int, seed: int) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults.killing", family, str(kills), str(seed)],
        capture_output=True, text=True, cwd=ROOT, timeout=550,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["kills"] >= kills
    assert told["identical"] == told["runs"], told
    print(told)


@pytest.mark.parametrize(("family", "kills"), [("rows-adamw-ema", 6), ("pictures-swa", 2)])
def test_a_few_kills(family, kills):
    harness(family, kills, seed=int(time.time()))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_hundred_kills(family):
    harness(family, 20, seed=int(time.time()))


def same(a: Run, b: Run) -> None:
    for name in ("model.safetensors", "metrics.jsonl", "split.json"):
        assert (a.path / name).read_bytes() == (b.path / name).read_bytes(), name


def test_a_run_killed_before_training_began_begins(tmp_path):
    whole = deepen.train("blobs", output="whole", **SMALL)
    config = from_target("blobs", {key: str(value) for key, value in SMALL.items()})
    config = plan.complete(config, prepare(build("sources", config.data).read(), config))
    run = Run.create(tmp_path / "runs", write(config), kind="train")
    resumed = deepen.train(resume=str(run.path))
    assert resumed.info["state"] == "finished"
    same(whole, resumed)


def test_a_run_killed_before_its_first_checkpoint_begins(tmp_path, monkeypatch, capsys):
    whole = deepen.train("blobs", output="whole", **SMALL)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "save_checkpoint", interrupt)
        deepen.train("blobs", output="runs", **SMALL)
    run = next(Path("runs").glob("2*"))
    assert Run.open(run).info["state"] == "training"
    same(whole, deepen.train(resume=str(run)))
    assert "no checkpoint was written yet: starting from the beginning" in capsys.readouterr().out


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_finished_run_stays_as_it_is():
    run = deepen.train("blobs", output="runs", **SMALL)
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    deepen.train(resume=str(run.path))
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def finished(process: subprocess.Popen[bytes]) -> bool:
    with process:
        process.communicate()
    return process.returncode == 0


@pytest.mark.slow
def test_kills_through_the_command_line(tmp_path):
    """Five kills at any instant, also while Python starts and data are read."""
    words = [
        "blobs",
        "threads=1",
        "epochs=40",
        "model=mlp",
        "hidden=[16]",
        "average=ema",
        "train.checkpoint_seconds=0.1",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def command(*more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "deepen", "train", *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )  # fmt: skip

    begun = time.monotonic()
    assert finished(command(*words, "--output", "whole"))
    length = time.monotonic() - begun
    rng, kills = random.Random(), 0
    while kills < 5:
        runs = [*Path("runs").glob("2*")]
        child = command("--resume", str(runs[0])) if runs else command(*words)
        try:
            output, _ = child.communicate(timeout=rng.uniform(0, length * (0.8 + 0.1 * kills)))
            assert child.returncode == 0, output
            done = Path(f"done{len([*Path().glob('done*')])}")
            Path("runs").rename(done)
            same(Run.open(next(done.glob("2*"))), Run.open(next(Path("whole").glob("2*"))))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            kills += 1
        finally:
            child.stdout.close()
    for run in Path("runs").glob("2*"):
        assert finished(command("--resume", str(run)))
        same(Run.open(run), Run.open(next(Path("whole").glob("2*"))))
