"""Tables of a report: figures, and items as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepen.errors import counted
from deepen.evaluation.html import Show, figure, short, text
from deepen.panels import Cell, Figure, Share, Table, digits

ITEMS = 10  # single items that are rows of a table; the rest is folded away
ROWS = 25  # of any other table


def table(what: Table, show: Show) -> tuple[str, bool]:
    if what.folded:
        return (
            f"<details><summary>{counted(len(what.rows), 'row')}</summary>{_table(what.columns, what.rows)}</details>",
            True,
        )
    more = what.rows[ROWS:]
    rest = f"<details><summary>{len(more):,} more rows</summary>{_table(what.columns, more)}</details>" if more else ""
    return _table(what.columns, what.rows[:ROWS]) + rest, len(what.columns) > 4


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    left = [all(isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    head = "".join(f'<th scope="col"{_side(left[i])}>{text(name)}</th>' for i, name in enumerate(columns))
    lines = (
        "<tr>" + "".join(f"<td{_side(left[i])}>{_cell_text(cell)}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _side(left: bool) -> str:
    return "" if left else ' class="number"'


def _cell_text(cell: Cell) -> str:
    if isinstance(cell, str):
        return f'<span title="{text(cell)}">{text(short(cell, 120))}</span>' if len(cell) > 120 else text(cell)
    if isinstance(cell, Figure):
        main, rest = figure(cell.value, cell.low, cell.high)
        return f'<b>{main}</b> <span class="range">{rest}</span>'
    if isinstance(cell, Share):
        if cell.value is None:
            return "\u2013"
        length = max(0.0, min(1.0, cell.value)) * 48
        return (
            f'{cell.value:.3f} <svg class="meter" width="50" height="9" aria-hidden="true"><rect class="empty" x="1" y="1" '
            f'width="48" height="7"/><rect class="full" x="1" y="1" width="{length:.1f}" height="7"/></svg>'
        )
    return digits(cell)


def items(items: Sequence[dict[str, Any]], captions: Sequence[tuple[str, ...]]) -> str:
    """Rows of a table as they came, what is said of each before it."""
    columns = list(dict.fromkeys(name for item in items for name in item))
    head = "".join(f'<th scope="col">{text(short(name))}</th>' for name in ("", *columns))
    lines = [
        f"<tr><td>{'<br>'.join(text(short(line, 60)) for line in said)}</td>"
        + "".join(f"<td>{text(short(_raw(item.get(name)), 40))}</td>" for name in columns)
        + "</tr>"
        for item, said in zip(items, captions)
    ]
    first, rest = (
        f'<div class="scroll"><table class="raw"><thead><tr>{head}</tr></thead><tbody>{"".join(some)}</tbody></table></div>'
        for some in (lines[:ITEMS], lines[ITEMS:])
    )
    return first + (
        f"<details><summary>{len(lines) - ITEMS} more rows</summary>{rest}</details>" if lines[ITEMS:] else ""
    )


def _raw(value: Any) -> str:
    """A cell as the user wrote it."""
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
