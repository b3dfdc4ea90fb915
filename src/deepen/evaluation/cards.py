"""Cards of a report: items as people see them, pictures, graphs, pictures with boxes."""

from __future__ import annotations

from deepen.evaluation.charts import COLOURS, svg
from deepen.evaluation.html import Show, short, text
from deepen.evaluation.tables import items
from deepen.panels import Drawings, Gallery, Mark, Marked, Pictures, Sketch

DRAWN = 320  # pixels that a picture with boxes in it has at least on its longer side, for the names to be small in it
SKETCH = 150  # pixels a side of a graph


def gallery(what: Gallery, show: Show) -> tuple[str, bool]:
    """Cards; where items are rows of a table, a table."""
    shown = [show(row) for row in what.rows]
    if shown and isinstance(shown[0], dict):
        return items(shown, what.captions), True
    cards = (
        f'<li>{item}<div class="said">{"<br>".join(text(short(line, 60)) for line in said)}</div></li>'
        for item, said in zip(shown, what.captions)
    )
    return f'<ul class="gallery">{"".join(cards)}</ul>', True


def pictures(what: Pictures, show: Show) -> tuple[str, bool]:
    """A card per column."""
    cards = []
    for said, column in zip(what.captions, zip(*what.rows)):
        shown = "".join(f'<img class="sharp" alt="" src="data:image/png;base64,{file}">' for file in column)
        cards.append(f'<li>{shown}<div class="said">{text(short(said, 60))}</div></li>')
    return f'<ul class="gallery small">{"".join(cards)}</ul>', True


def drawings(what: Drawings, show: Show) -> tuple[str, bool]:
    """A card per graph."""
    cards = (f'<li>{_sketch(one)}<div class="said">{text(one.caption)}</div></li>' for one in what.graphs)
    return f'<ul class="gallery">{"".join(cards)}</ul>', True


def _sketch(one: Sketch) -> str:
    at = [(round(8 + x * (SKETCH - 16), 1), round(8 + y * (SKETCH - 16), 1)) for x, y in one.places]
    lines = "".join(
        f'<line class="axis" x1="{at[a][0]}" y1="{at[a][1]}" x2="{at[b][0]}" y2="{at[b][1]}"/>' for a, b in one.links
    )
    knots = "".join(
        f'<g class="knots c{colour % COLOURS}"><circle cx="{x}" cy="{y}" r="3.5"/></g>'
        for (x, y), colour in zip(at, one.colours)
    )
    return svg(SKETCH, SKETCH, one.caption, one.caption, lines + knots, "natural")


def marked(what: Marked, show: Show) -> tuple[str, bool]:
    """Cards with boxes drawn in the pictures."""
    cards = []
    for row, marks, said in zip(what.rows, what.marks, what.captions):
        address, width, height = show.pixels(row)
        width, height = (side * max(1, DRAWN // max(width, height)) for side in (width, height))
        drawn = f'<image href="{address}" width="{width}" height="{height}"/>'
        drawn += "".join(_mark(mark, width, height) for mark in marks)
        told = "; ".join(f"{mark.name}{' is there' if mark.true else ' answered'}" for mark in marks)
        cards.append(
            f"<li>{svg(width, height, show.name(row), told, drawn, 'natural')}"
            f'<div class="said">{"<br>".join(text(short(line, 60)) for line in said)}</div>'
            f'<div class="id">{text(short(show.name(row), 40))}</div></li>'
        )
    return f'<ul class="gallery large">{"".join(cards)}</ul>', True


def _mark(mark: Mark, width: int, height: int) -> str:
    """A box with its name: at its upper edge where it is true, at the lower one where it is answered."""
    x, y, right, bottom = (round(v * side, 1) for v, side in zip(mark.box, (width, height, width, height)))
    kind, at = ("there", y + 11) if mark.true else ("given", bottom - 3)
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{right - x:.1f}" height="{bottom - y:.1f}">'
        f'<title>{text(mark.name)}</title></rect><text class="{kind}" x="{x + 2:.1f}" y="{at:.1f}">{text(short(mark.name, 16))}</text>'
    )
