"""Charts of a report as SVG: curves, bars, a matrix, intervals; axes with round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from deepen.errors import counted
from deepen.evaluation.html import Show, figure, short, text
from deepen.panels import Curves, Figure, Histogram, Line, Matrix, Whiskers, digits

COLOURS = 6
WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 16, 44


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between two ends: steps of 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def span(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis: a little more than the values, never without width."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


class Axes:
    """A frame with ticks, and places in it."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float], whole: bool = False) -> None:
        self.xs, self.ys, self.whole = xs, ys, whole

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.xs[0]) / (self.xs[1] - self.xs[0]) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - self.ys[0]) / (self.ys[1] - self.ys[0]) * (HEIGHT - TOP - BOTTOM), 1)

    def frame(self, x_name: str, y_name: str) -> str:
        bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
        parts = []
        for value in ticks(*self.ys):
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(value)}" y2="{self.y(value)}"/>'
            )
            parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{self.y(value) + 4}">{tick(value)}</text>')
        for value in (v for v in ticks(*self.xs) if not self.whole or v.is_integer()):
            parts.append(
                f'<line class="axis" x1="{self.x(value)}" x2="{self.x(value)}" y1="{bottom}" y2="{bottom + 4}"/>'
            )
            parts.append(f'<text class="tick middle" x="{self.x(value)}" y="{bottom + 17}">{tick(value)}</text>')
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
        parts.append(
            f'<text class="label middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">{text(x_name)}</text>'
        )
        parts.append(
            f'<text class="label middle" x="13" y="{middle}" transform="rotate(-90 13 {middle})">{text(y_name)}</text>'
        )
        return "".join(parts)


def tick(value: float) -> str:
    """A number short enough for an axis."""
    if value and (abs(value) >= 1e4 or abs(value) < 1e-3):
        for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:g}{unit}"
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.10g}"


def svg(width: float, height: float, title: str, description: str, body: str, kind: str = "plot") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{text(title)}</title><desc>{text(description)}</desc>{body}</svg>'
    )


def curves(what: Curves, show: Show) -> tuple[str, bool]:
    xs = [v for line in what.lines for v in line.x]
    ys = [v for line in what.lines for v in line.y]
    x_span, y_span = ((0.0, 1.0), (0.0, 1.0)) if what.unit else (span(xs), span(ys))
    if what.diagonal and not what.unit:
        x_span = y_span = (min(x_span[0], y_span[0]), max(x_span[1], y_span[1]))
    axes = Axes(x_span, y_span, whole=not what.unit and all(v.is_integer() for v in xs))
    parts = [axes.frame(what.x, what.y)]
    if what.diagonal:
        (a, b), (x, y) = x_span, (axes.x, axes.y)
        parts.append(f'<line class="guide" x1="{x(a)}" y1="{y(a)}" x2="{x(b)}" y2="{y(b)}"/>')
    if y_span[0] < 0 < y_span[1] and not what.diagonal:
        parts.append(f'<line class="guide" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{axes.y(0)}" y2="{axes.y(0)}"/>')
    if what.mark:
        at, word = axes.x(what.mark[0]), text(what.mark[1])
        side = ("end", -5) if at > WIDTH / 2 else ("", 5)
        parts.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick {side[0]}" x="{at + side[1]}" y="{TOP + 10}">{word}</text>')
    parts += [_line(line, i, axes) for i, line in enumerate(what.lines)]
    said = "; ".join(
        f"{line.name}: {len(line.x)} points, {what.y} from {digits(min(line.y))} to {digits(max(line.y))}"
        for line in what.lines
        if line.y
    )
    names = [line.name for line in what.lines]
    return svg(WIDTH, HEIGHT, what.title, said, "".join(parts)) + (legend(names) if len(names) > 1 else ""), False


def _line(line: Line, i: int, axes: Axes) -> str:
    places = [(axes.x(x), axes.y(y)) for x, y in zip(line.x, line.y)]
    colour = f"c{i % COLOURS}"
    if line.points:
        return (
            f'<g class="dots {colour}">' + "".join(f'<circle cx="{x}" cy="{y}" r="2.2"/>' for x, y in places) + "</g>"
        )
    path = f'<polyline class="line {colour}" points="{" ".join(f"{x},{y}" for x, y in places)}"/>'
    if len(places) > 30:
        return path
    return (
        path
        + f'<g class="knots {colour}">'
        + "".join(f'<circle cx="{x}" cy="{y}" r="2.6"/>' for x, y in places)
        + "</g>"
    )


