"""What is said to a person who may have gone."""

from __future__ import annotations

import os
import sys

from deepen.console import announce, say


def test_what_goes_on_does_not_end_with_who_listens(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        announce("restart 1")
        say("now into nothing")
        monkeypatch.undo()
