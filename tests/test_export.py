"""The export verb around the gate: what a user meets when something is not as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import deepen
from deepen.cli import main
from deepen.store.run import Run

pytest.importorskip("onnx")


@pytest.fixture
def run(digits_run, tmp_path) -> Run:
    """A copy of a finished run, without exports."""
    shutil.copytree(digits_run.path, tmp_path / "run")
    for old in (tmp_path / "run" / "exports").iterdir():
        shutil.rmtree(old)
    return Run.open(tmp_path / "run")


def refused(run: Run, capsys, *words: str) -> str:
    assert main(["export", str(run.path), *words]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert not list((run.path / "exports").iterdir())
    return shown


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ".", ".hidden", "", "-", "a b", "x" * 65, "é"])
def test_a_name_is_a_name_and_no_path(run, name, capsys):
    assert "export name: got" in refused(run, capsys, f"--name={name}")


def test_an_unknown_format(run, capsys):
    assert "unknown name 'onx'. Did you mean 'onnx'?" in refused(run, capsys, "format=onx")


def test_a_run_that_is_not_finished(run, capsys):
    run.info.pop("model")
    run.update(state="stopped")
    shown = refused(run, capsys)
    assert "has no weights (state: stopped)" in shown
    assert "deepen train --resume" in shown


def test_one_writer_at_a_time(run, capsys):
    with run.locked():
        assert "is working on it" in refused(Run.open(run.path), capsys)


def test_data_that_moved_away(tmp_path, capsys):
    place = tmp_path / "data.csv"
    rows = "\n".join(f"{i % 7},{i % 3},{'ab'[i % 2]}" for i in range(60))
    place.write_text(f"x,z,y\n{rows}\n")
    run = deepen.train(str(place), target="y", epochs=1, threads=1)
    moved = tmp_path / "elsewhere.csv"
    place.rename(moved)
    shown = refused(run, capsys)
    assert str(place) in shown
    assert "The gate needs the run's held-out items" in shown
    moved.rename(place)
    deepen.export(str(run.path))
    assert deepen.export(str(run.path))["bundle"] == str(run.path / "exports" / "onnx")  # again is fine
    assert [p.name for p in (run.path / "exports").iterdir()] == ["onnx"]
    place.write_text(f"x,z,y\n{rows[: len(rows) // 2].rpartition(chr(10))[0]}\n")
    assert main(["export", str(run.path), "name=second"]) == 2
    assert "of this run gone" in capsys.readouterr().err


def test_doctor_tells_every_optional_library_and_what_it_gives(capsys, monkeypatch):
    from deepen.stages import doctor

    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == []
    assert document["versions"]["torch"]
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "numpy is missing: pip install numpy" in shown
    for name, (extra, _) in doctor.EXTRAS.items():
        assert name in shown
        assert f"pip install 'deepen[{extra}]'" in shown


def test_doctor_knows_what_pyproject_asks_for():
    import re
    import tomllib

    from deepen.stages import doctor

    file = Path(deepen.__file__).parents[2] / "pyproject.toml"
    if not file.is_file():
        pytest.skip("not in a checkout")
    project = tomllib.loads(file.read_text())["project"]
    name = lambda text: re.match(r"[\w-]+", text)[0].lower()
    assert {name(d) for d in project["dependencies"]} == set(doctor.CORE)
    extras = project["optional-dependencies"]
    for library, (extra, _) in doctor.EXTRAS.items():
        assert library in {name(d) for d in extras[extra]}
    wanted = {name(d) for e in extras if e != "dev" for d in extras[e]} - {"deepen"}
    assert wanted == set(doctor.EXTRAS)
