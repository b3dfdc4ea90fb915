"""Several processes under torchrun, through the real command line: one run, one voice, the same result; and what ends it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import deepen
from deepen.store import durable
from deepen.store.run import Run

pytestmark = pytest.mark.slow

# 113 training items in batches of 16: the last batch holds 17
SMALL = {"threads": 1, "epochs": 3, "model": "mlp", "hidden": [8], "data.items": 161, "batch_size": 16}
LONG = {**SMALL, "epochs": 400, "checkpoint_seconds": 0.2}
ENVIRONMENT = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def start():
    """Starts a training of two processes; what is still there at the end goes."""
    begun = []

    def begin(*words: str, code: str = "") -> subprocess.Popen[str]:
        program = ["-m", "deepen", "train"]
        if code:
            main = "import sys\nfrom deepen.cli import main\nsys.exit(main(sys.argv[1:]))\n"
            Path("program.py").write_text(f"{code}\n{main}")
            program = ["program.py", "train"]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        process = subprocess.Popen(
            [sys.executable, *torchrun, *program, *words], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        begun.append(process)
        return process

    yield begin
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:
            process.communicate()


def words(settings: dict[str, object]) -> list[str]:
    return ["blobs", *(f"{key}={value}".replace(" ", "") for key, value in settings.items())]


def finished(process: subprocess.Popen[str]) -> tuple[Run, str]:
    said, wrong = process.communicate(timeout=120)
    assert process.returncode == 0, wrong
    return only_run(), said


def only_run() -> Run:
    (place,) = Path("runs").glob("2*")
    return Run.open(place)


def workers(process: subprocess.Popen[str]) -> dict[int, int]:
    """Process id by rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == process.pid:
                environment = (place / "environ").read_bytes().split(b"\0")
                rank = next(e for e in environment if e.startswith(b"RANK="))
                found[int(rank[5:])] = int(place.name)
        except (OSError, StopIteration):
            continue
    return found


def until(process: subprocess.Popen[str], word: str) -> str:
    for line in process.stdout:
        if word in line:
            return line
    raise AssertionError(process.stderr.read())


def close(a: Run, b: Run, tolerance: float) -> None:
    """The same weights but for the order of sums: float32, hundreds of steps."""
    one, other = (load_file(run.path / "model.safetensors") for run in (a, b))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=tolerance, atol=tolerance)
    for left, right in zip(a.rows(), b.rows(), strict=True):
        assert left == pytest.approx(right, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"batch_size": 1},  # the first process gets nothing of any
        {"average": "ema", "clip": 1.0, "accumulate": 2, "optimizer": "sgd"},
        {"method.hard_examples": 0.5, "item_weights": {"blob1": 2}},
        {
            "augment": "[mixup]",
            "resample": 1,
            "method.focus": 2,
            "method.balance": 0.9,
            "l1": 1e-3,
            "schedule": "plateau",
        },
        # batch norm over both of them; of the last batch the first process has one item. Dropout draws differ: off
        {
            "model": "tests.faults.networks:Dense",
            "model.drop": 0,
            "hidden": None,
            "optimizer": "sgd",
            "data.items": 165,
        },
    ],
)
def test_two_processes_equal_one_with_the_same_batch(start, more):
    settings = {key: value for key, value in {**SMALL, **more}.items() if value is not None}
    alone = deepen.train("blobs", output="alone", **settings)
    run, said = finished(start(*words(settings)))
    close(alone, run, 1e-4)
    assert run.info["state"] == "finished"
    assert run.info["machine"]["processes"] == 2
    lines = said.splitlines()
    assert len(lines) == len(set(lines)), "each line is said once"
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert deepen.load(str(run.path))
    assert not list(run.path.rglob("*.tmp"))


def test_killed_and_resumed_is_uninterrupted(start):
    """Bit for bit: two processes add the same two numbers, whichever comes first."""
    whole, _ = finished(start(*words(SMALL)))
    whole.path.parent.rename("whole")
    code = """
import os, signal
from deepen.training.engine import Engine
real = Engine._advance
def dying(self):
    if self.state.step == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self)
Engine._advance = dying
"""
    dead = start(*words(SMALL), code=code)
    dead.communicate(timeout=120)
    assert dead.returncode
    run, said = finished(start("--resume", str(only_run().path)))
    assert "resuming at step 7 of 21" in said
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (run.path / name).read_bytes() == (Path("whole", whole.id) / name).read_bytes(), name


