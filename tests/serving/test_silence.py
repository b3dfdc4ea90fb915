"""Who had no core to speak with is not stuck, who had one is."""

from __future__ import annotations

import time

import pytest

from deepen.serving import silence
from deepen.serving.silence import AT_MOST, Silence


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A /proc and a clock that are set by hand: seconds each of two threads waited, and that the host took of each core."""
    now = [100.0]

    def at(seconds: float, waits: tuple[float, float] = (0, 0), stolen: tuple[float, float] = (0, 0)) -> None:
        now[0] = 100.0 + seconds
        for name, wait in zip(("7", "8"), waits):
            (tmp_path / "7" / "task" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "7" / "task" / name / "schedstat").write_text(f"5000000000 {wait * 1e9:.0f} 12\n")
        ticks = [round(s * 100) for s in stolen]
        lines = [f"cpu 9 9 9 9 9 9 9 {sum(ticks)} 0 0", *(f"cpu{i} 9 9 9 9 9 9 9 {n} 0 0" for i, n in enumerate(ticks))]
        (tmp_path / "stat").write_text("\n".join([*lines, "intr 1 2"]))

    monkeypatch.setattr(silence.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(silence.os, "sysconf", lambda name: 100)
    at(0)
    return tmp_path, at


def look(proc, *states: tuple) -> float:
    place, at = proc
    one = Silence(7, place)
    for state in states:
        at(*state)
        one.beyond(5)
    return one.seconds


@pytest.mark.parametrize(
    ("states", "seconds"),
    [
        ([(0.5,), (1.0,)], 1.0),  # asleep: it could have spoken
        ([(0.5, (0.5, 0)), (1.0, (1.0, 0))], 0.0),  # it waited for a core all the time
        ([(0.5, (0, 0.5)), (1.0, (0, 0.5))], 0.5),  # another thread did, half of it: it may have held the lock
        ([(0.5, (0.2, 0.2)), (1.0, (0.4, 0.4))], 0.6),  # two waits at the same time are one
        ([(0.5, (0, 0), (0.4, 0)), (1.0, (0, 0), (0.8, 0.1))], 0.2),  # its core was the host's
        ([(0.5, (0.5, 0), (0.5, 0)), (1.0, (0.5, 0), (0.5, 0))], 0.5),  # never less than nothing
        ([(30.0,), (30.5,)], 1.5),  # nor did the one who looks have a core for half a minute
    ],
)
def test_only_time_in_which_it_could_have_spoken_counts(proc, states, seconds):
    assert look(proc, *states) == pytest.approx(seconds)


def test_a_sign_of_life_begins_anew_and_mercy_ends(proc):
    place, at = proc
    one = Silence(7, place)
    at(4)
    for _ in range(5):
        one.beyond(5)
    one.heard()
    at(4.9)
    assert not one.beyond(5)
    assert one.seconds == pytest.approx(0.9)
    at(4 + AT_MOST + 4.9, (500, 0))
    assert not one.beyond(5)
    at(4 + AT_MOST + 5.1, (501, 0))
    assert one.beyond(5)  # starved or stuck: another one is tried


def test_where_nobody_says_who_waited_all_time_counts(tmp_path):
    one = Silence(7, tmp_path)
    one.looked = time.monotonic() - 0.75
    assert not one.beyond(5)
    assert 0.75 <= one.seconds <= 1.0
