"""Runs: one writer, ids nobody else has, and damage that is told, never used."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import deepen
from deepen import bundle
from deepen.errors import DeepenError
from deepen.store import durable, system
from deepen.store.run import Run
from tests.store.faulty_disk import Failing

HOLD = """
import sys
from deepen.store.run import Run
with Run.open(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def start(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextlib.contextmanager
def holder(run: Run):
    with start(HOLD, str(run.path)) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def locked(run: Run) -> None:
    with run.locked():
        pass


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    run = Run.create(tmp_path, "")
    with holder(run) as owner:
        begun = time.monotonic()
        with pytest.raises(DeepenError, match=f"process {owner.pid} is working on it. .*one writer at a time"):
            locked(run)
        owner.send_signal(signal.SIGSTOP)  # frozen, not gone
        with pytest.raises(DeepenError, match=f"process {owner.pid} is working on it"):
            locked(run)
        assert time.monotonic() - begun < 2
    locked(run)  # the owner was killed


def test_one_of_many_racers_gets_in(tmp_path):
    run = Run.create(tmp_path, "")
    code = (
        HOLD.replace("with Run", "try:\n  with Run").replace("\n    ", "\n    ")
        + "except Exception: print('no', flush=True)\n"
    )
    racers = [start(code, str(run.path)) for _ in range(6)]
    try:
        answers = [racer.stdout.readline() for racer in racers]
    finally:
        for racer in racers:
            racer.communicate()
    assert sorted(answers) == ["held\n"] + ["no\n"] * 5


def test_leftovers_of_dead_writers_go_when_the_run_is_taken(tmp_path):
    run = Run.create(tmp_path, "")
    for place in (run.path, run.path / "checkpoints", run.path / "exports"):
        (place / ".x.00000000.tmp").write_text("half")
    locked(run)
    assert not list(run.path.rglob("*.tmp"))


def test_runs_made_at_once_have_different_ids(tmp_path, monkeypatch):
    code = (
        "import sys, secrets; from pathlib import Path; from deepen.store.run import Run\n"
        "real = secrets.token_hex\n"
        "secrets.token_hex = lambda n: real(1) if n == 2 else real(n)\n"  # 256 names: they do meet
        "for n in range(50): print(Run.create(Path(sys.argv[1]), '').id)"
    )
    makers = [start(code, str(tmp_path / "runs")) for _ in range(4)]
    ids = [line for maker in makers for line in maker.communicate()[0].split()]
    assert len(ids) == 200
    assert len(set(ids)) == 200
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == sorted(ids)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "run.json: JSONDecodeError"),
        ("[]", "run.json: TypeError"),
        ("{}", "run.json: KeyError: 'format'"),
        ('{"format": "x"}', "run.json: ValueError"),
        ('{"format": 1, "sum": "0"}', "its content is not what was written"),
        ("[" * 100_000, "run.json: RecursionError"),
        ("\udcff", "run.json: UnicodeDecodeError"),
        ('{"format": 99}', "format 99. Expected format 1 or older. Update deepen"),
    ],
)
def test_a_damaged_record_is_told(tmp_path, text, said):
    run = Run.create(tmp_path, "")
    (run.path / "run.json").write_text(text, errors="surrogateescape")
    with pytest.raises(DeepenError) as told:
        Run.open(run.path)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, r"no right to write there \(Read-only file system\)\. .*Choose another place, or make this one"),
        (errno.EACCES, r"no right to write there \(Permission denied\)\. Expected a place that can be written"),
        (errno.ENOSPC, r"no room on the disk \([1-9][\d,]+ bytes free\)"),
        (errno.EIO, r"Input/output error \([1-9][\d,]+ bytes free\)"),
    ],
)
def test_a_place_that_cannot_be_written_is_told(tmp_path, number, said):
    with Failing(1, number), pytest.raises(DeepenError, match=said):
        Run.create(tmp_path / "runs", "")


@pytest.mark.parametrize("below", ["file", "file/runs", "file/a/b"])
def test_a_file_in_the_way_is_named(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepenError, match=rf"{tmp_path}/file is a file\. .* Move it away, or choose another place"):
        Run.create(tmp_path / below, "")


def test_a_lock_that_cannot_be_made_is_told(tmp_path):
    run = Run.create(tmp_path, "")
    shutil.rmtree(run.path)
    with pytest.raises(DeepenError, match=r"\.lock: there is no folder"):
        locked(run)


def test_no_run_there_names_the_ones_that_are(tmp_path):
    made = Run.create(Path("runs"), "")
    with pytest.raises(DeepenError, match=f"no run there.*{made.id}"):
        Run.open("nothing")
    assert Run.open(made.id).path == made.path  # by name alone


# ---------------------------------------------------------------- checkpoints


