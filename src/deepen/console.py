"""What a person sees while a verb works: lines on standard output, one moving line on a terminal."""

from __future__ import annotations

import contextlib
import contextvars
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

_DOCUMENT = contextvars.ContextVar("document", default=False)
_SILENT = contextvars.ContextVar("silent", default=False)


@contextlib.contextmanager
def document_only(asked: bool = True) -> Iterator[None]:
    """Within it, standard output is left to the one JSON document that a verb ends with."""
    token = _DOCUMENT.set(asked)
    try:
        yield
    finally:
        _DOCUMENT.reset(token)


def document_asked() -> bool:
    """Whether --json was given: verbs that print tables keep them to themselves."""
    return _DOCUMENT.get()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Within it nothing is said: another process says it."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def say(text: str = "") -> None:
    """A line for the person; with --json it goes to standard error and leaves standard output to the document."""
    if _SILENT.get():
        return
    print(text, file=sys.stderr if document_asked() else sys.stdout, flush=True)


def announce(text: str) -> None:
    """A line of what goes on whether or not somebody listens: a terminal or pipe that is gone does not end it."""
    try:
        say(text)
    except OSError:
        stream = sys.stderr if document_asked() else sys.stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """A line that is rewritten on a terminal and stays silent in a log file."""

    def __init__(self) -> None:
        self.stream = sys.stderr
        self.moving = self.stream.isatty() and not document_asked()
        self.last = 0.0

    def due(self, seconds: float = 0.2) -> bool:
        """Whether it is time to draw again; reading the loss costs a wait for the device, so ask first."""
        return self.moving and time.monotonic() - self.last >= seconds

    def show(self, text: str) -> None:
        self.last = time.monotonic()
        self._draw(f"\r\x1b[K{text}")

    def clear(self) -> None:
        if self.moving:
            self._draw("\r\x1b[K")

    def _draw(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError:  # the terminal is gone
            self.moving = False


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes for a person: `45 KiB`, `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def in_words(value: Any) -> str:
    """A technique with what is set of it, or a setting, as people write them."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_words, value))}]"
    if not isinstance(value, dict):
        return str(value)
    options = ", ".join(f"{key} {in_words(own)}" for key, own in value.items() if key != "name" and own is not None)
    return f"{value.get('name', '')} ({options})".strip() if options else str(value.get("name", "{}"))


def digits(value: float | None) -> str:
    """A number for a person: four significant digits, counts in full, a dash where it is not defined."""
    if value is None or not math.isfinite(value):
        return "\u2013"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e4):
        return f"{int(value):,}"
    if abs(value) >= 1e9 or abs(value) < 1e-4:
        return f"{value:.3g}"
    return fixed(float(value), 3 - math.floor(math.log10(abs(value))))


def fixed(value: float, decimals: int) -> str:
    """A number to a decimal place; before the point it is rounded too: (143210, -3) is 143,000."""
    return f"{round(value, decimals) + 0.0:,.{max(decimals, 0)}f}"  # no -0