def legend(names: Sequence[str]) -> str:
    items = (
        f'<li><svg width="26" height="10" aria-hidden="true"><line class="line c{i % COLOURS}" x1="1" x2="25" y1="5" y2="5"/>'
        f'</svg><span title="{text(name)}">{text(short(name))}</span></li>'
        for i, name in enumerate(names)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def histogram(what: Histogram, show: Show) -> tuple[str, bool]:
    axes = Axes((what.edges[0], what.edges[-1]), (0, max(*what.counts, 1) * 1.05))
    bars = []
    for low, high, count in zip(what.edges[:-1], what.edges[1:], what.counts):
        if count:
            x, y, width = axes.x(low) + 0.5, axes.y(count), max(axes.x(high) - axes.x(low) - 1, 0.5)
            said = f"{digits(low)} to {digits(high)}: {counted(count, 'item')}"
            height = HEIGHT - BOTTOM - y
            bars.append(
                f'<rect class="bar" x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:.1f}"><title>{said}</title></rect>'
            )
    said = f"{counted(sum(what.counts), 'item')} from {digits(what.edges[0])} to {digits(what.edges[-1])}"
    return svg(WIDTH, HEIGHT, what.title, said, axes.frame(what.x, "items") + "".join(bars)), False


def matrix(what: Matrix, show: Show) -> tuple[str, bool]:
    k = len(what.names)
    cell = 42 if k <= 12 else 26 if k <= 25 else 16 if k <= 40 else 8
    every = max(1, math.ceil(11 / cell))  # names must not run into each other
    longest = 18 if k <= 40 else 14
    margin = 34 + min(longest, max(len(name) for name in what.names)) * 6.6
    parts = []
    for i, name in enumerate(what.names):
        if i % every == 0:
            middle = margin + (i + 0.5) * cell
            shown, whole = text(short(name, longest)), text(name)
            parts.append(
                f'<text class="tick end" x="{margin - 6:g}" y="{middle + 4:g}">{shown}<title>{whole}</title></text>'
            )
            parts.append(
                f'<text class="tick" x="{middle + 4:g}" y="{margin - 6:g}" transform="rotate(-90 {middle + 4:g} {margin - 6:g})">{shown}<title>{whole}</title></text>'
            )
    for i, row in enumerate(what.counts):
        total = sum(row)
        for j, count in enumerate(row):
            if count:
                parts.append(_cell(what, i, j, count, count / total, margin, cell))
    side = k * cell
    end = margin + side
    parts.append(f'<rect class="frame" x="{margin:g}" y="{margin:g}" width="{side}" height="{side}"/>')
    parts.append(f'<text class="label middle" x="{margin + side / 2:g}" y="12">answer</text>')
    centre = margin + side / 2
    parts.append(f'<text class="label middle" x="12" y="{centre:g}" transform="rotate(-90 12 {centre:g})">truth</text>')
    right = sum(row[i] for i, row in enumerate(what.counts))
    said = f"{right} of {sum(map(sum, what.counts))} items lie on the diagonal of {k} classes"
    return f'<div class="scroll">{svg(end + 8, end + 8, what.title, said, "".join(parts), "natural")}</div>', end > 480


def _cell(what: Matrix, i: int, j: int, count: int, share: float, margin: float, cell: int) -> str:
    """One count: blue on the diagonal, else orange, the stronger the larger its share of the class."""
    x, y = margin + j * cell, margin + i * cell
    colour = "right" if i == j else "wrong"
    strength = 0.12 + 0.88 * share
    said = ""
    if len(what.names) <= 40:
        said = f"<title>{text(what.names[i])} taken for {text(what.names[j])}: {count:,} ({share:.1%} of the class)</title>"
    drawn = f'<rect class="{colour}" x="{x:g}" y="{y:g}" width="{cell}" height="{cell}" fill-opacity="{strength:.2f}">{said}</rect>'
    if cell < 26 or (cell == 26 and count > 999):
        return drawn
    size = "" if cell == 42 and count < 10000 else " small"
    ink = "on" if strength > 0.55 else "ink"
    return drawn + f'<text class="tick middle {ink}{size}" x="{x + cell / 2:g}" y="{y + cell / 2 + 4:g}">{count}</text>'


def whiskers(what: Whiskers, show: Show) -> tuple[str, bool]:
    left, row, right = 250, 24, 220
    width, height = 960, len(what.names) * row + 46
    known = [v for f in what.figures for v in (f.value, f.low, f.high) if v is not None]
    low, high = span(known + ([what.mark[0]] if what.mark else []))
    place = lambda v: round(left + (v - low) / (high - low) * (width - left - right), 1)
    bottom = height - 40
    parts = []
    for value in ticks(low, high, 6):
        x = place(value)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="4" y2="{bottom}"/>')
        parts.append(f'<text class="tick middle" x="{x}" y="{bottom + 15}">{tick(value)}</text>')
    parts.append(f'<text class="label middle" x="{(left + width - right) / 2}" y="{height - 4}">{text(what.x)}</text>')
    if what.mark:
        x = place(what.mark[0])
        parts.append(
            f'<line class="mark" x1="{x}" x2="{x}" y1="0" y2="{bottom}"><title>{text(what.mark[1])}</title></line>'
        )
    for i, (name, found) in enumerate(zip(what.names, what.figures)):
        parts.append(_whisker(name, found, 4 + row * (i + 0.5), place, (left, width - right), i in what.strong))
    said = "; ".join(f"{name}: {' '.join(_shown(f))}" for name, f in zip(what.names, what.figures))
    return f'<div class="scroll">{svg(width, height, what.title, said, "".join(parts), "broad")}</div>', True


def _whisker(
    name: str, value: Figure, y: float, place: Callable[[float], float], ends: tuple[int, int], strong: bool
) -> str:
    colour = "c1" if strong else "c0"
    parts = [
        f'<text class="tick end" x="{ends[0] - 10}" y="{y + 4}">{text(short(name, 36))}<title>{text(name)}</title></text>'
    ]
    if value.low is not None and value.high is not None:
        parts.append(
            f'<line class="stem {colour}" x1="{place(value.low)}" x2="{place(value.high)}" y1="{y}" y2="{y}"/>'
        )
    if value.value is not None:
        parts.append(f'<g class="knots {colour}"><circle cx="{place(value.value)}" cy="{y}" r="4.5"/></g>')
    main, rest = _shown(value)
    parts.append(
        f'<text class="tick" x="{ends[1] + 12}" y="{y + 4}"><tspan class="strong">{main}</tspan>  {rest}</text>'
    )
    return "".join(parts)


def _shown(value: Figure) -> tuple[str, str]:
    main, rest = figure(value.value, value.low, value.high)
    return main, f"({rest})" if rest else ""
