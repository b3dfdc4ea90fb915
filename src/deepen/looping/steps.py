"""A round from where it stands to its end, each step written down when it is done.

Whenever it is stopped, the same round goes on where it was (store/loop.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from deepen.console import say
from deepen.looping.answers import labelled
from deepen.looping.choosing import chosen, queued
from deepen.looping.comparing import beside, compared
from deepen.looping.proving import judged, trained
from deepen.looping.round import Over, Round
from deepen.looping.taking_over import kept, promoted

Step = Callable[[Round], dict[str, Any] | str]
STEPS: tuple[Step, ...] = (chosen, queued, labelled, trained, judged, beside, compared, promoted, kept)


def go(turn: Round, wait: float, every: float) -> str:
    """Do the steps that are left; returns what is waited for, or nothing where the round is over.

    wait   seconds for a step to find what it waits for
    every  seconds between two looks
    """
    say(f"round    {turn.number} of {turn.live.path}")
    for line in turn.done.values():
        say(f"{line['step']:<12} {line['says']}")
    for step in STEPS:
        if step.__name__ in turn.done:
            continue
        try:
            found = _patiently(step, turn, wait, every)
        except Over as end:
            turn.note(end.how, {"says": end.why, "why": end.why, **end.figures})
            return ""
        if isinstance(found, str):
            say(f"waiting      {found}")
            return found
        turn.note(step.__name__, found)
    return ""


def _patiently(step: Step, turn: Round, wait: float, every: float) -> dict[str, Any] | str:
    """What a step found; what it waits for once that takes too long."""
    end = time.monotonic() + wait
    told = ""
    while isinstance(found := step(turn), str):
        if time.monotonic() >= end:
            return found
        if not told:
            say(f"waiting      {found}")
            told = found
        time.sleep(every)
    return found