def test_the_last_two_the_best_two_and_the_last_anchor_stay(tmp_path):
    run = Run.create(tmp_path, "")
    for step in range(12):
        run.save_checkpoint(step, str(step).encode(), best=step in {1, 3, 5}, anchor=step in {0, 4, 6})
    steps = [name.split("-")[1] for name in run.checkpoints()]
    assert steps == ["step3", "step5", "step6", "step10", "step11"]
    assert [name.split("-")[1] for name in run.best_checkpoints()] == ["step3", "step5"]
    assert run.load_checkpoint(run.anchors()[-1]) == b"6"


def test_a_damaged_checkpoint_is_set_aside(tmp_path):
    run = Run.create(tmp_path, "")
    name = run.save_checkpoint(1, b"good")
    (run.path / "checkpoints" / name).write_bytes(b"goof")
    assert run.load_checkpoint(name) is None
    assert run.checkpoints() == []
    assert (run.path / "checkpoints" / f"damaged-{name}").exists()


# ---------------------------------------------------------------- corruption


def corrupt(data: bytes, rng: random.Random) -> bytes:
    """A flipped bit, another byte, a cut, a hole, or something after the end."""
    at, how = rng.randrange(len(data)), rng.randrange(5)
    if how == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if how == 1:
        return data[:at] + bytes([(data[at] + rng.randrange(1, 256)) % 256]) + data[at + 1 :]
    if how == 2:
        return data[:at]
    if how == 3:
        size = min(64, len(data) - at)
        return data[:at] + b"\0" * size + data[at + size :]
    return data + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 20)))


def weights_of(run: Run) -> Any:
    from deepen.training.finished import load_model, signature_of

    return {k: v.tolist() for k, v in load_model(run).state_dict().items()}, signature_of(run).to_json()


def everything(path: Path) -> Any:
    """What the run says to whoever opens it."""
    run = Run.open(path)
    newest = next((d for name in reversed(run.checkpoints()) if (d := run.load_checkpoint(name)) is not None), None)
    return weights_of(run), run.rows(), run.read_json("split.json"), run.info["metrics"], newest


def bundled(path: Path) -> Any:
    document = bundle.manifest(path)
    return document["files"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("finished")
    run = deepen.train("blobs", output=str(place), epochs=3, threads=1, model="mlp", hidden=[4])
    return run.path


def fuzz(path: Path, file: Path, read: Callable[[Path], Any], times: int, seed: int) -> tuple[int, int]:
    """How often damage was told, and how often it did no harm."""
    rng, good, data, told, harmless = random.Random(seed), read(path), file.read_bytes(), 0, 0
    for _ in range(times):
        bad = corrupt(data, rng)
        if bad == data:
            continue
        file.write_bytes(bad)
        try:
            assert read(path) == good, f"wrong content used: {file.name}"
            harmless += 1
        except DeepenError:
            told += 1
        finally:
            file.write_bytes(data)
            for aside in path.glob("checkpoints/damaged-*"):
                aside.rename(aside.with_name(aside.name.removeprefix("damaged-")))
    return told, harmless


FILES = ["run.json", "signature.json", "split.json", "metrics.jsonl", "model.safetensors"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("times", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_damage_is_told_or_harmless(finished, tmp_path, name, times):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    told, harmless = fuzz(path, path / name, everything, times, seed=len(name))
    assert told > times * 0.6, (told, harmless)


@pytest.mark.parametrize("times", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_damaged_manifest_is_told_or_harmless(digits_bundle, tmp_path, times):
    path = tmp_path / "onnx"
    shutil.copytree(digits_bundle, path)
    told, harmless = fuzz(path, path / "manifest.json", bundled, times, seed=1)
    assert told > times * 0.3, (told, harmless)  # most of a manifest is about the machine and the gate


@pytest.mark.parametrize("times", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_older_checkpoint_is_taken_for_a_damaged_one(finished, tmp_path, times):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    run, rng = Run.open(path), random.Random(0)
    *_, older, newest = run.checkpoints()
    file = path / "checkpoints" / newest
    data = file.read_bytes()
    for _ in range(times):
        bad = corrupt(data, rng)
        if bad == data:
            continue
        file.write_bytes(bad)
        assert run.load_checkpoint(newest) is None
        assert run.checkpoints()[-1] == older
        assert run.load_checkpoint(older) is not None
        (path / "checkpoints" / f"damaged-{newest}").rename(file)


def test_the_record_keeps_the_order_and_types_of_what_it_was_given(tmp_path):
    run = Run.create(tmp_path, "", numbers={3: 1.5, "10": None}, kind="train")
    run.update(more=[1, float("inf")])
    assert Run.open(run.path).info == json.loads(json.dumps(run.info))


def test_the_store_writes_through_the_system_alone():
    """Whatever changes the disk goes where a test can see it."""
    calls = [system.open_file, system.write, system.sync, system.rename]
    assert all(callable(call) for call in calls)
    source = Path(durable.__file__).read_text()
    for word in (
        "os.replace",
        "os.rename",
        "os.fsync",
        "os.write",
        "os.unlink",
        "os.ftruncate",
        ".write_bytes",
        ".unlink(",
    ):
        assert word not in source.replace("system.unlink(", ""), word
