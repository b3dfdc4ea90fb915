"""Durable writes: whatever the disk does at whatever instant, what is opened afterwards is a committed state."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepen.errors import DeepenError
from deepen.store import durable, system
from deepen.store.run import Run
from tests.store.faulty_disk import Failing, Recorder, leftovers, write_tree

LONG = "x" * 1500  # a line, a file of several sectors


def story(root: Path) -> list[Callable[[], Any]]:
    """A run's life in small, each step a committed change."""

    def create() -> None:
        Run.create(root, f"note: {LONG}\n", kind="train")

    def run() -> Run:
        return Run.open(next(root.glob("[!.]*/run.json")).parent)

    def export(text: str) -> None:
        with durable.publish(run().path / "exports" / "onnx") as draft:
            (draft / "deep").mkdir()
            (draft / "deep" / "graph").write_text(text * 700)
            (draft / "manifest.json").write_text(text)

    return [
        create,
        lambda: run().keep({"signature.json": LONG, "split.json": "{}"}, state="training"),
        lambda: run().save_checkpoint(0, b"zero" * 300, anchor=True),
        lambda: run().append("metrics.jsonl", {"step": 1, "text": LONG}),
        lambda: run().save_checkpoint(1, b"one" * 300, best=True, anchor=True),
        lambda: run().append("metrics.jsonl", {"step": 2, "text": LONG}),
        lambda: durable.cut(run().path / "metrics.jsonl", len(durable.line({"step": 1, "text": LONG}))),
        lambda: run().save_checkpoint(2, b"two" * 300, anchor=True),
        lambda: run().append("metrics.jsonl", {"step": 3, "text": LONG}),
        lambda: run().save_checkpoint(3, b"three" * 300, best=True, anchor=True),
        lambda: run().save_checkpoint(4, b"four" * 300),
        lambda: run().update(state="finished", model="m"),
        lambda: export("first"),
        lambda: export("second"),
        lambda: run().write("evaluation/test.json", LONG),
    ]


def seen(root: Path) -> dict[str, Any]:
    """What somebody who opens the store finds."""
    places = sorted(root.glob("[!.]*/run.json"))
    if not places:
        return {}
    run = Run.open(places[0].parent)
    names = run.checkpoints()
    newest = next((data for name in reversed(names) if (data := run.load_checkpoint(name)) is not None), None)
    best = next((data for n in reversed(run.best_checkpoints()) if (data := run.load_checkpoint(n)) is not None), None)
    bundle = run.path / "exports" / "onnx"
    evaluated = run.path / "evaluation" / "test.json"
    return {
        "info": {k: v for k, v in run.info.items() if k not in {"id", "created"}},
        "config": (run.path / "config.yaml").read_text(),
        "kept": {name: run.read(name) for name in run.info.get("hashes", {})},
        "newest": newest,
        "best": best,
        "rows": run.rows(),
        "bundle": {p.name: p.read_text() for p in bundle.rglob("*") if p.is_file()} if bundle.exists() else None,
        "evaluated": evaluated.read_text() if evaluated.exists() else None,
    }


def test_a_crash_after_any_call_leaves_a_committed_state(tmp_path):
    root = tmp_path / "runs"
    root.mkdir()
    checked, calls = set(), 0
    before = seen(root)
    for number, step in enumerate(story(root)):
        with Recorder(root, seed=number) as disk:
            step()
        after = seen(root)
        calls += disk.calls
        for state in disk.states:
            key = (number, tuple(sorted(state[2].items(), key=lambda item: item[0])))
            if key in checked:
                continue
            checked.add(key)
            place = write_tree(state[2], tmp_path / "left")
            assert seen(place) in (before, after), f"step {number}, {state[:2]}"
            shutil.rmtree(place)
        lost = write_tree(disk.left("all lost"), tmp_path / "left")
        assert seen(lost) == after, f"step {number} was told done, but is not on the disk"
        shutil.rmtree(lost)
        before = after
    assert calls > 100
    assert len(checked) > 80  # that differ


NUMBERS = [errno.ENOSPC, errno.EIO, errno.EACCES]


@pytest.mark.parametrize(
    "numbers", [NUMBERS, *(pytest.param([number], marks=pytest.mark.slow) for number in NUMBERS)], ids=str
)
def test_any_call_that_fails_is_one_clear_error_and_the_work_goes_on(tmp_path, numbers):
    base, failed = tmp_path / "base", 0
    base.mkdir()
    for index in range(len(story(base))):
        before = seen(base)
        at = 0
        while True:
            at += 1
            root = tmp_path / "runs"
            shutil.copytree(base, root)
            ended = fails_once(root, index, at, numbers[at % len(numbers)], before)
            shutil.rmtree(root)
            if ended:
                break
            failed += 1
        story(base)[index]()
    assert failed > 100


