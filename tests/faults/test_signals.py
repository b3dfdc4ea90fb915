"""SIGTERM and Ctrl-C: the step is finished and saved, the exit code says so, the run goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepen.store import durable
from deepen.store.run import Run

ENDLESS = ["blobs", "threads=1", "epochs=100000", "model=mlp", "hidden=[8]", "train.checkpoint_seconds=1000"]


def command(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deepen", "train", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def read_until(process: subprocess.Popen[str], word: str) -> str:
    for line in process.stdout:
        if word in line:
            return line
    raise AssertionError(process.stderr.read())


def members(group: int) -> list[str]:
    """Living processes of a group."""
    stats = [
        (p / "stat").read_text().rpartition(")")[2].split()
        for p in Path("/proc").glob("[0-9]*")
        if (p / "stat").exists()
    ]
    return [stat[0] for stat in stats if int(stat[2]) == group and stat[0] != "Z"]


def stop(process: subprocess.Popen[str], number: int) -> tuple[Run, str]:
    """Send a signal; the run must be left within ten seconds, saved."""
    begun = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert time.monotonic() - begun < 10
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert not members(process.pid)
    run = Run.open(next(Path("runs").glob("2*")))
    assert f"stopped by {signal.Signals(number).name}, saved. deepen train --resume" in said
    assert run.info["state"] == "stopped"
    return run, said


def test_a_signal_saves_and_resume_loses_no_step(tmp_path):
    first = command(*ENDLESS)
    read_until(first, "epoch 2/")
    run, _ = stop(first, signal.SIGTERM)
    saved = run.info["step"]
    assert f"-step{saved}-" in run.checkpoints()[-1]
    again = command("--resume", str(run.path))
    assert f"resuming at step {saved} of" in read_until(again, "resuming")
    read_until(again, "epoch ")
    run, _ = stop(again, signal.SIGINT)
    assert run.info["step"] > saved
    steps = [row["step"] for row in run.rows()]
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_signals_at_random_instants(tmp_path):
    rng = random.Random()
    for turn in range(12):
        runs = [*Path("runs").glob("2*")]
        process = command("--resume", str(runs[0])) if runs else command(*ENDLESS)
        read_until(process, "epoch ")
        time.sleep(rng.uniform(0, 0.5))
        stop(process, [signal.SIGTERM, signal.SIGINT][turn % 2])


IN_PREPARATION = """
import os, signal, sys
from deepen.data import encoding
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests may ignore it
real = encoding.encode_all
def interrupted(*args):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*args)
encoding.encode_all = interrupted
from deepen.cli import main
sys.exit(main(sys.argv[1:]))
"""

IN_A_STEP = """
import os, signal, sys, time
from deepen.methods.supervised import Supervised
real = Supervised.loss
def slow(self, batch, player):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError("still here")
Supervised.loss = slow
from deepen.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, "train", *ENDLESS], capture_output=True, text=True, timeout=60)


def test_interrupted_while_data_are_prepared():
    result = run_code(IN_PREPARATION)
    assert result.returncode == 130
    assert result.stderr == "interrupted\n"
    assert not os.path.exists("runs")


def test_a_second_signal_ends_at_once():
    result = run_code(IN_A_STEP)
    assert result.returncode == -signal.SIGTERM
    assert "Traceback" not in result.stderr
    run = Run.open(next(Path("runs").glob("2*")))
    assert durable.lines(run.path / "metrics.jsonl") == ([], 0)
    with run.locked():  # nobody holds it
        assert run.load_checkpoint(run.checkpoints()[-1]) is not None
