"""Panels as SVG and HTML: one function per type of panel, and nothing that asks for a kind of answer.

Colours are CSS classes (`c0`... after Okabe and Ito, told apart by the colour-blind), so the page's style decides on
light and dark. Every picture has a title and a description for who cannot see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepen.evaluation import cards, charts, tables
from deepen.evaluation.html import Show, text
from deepen.panels import Curves, Drawings, Gallery, Histogram, Marked, Matrix, Panel, Pictures, Table, Whiskers


def panel(what: Panel, show: Show) -> str:
    """The panel with its heading and note."""
    body, wide = DRAW[type(what)](what, show)
    note = f'<p class="note">{text(what.note)}</p>' if what.note else ""
    return f'<figure class="panel{" wide" if wide else ""}"><h3>{text(what.title)}</h3>{note}{body}</figure>'


DRAW: dict[type, Callable[[Any, Show], tuple[str, bool]]] = {
    Table: tables.table,
    Curves: charts.curves,
    Matrix: charts.matrix,
    Histogram: charts.histogram,
    Whiskers: charts.whiskers,
    Gallery: cards.gallery,
    Pictures: cards.pictures,
    Marked: cards.marked,
    Drawings: cards.drawings,
}