def fails_once(root: Path, index: int, at: int, number: int, before: dict[str, Any]) -> bool:
    """A step of the story with one failing call. True: the step makes fewer calls than that."""
    error = None
    with Failing(at, number) as disk:
        try:
            story(root)[index]()
        except DeepenError as problem:
            error = str(problem)
    now = seen(root)
    left = list(leftovers(root))
    if error is not None:
        assert str(root) in error
        assert "bytes free" in error or "no right to write there" in error
        assert not left
    else:
        assert disk.failed in {"unlink", ""}, disk.failed  # cleaning up: what stays is swept next time
    story(root)[index]()
    done = seen(root)
    if error is not None:
        changed = {key for key in before if now.get(key) != before[key]} or {""}
        assert now in (before, done) or changed == {"rows"}, (disk.failed, changed)
    return at > disk.count


@pytest.mark.parametrize("write", [durable.writable, lambda place: durable.replace(place, "x")])
def test_a_place_for_a_file_that_is_none_is_told(tmp_path, write):
    with pytest.raises(DeepenError, match=r"nowhere/x: there is no folder .*nowhere\. .*Make it: mkdir -p .*nowhere\."):
        write(tmp_path / "nowhere" / "x")
    with pytest.raises(DeepenError, match=r"it is a folder\. .*Give the name of a file"):
        write(tmp_path)
    (tmp_path / "file").write_text("old")
    with pytest.raises(DeepenError, match=r"file is a file\. .*Move it away"):
        write(tmp_path / "file" / "x")
    with Failing(1, errno.EACCES), pytest.raises(DeepenError, match=r"no right to write there"):
        write(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_looking_whether_a_place_can_be_written_leaves_nothing(tmp_path):
    durable.writable(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_for_real(tmp_path):
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        run = Run.create(place, "a: 1\n")
        run.save_checkpoint(1, b"1" * 600_000)
        run.append("metrics.jsonl", {"step": 1})
        with pytest.raises(DeepenError, match=r"no room on the disk \([\d,]+ bytes free\)"):
            run.save_checkpoint(2, b"2" * 1_900_000)
        (place / "filler").write_bytes(b"0" * (shutil.disk_usage(place).free))
        with pytest.raises(DeepenError, match="no room on the disk"):
            for step in range(2, 200):
                run.append("metrics.jsonl", {"step": step, "text": LONG})
        with pytest.raises(DeepenError, match="no room on the disk"):
            Run.create(place, "b: 1\n" * 10_000)
        with pytest.raises(DeepenError, match="no room on the disk"), durable.publish(run.path / "exports" / "x") as d:
            (d / "graph").write_bytes(b"0" * 100_000)
        run.log("does not stop a training")
        assert not list(leftovers(place))
        assert run.load_checkpoint(run.checkpoints()[-1]) == b"1" * 600_000
        rows = len(run.rows())
        (place / "filler").unlink()
        run.append("metrics.jsonl", {"step": 999})
        assert len(run.rows()) == rows + 1
        run.save_checkpoint(2, b"2" * 600_000)
    finally:
        subprocess.run(["umount", str(place)], check=True)


# ---------------------------------------------------------------- lines


def test_a_torn_tail_is_left_out_and_cut(tmp_path):
    file = tmp_path / "rows.jsonl"
    durable.append(file, {"n": 1})
    whole = file.read_bytes()
    second = durable.line({"n": 2, "text": LONG})
    for end in range(0, len(second), 7):
        file.write_bytes(whole + second[:end])
        assert durable.lines(file) == ([{"n": 1}], len(whole))
        if end % 100 == 0:
            durable.append(file, {"n": 3})
            rows, length = durable.lines(file)
            assert [row["n"] for row in rows] == [1, 3]
            assert file.stat().st_size == length


def test_damage_before_the_tail_is_told_and_nothing_is_thrown_away(tmp_path):
    file = tmp_path / "rows.jsonl"
    for n in range(5):
        durable.append(file, {"n": n})
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DeepenError, match=r"rows.jsonl:3: the line is not what was written"):
        durable.lines(file)
    durable.append(file, {"n": 5})
    assert file.read_bytes().startswith(bytes(data))


def test_append_reads_the_last_line_only(tmp_path, monkeypatch):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"".join(durable.line({"n": n, "text": LONG}) for n in range(2000)))
    read = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: read.append(len(got := real(*a))) or got)
    monkeypatch.setattr(durable, "lines", lambda path: pytest.fail("read the whole file"))
    durable.append(file, {"n": 2000})
    assert sum(read) <= durable.TAIL
    durable.append(file, {"n": 2001, "text": "y" * 50_000})  # and a line longer than what is read first
    durable.append(file, {"n": 2002})
    assert sum(read) < 30 * durable.TAIL
    monkeypatch.undo()
    assert [row["n"] for row in durable.lines(file)[0]] == list(range(2003))


