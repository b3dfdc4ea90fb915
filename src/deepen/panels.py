"""What a report shows, as plain data: a kind says what, evaluation/ draws it. Torch-free.

A kind's `panels` gives some of these in the order they are to be read; whoever draws them never asks for the kind.
Numbers that are not defined are None. `note` says in a sentence what to look for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.console import digits as digits
from deepen.console import fixed as fixed


class Figure(msgspec.Struct, frozen=True):
    """A number with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Share(msgspec.Struct, frozen=True):
    """A number from 0 to 1, drawn with a bar."""

    value: float | None


Cell = str | int | float | Figure | Share | None


class Table(msgspec.Struct, frozen=True, tag=True):
    """Rows of cells; text stands left, numbers right. `folded`: opened only when asked for."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False


class Line(msgspec.Struct, frozen=True):
    """Points joined in order. `points` draws them singly."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    points: bool = False


class Curves(msgspec.Struct, frozen=True, tag=True):
    """Lines over two axes. `diagonal` draws x = y for comparison, `mark` a vertical line at x with a text."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    note: str = ""
    diagonal: bool = False
    unit: bool = False  # both axes run from 0 to 1
    mark: tuple[float, str] | None = None


class Matrix(msgspec.Struct, frozen=True, tag=True):
    """Counts by truth (rows) and answer (columns)."""

    title: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    note: str = ""


class Histogram(msgspec.Struct, frozen=True, tag=True):
    """How many items fall between edges; `edges` is one longer than `counts`."""

    title: str
    x: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    note: str = ""


class Whiskers(msgspec.Struct, frozen=True, tag=True):
    """Figures with their intervals, one below the other on one axis. `mark`: a vertical line to compare with."""

    title: str
    x: str
    names: tuple[str, ...]
    figures: tuple[Figure, ...]
    note: str = ""
    mark: tuple[float, str] | None = None
    strong: tuple[int, ...] = ()  # places that stand out


class Gallery(msgspec.Struct, frozen=True, tag=True):
    """Single items to look at: `rows` are places among the items measured, each with the lines said of it."""

    title: str
    rows: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    note: str = ""


class Mark(msgspec.Struct, frozen=True):
    """A box in a picture, x1, y1, x2, y2 as shares of what is shown, with its name. `true`: as it is, else as answered."""

    box: tuple[float, ...]
    name: str
    true: bool


class Marked(msgspec.Struct, frozen=True, tag=True):
    """Single pictures with boxes drawn: `rows` are places among the items measured."""

    title: str
    rows: tuple[int, ...]
    marks: tuple[tuple[Mark, ...], ...]
    captions: tuple[tuple[str, ...], ...]
    note: str = ""


class Pictures(msgspec.Struct, frozen=True, tag=True):
    """Columns of pictures, one per item: `rows` of PNG files in base64, with a line below each column."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    captions: tuple[str, ...]
    note: str = ""


class Sketch(msgspec.Struct, frozen=True):
    """A graph: places of its nodes from 0 to 1, pairs of linked ones, a colour for each node by number, what is said."""

    places: tuple[tuple[float, ...], ...]
    links: tuple[tuple[int, ...], ...]
    colours: tuple[int, ...]
    caption: str


class Drawings(msgspec.Struct, frozen=True, tag=True):
    """Graphs, drawn."""

    title: str
    graphs: tuple[Sketch, ...]
    note: str = ""


Panel = Table | Curves | Matrix | Histogram | Whiskers | Gallery | Marked | Pictures | Drawings


class PerItem(msgspec.Struct, frozen=True):
    """A figure of each single item, so that groups of items can be compared."""

    name: str
    values: np.ndarray  # (n,)
    higher: bool


def thin(values: np.ndarray, most: int = 200) -> np.ndarray:
    """Places of at most `most` of the values, evenly taken, first and last among them."""
    return np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int))


def numbers(values: Any) -> tuple[float, ...]:
    """An array as plain floats of six digits: what a drawing needs and no more."""
    return tuple(float(f"{v:.6g}") for v in np.asarray(values, float).tolist())


def share(value: float, defined: bool = True) -> Share:
    """A Share; None where it is not defined."""
    return Share(float(value) if defined else None)


def line(name: str, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> Line:
    """A Line through at most 200 of the points."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    kept = thin(x)
    return Line(name, numbers(x[kept]), numbers(y[kept]))
