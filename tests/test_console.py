"""What is said to a person who may have gone, or whose terminal cannot show it."""

from __future__ import annotations

import io
import os
import sys
from types import SimpleNamespace

import pytest

from deepen import cli
from deepen.console import Progress, announce, fixed, in_words, say
from deepen.training.progress import Show


def _epoch_of_a_training() -> None:
    show = Show(SimpleNamespace(log=lambda text: None))
    engine = SimpleNamespace(total=1, epoch_steps=1, monitor="val_loss", state=SimpleNamespace(step=1, best_step=1))
    show.epoch(engine, {"epoch": 1, "step": 1, "train_loss": 1.0, "val_loss": 2.0, "lr": 0.1})


def _moving_line() -> None:
    line = Progress()
    line.stream, line.moving = sys.stdout, True
    line.show("step 1")
    assert not line.moving
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what it holds still goes somewhere


@pytest.mark.parametrize("speak", [lambda: announce("restart 1"), _epoch_of_a_training, _moving_line])
def test_what_goes_on_does_not_end_with_who_listens(monkeypatch, speak):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        speak()
        say("now into nothing")
        monkeypatch.undo()


def _raises(problem: Exception) -> None:
    raise problem


@pytest.mark.parametrize(
    ("run", "code", "told"),
    [
        (lambda *_: say("N\u00eemes \u82b1"), 0, "N\\xeemes \\u82b1"),
        (lambda *_: _raises(OSError(28, "No space left on device")), 2, "standard output: No space left on device."),
        (
            lambda *_: _raises(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")),
            2,
            "memory: it does",
        ),
        (lambda *_: _raises(MemoryError("Unable to allocate 9 GiB")), 2, "memory: it does not suffice ("),
    ],
)
def test_what_a_machine_does_not_give_ends_in_one_line(monkeypatch, run, code, told):
    shown = io.BytesIO()
    monkeypatch.setattr(cli, "_run", run)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(shown, "ascii", write_through=True))
    assert cli.main(["doctor"]) == code
    assert told in shown.getvalue().decode()


def test_nothing_is_minus_nought():
    assert (fixed(-13.9, -2), fixed(-0.0001, 2), fixed(-0.06, 1)) == ("0", "0.00", "-0.1")


def test_settings_within_settings_are_told_as_people_write_them():
    spec = {"name": "detector", "backbone": {"name": "resnet", "depth": 8}, "also": [{"name": "flip"}, 2], "levels": 2}
    assert in_words(spec) == "detector (backbone resnet (depth 8), also [flip, 2], levels 2)"
    spec = {"name": "mixed", "target": ("a", "b"), "types": {"a": "text"}, "folder": None}
    assert in_words(spec) == "mixed (target [a, b], types (a text))"