def test_readers_beside_a_writer_see_whole_lines_only(tmp_path):
    file = tmp_path / "rows.jsonl"
    code = (
        "import sys; from pathlib import Path; from deepen.store import durable\n"
        "for n in range(300): durable.append(Path(sys.argv[1]), {'n': n, 'text': 'x' * n * 20})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(file)]) for _ in range(2)]
    looks = 0
    while any(writer.poll() is None for writer in writers):
        rows = durable.lines(file)[0]
        assert all(len(row["text"]) == row["n"] * 20 for row in rows)
        looks += 1
    assert looks > 3
    assert sorted(row["n"] for row in durable.lines(file)[0]) == sorted([*range(300)] * 2)


# ---------------------------------------------------------------- directories

PUBLISH = """
import os, signal, sys
from pathlib import Path
from deepen.store import durable, system
place, text, times, die = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
calls = 0
def dying(name, real):
    def call(*args):
        global calls
        calls += 1
        if str(calls) == die:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call
for name in ("open_file", "sync", "rename", "exchange", "make_directory", "remove_tree"):
    setattr(system, name, dying(name, getattr(system, name)))
for n in range(times):
    with durable.publish(place) as draft:
        for part in ("a", "b"):
            (draft / part).write_text(f"{text} {n}")
"""


def whole(place: Path) -> str:
    texts = {(place / part).read_text() for part in ("a", "b")}
    assert len(texts) == 1
    return texts.pop()


def publisher(place: Path, text: str, times: int = 1, die: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PUBLISH, str(place), text, str(times), die])


def test_a_published_directory_is_there_at_every_instant(tmp_path):
    """Two writers replace it hundreds of times; a reader who opens it always gets one whole version."""
    place = tmp_path / "onnx"
    assert publisher(place, "zero").wait() == 0
    writers = [publisher(place, text, 100) for text in ("one", "two")]
    looks = 0
    while any(writer.poll() is None for writer in writers):
        handle = os.open(place, os.O_RDONLY)  # never FileNotFoundError
        os.close(handle)
        looks += 1
    assert all(writer.returncode == 0 for writer in writers)
    assert looks > 100
    assert whole(place) in {"one 99", "two 99"}
    assert os.listdir(tmp_path) == ["onnx"]


def test_a_publisher_killed_at_any_call_leaves_old_or_new_and_the_next_one_cleans_up(tmp_path):
    place = tmp_path / "onnx"
    assert publisher(place, "old").wait() == 0
    killed = 0
    for die in range(1, 40):
        code = publisher(place, "new", 1, str(die)).wait()
        assert whole(place) in {"old 0", "new 0"}
        if code == 0:
            break
        assert code == -9
        killed += 1
    assert killed >= 6
    assert publisher(place, "last").wait() == 0
    assert whole(place) == "last 0"
    assert os.listdir(tmp_path) == ["onnx"]


def test_publishing_where_names_cannot_be_swapped(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "exchange", lambda one, other: False)
    for n in range(3):
        with durable.publish(tmp_path / "onnx") as draft:
            (draft / "a").write_text(str(n))
    assert (tmp_path / "onnx" / "a").read_text() == "2"
    assert os.listdir(tmp_path) == ["onnx"]


def test_a_draft_that_fails_changes_nothing(tmp_path):
    with durable.publish(tmp_path / "onnx") as draft:
        (draft / "a").write_text("good")
    with pytest.raises(ValueError, match="bad"), durable.publish(tmp_path / "onnx") as draft:
        (draft / "a").write_text("half")
        raise ValueError("bad")
    assert (tmp_path / "onnx" / "a").read_text() == "good"
    assert os.listdir(tmp_path) == ["onnx"]


def test_what_a_live_writer_is_making_is_not_swept(tmp_path):
    dead = tmp_path / ".model.safetensors.00000000.tmp"
    dead.write_text("half")
    (tmp_path / ".onnx.00000000.tmp").mkdir()
    with durable.publish(tmp_path / "onnx") as draft:
        (draft / "a").write_text("good")
        durable.sweep(tmp_path)
        assert not dead.exists()
        assert draft.is_dir()
    assert os.listdir(tmp_path) == ["onnx"]


def test_lines_are_json(tmp_path):
    durable.append(tmp_path / "x.jsonl", {"text": "naïve \n line", "value": 1.5})
    assert json.loads((tmp_path / "x.jsonl").read_text())["text"] == "naïve \n line"
