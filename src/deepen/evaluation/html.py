"""Texts and numbers as HTML. Names of files and classes come from anywhere: all of them pass through `text`."""

from __future__ import annotations

import html
import math
import re
from typing import Any

from deepen.panels import digits, fixed

Show = Any  # an item as HTML text, or as a mapping of columns: show(row); a picture: show.pixels(row)

# control characters, lone surrogates, marks that turn the reading direction: none of them belongs in a page
STRANGE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def text(value: object) -> str:
    """Anything as harmless text, also inside quotes and in XML."""
    return html.escape(STRANGE.sub("\ufffd", str(value)), quote=True)


def short(value: object, most: int = 28) -> str:
    """A long name without its middle, not yet escaped."""
    name = str(value)
    return name if len(name) <= most else f"{name[: most // 2 - 1]}\u2026{name[-(most - most // 2) :]}"


def figure(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """A number and its interval, to two digits of the interval's half width: what it says and no more."""
    known = [v for v in (value, low, high) if v is not None and math.isfinite(v)]
    if len(known) < 3 or not (half := (known[2] - known[1]) / 2) > 0:
        return digits(value), ""
    decimals = min(6, 1 - math.floor(math.log10(half)))
    a, b, c = (fixed(v, decimals) for v in known)
    return a, f"{b} to {c}"


def bytes_(count: int) -> str:
    """A size in bytes for a person."""
    from deepen.console import size

    return size(count)


def seconds(value: float) -> str:
    """A short time: `12 ms`, `0.34 ms`, `1.2 s`."""
    return (
        f"{value:.2g} s" if value >= 1 else f"{value * 1e3:.2g} ms" if value >= 1e-4 else f"{value * 1e6:.2g} \u00b5s"
    )