@pytest.mark.parametrize("rank", [0, 1])
def test_the_death_of_one_ends_the_other_with_a_word(start, rank):
    process = start(*words(LONG))
    until(process, "epoch 2/")
    os.kill(workers(process)[rank], signal.SIGKILL)
    begun = time.monotonic()
    _, wrong = process.communicate(timeout=60)
    assert time.monotonic() - begun < 45
    assert process.returncode
    other = 1 - rank
    assert f"error: process {other} of 2: another process of this training ended" in wrong
    assert "deepen train --resume" in wrong
    run = only_run()
    assert run.info["state"] == ("training" if rank == 0 else "failed")
    again = start("--resume", str(run.path))
    until(again, "resuming at step")
    until(again, "epoch ")
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=60)


@pytest.mark.parametrize("to", ["all", "one"])
def test_a_signal_to_any_of_them_saves_and_stops_all(start, to):
    process = start(*words(LONG))
    until(process, "epoch 2/")
    if to == "all":
        process.send_signal(signal.SIGTERM)
    else:
        os.kill(workers(process)[1], signal.SIGTERM)
    _, wrong = process.communicate(timeout=60)
    assert wrong.count("stopped by SIGTERM, saved. deepen train --resume") == 1
    run = only_run()
    assert run.info["state"] == "stopped"
    assert f"-step{run.info['step']}-" in run.checkpoints()[-1]


def test_recoveries_are_agreed_on_and_noted_once(start):
    """A loss that is NaN in one process only: both roll back to the same state, and the training goes on to its end."""
    code = """
import os
from deepen.methods.supervised import Supervised
from deepen.training.engine import Engine
real, turn = Supervised.loss, Engine._turn
at = [0]
def seen(self, player, *place):
    at[0] = self.state.step
    turn(self, player, *place)
def loss(self, batch, player):
    return real(self, batch, player) * (float("nan") if at[0] in (10, 11, 12) and os.environ["RANK"] == "1" else 1)
Engine._turn, Supervised.loss = seen, loss
"""
    run, said = finished(start(*words(SMALL), code=code))
    rows = durable.lines(run.path / "incidents.jsonl")[0]
    assert [(row["action"], row["step"]) for row in rows] == [
        ("skipped", 10),
        ("skipped, rate halved", 11),
        ("rolled back", 12),
    ]
    assert len(re.findall("note +skipped: ", said)) == 1
    assert [row["step"] for row in run.rows()] == [7, 14, 21]


def test_memory_that_runs_out_in_one_of_them_changes_nothing(start):
    """Its share of the batch is split further; what both add up stays the gradient of the batch."""
    code = """
import os
from deepen.methods.supervised import Supervised
real = Supervised.loss
def loss(self, batch, player):
    if batch.items > 3 and os.environ["RANK"] == "1":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    return real(self, batch, player)
Supervised.loss = loss
"""
    alone = deepen.train("blobs", output="alone", **SMALL)
    run, _ = finished(start(*words(SMALL), code=code))
    close(alone, run, 1e-4)


def test_a_mistake_is_told_once_and_a_plan_needs_one_process(start):
    process = start("blobs", "train.lr=-1")
    _, wrong = process.communicate(timeout=60)
    assert process.returncode
    assert wrong.count("train.lr: got -1. Expected a number above 0") == 1
    plan = start("blobs", "--dry-run")
    _, wrong = plan.communicate(timeout=60)
    assert "2 processes. Expected one. Start it without torchrun" in wrong
    assert not Path("runs").exists()


def test_statistics_that_break_in_one_of_them_send_all_back(start):
    code = """
import os
from deepen.training.engine import Engine
real, left = Engine._advance, [1]
def breaking(self):
    real(self)
    if self.state.step == 12 and os.environ["RANK"] == "1" and left.pop() if left else 0:
        next(b for b in self.method.buffers() if b.is_floating_point()).fill_(float("nan"))
Engine._advance = breaking
"""
    settings = {**SMALL, "model": "tests.faults.networks:Dense", "data.items": 200}  # batch norm wants two items a part
    del settings["hidden"]
    run, _ = finished(start(*words(settings), code=code))
    (row,) = durable.lines(run.path / "incidents.jsonl")[0]
    assert (row["action"], row["to"]) == ("rolled back", 9)
    assert [row["step"] for row in run.rows()] == [9, 18, 27]
