"""The report: one HTML file with everything inside it. No script, nothing loaded; its own policy forbids both."""

from __future__ import annotations

import base64
import hashlib
import math
from typing import TYPE_CHECKING, Any

from deepen import __version__, metrics
from deepen.console import in_words
from deepen.data.checks import reasons_of
from deepen.evaluation import draw
from deepen.evaluation.html import bytes_, figure, seconds, short, text
from deepen.evaluation.intervals import Interval
from deepen.evaluation.show import Shown
from deepen.evaluation.style import STYLE
from deepen.panels import Cell, Figure, Panel, Table, Whiskers, digits

if TYPE_CHECKING:
    from deepen.evaluation.measure import Measured

NAMES = {"train": "training", "val": "validation", "test": "test"}
UNKNOWN = (math.nan, math.nan, math.nan)  # a figure that is not defined for the items of a part
REASONS = 20  # why items were set aside, that are listed
WORST = 15  # slices that are drawn
QUARANTINE = 100  # items of it that are listed; the rest stands in quarantine.json


def page(found: Measured, prepared: Any, config: Any, reads: int) -> str:
    """The whole page."""
    show = Shown(prepared, found.rows)
    sections = [
        ("figures", "Figures", _figures(found, show)),
        ("training", "Training", _panels(found.training, show)),
        ("answers", f"Answers on the {NAMES[found.part]} part", _panels(found.panels, show)),
        ("slices", "Groups of items", _slices(found, show)),
        ("data", "Data", _data(found, show)),
        ("costs", "Costs", _costs(found)),
    ]
    kept = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in kept)
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{content}</section>' for key, title, content in kept)
    head = _head(found, prepared, config, reads)
    return whole(f"deepen: run {found.run.id}", f"{head}<nav>{links}</nav>{body}{_foot(found, reads)}")


def whole(title: str, body: str) -> str:
    """A page that may load nothing: its own style, pictures inside it, no script."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


# ---------------------------------------------------------------- head


def _head(found: Measured, prepared: Any, config: Any, reads: int) -> str:
    metric, (value, low, high) = found.kind.metric, found.deciding
    main, between = figure(value, low, high)
    part = found.parts[found.part]
    words = [f"<b>{text(metric)}</b> ({metrics.MEANING.get(metric, '')}) on {part.items:,} {NAMES[found.part]} items."]
    if between:
        words.append(
            f"With 95 % confidence it lies between <b>{between.replace(' to ', '</b> and <b>')}</b> on items of this kind."
        )
    else:
        words.append("Too few items for an interval.")
    if found.baseline:
        words.append(f"For comparison: {text(short(found.baseline[0], 80))} reaches {digits(found.baseline[1])}.")
    sentences = "".join(f"<p>{text(sentence)}</p>" for sentence in found.verdict.sentences)
    return (
        f"<header><h1>Run {text(found.run.id)}</h1>{_facts(found, prepared, config)}</header>"
        f'<div class="headline"><div class="value">{main}</div><div class="words">'
        + "".join(f"<p>{sentence}</p>" for sentence in words)
        + f'</div></div><div class="verdict {found.verdict.word}">{sentences}</div>{_findings(found)}{_bias(found, reads)}'
    )


def _facts(found: Measured, prepared: Any, config: Any) -> str:
    """What was trained, on what, when."""
    source = {key: value for key, value in config.data.items() if value not in (None, {}, (), [])}
    inputs = ", ".join(encoder.describe() for encoder in prepared.signature.inputs.values())
    facts = [
        ("trained", f"{found.run.info.get('created', '')[:16].replace('T', ' ')} UTC, {found.run.info['state']}"),
        ("data", in_words(source)),
        ("items", f"{found.check['items']:,}: {', '.join(_counts(found.check))}"),
        ("from, to", f"{inputs} \u2192 {found.kind.describe()}"),
        ("model", in_words(config.model or {})),
        ("method", in_words(config.method)),
    ]
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text(short(value, 300))}</dd>" for name, value in facts) + "</dl>"


def _counts(check: dict[str, Any]) -> list[str]:
    """How many items went where; all of them are named."""
    others = {"unlabelled": "without label", "outside": "left out", "bad": "in quarantine"}
    return [f"{check[p]:,} {word}" for p, word in {**NAMES, **others}.items() if p in NAMES or check.get(p)]


def _bias(found: Measured, reads: int) -> str:
    """What makes the figure better than it will be in use."""
    if found.part == "train":
        return '<p class="warn">These are items the network was trained on: the figures say what it has memorised, not what it can do.</p>'
    if found.part == "val":
        return '<p class="warn">The kept weights were chosen on these items: the figures are biased upwards. The test part decides.</p>'
    if reads > 1:
        return (
            f'<p class="warn">The test part of this run has been read {reads} times. Whoever changes something after '
            "each look fits the model to the test.</p>"
        )
    return '<p class="soft">The test part of this run has been read once: now.</p>'


# ---------------------------------------------------------------- sections


def _figures(found: Measured, show: Shown) -> str:
    """The deciding figure of all parts as a picture, then every figure as a table."""
    metric = found.kind.metric
    order = [name for name in NAMES if name in found.parts]
    mark = (found.baseline[1], short(found.baseline[0], 80)) if found.baseline else None
    drawn = Whiskers(
        f"{metric} by part",
        metric,
        tuple(f"{_part(found, name)}" for name in order),
        tuple(_figure(found.parts[name].metrics[metric]) for name in order),
        f"Dots with their 95 % intervals. The dashed line: {mark[1]}." if mark else "Dots with their 95 % intervals.",
        mark,
    )
    rows: list[tuple[Cell, ...]] = []
    for name in found.parts[found.part].metrics:
        arrow = "" if name.rpartition(".")[2] == "bias" else " \u2191" if metrics.higher_is_better(name) else " \u2193"
        figures = (_figure(found.parts[p].metrics.get(name, UNKNOWN)) for p in order)
        rows.append((name + arrow, *figures, metrics.MEANING.get(name.rpartition(".")[2], "")))
    columns = ("figure", *(_part(found, name) for name in order), "what it says")
    table = Table(
        "All figures",
        columns,
        tuple(rows),
        "Below each its 95 % interval. \u2191 higher is better, \u2193 lower is better. A dash: not defined for these items.",
    )
    return _panels([drawn, table], show)


def _part(found: Measured, name: str) -> str:
    part = found.parts[name]
    counted = f"{part.items:,}" if part.items == part.of else f"{part.items:,} of {part.of:,}"
    chosen = ", chosen on" if name == "val" else ""
    return f"{NAMES[name]} ({counted}{chosen})"


def _figure(interval: Interval) -> Figure:
    value, low, high = (v if v == v else None for v in interval)  # NaN differs from itself
    return Figure(value, low, high)


def _findings(found: Measured) -> str:
    """What went wrong while it trained, and what to try."""
    return "".join(
        f'<p class="warn"><b>{text(one["name"].replace("_", " "))}</b>: {text(one["says"])} Try {text(one["advice"])}.</p>'
        for one in found.findings
    )


def _panels(panels: list[Panel], show: Shown) -> str:
    return f'<div class="panels">{"".join(draw.panel(panel, show) for panel in panels)}</div>' if panels else ""


def _slices(found: Measured, show: Shown) -> str:
    """The worst groups as a picture, all of them as a table."""
    all_, figure_ = found.slices.found, found.slices.figure
    if not all_:
        return ""
    worst, bad = all_[:WORST], [s for s in all_ if s.worse]
    named = "; ".join(short(s.name, 40) for s in bad[:4]) + (f"; and {len(bad) - 4} more" if len(bad) > 4 else "")
    verb = "are" if len(bad) > 1 else "is"
    says = f"{len(bad) or 'None'} of {len(all_)} groups {verb} worse (*) than the other items by more than chance"
    drawn = Whiskers(
        "The worst groups",
        figure_,
        tuple(f"{short(s.name)} (n {s.items:,}){' *' if s.worse else ''}" for s in worst),
        tuple(Figure(s.value, s.low, s.high) for s in worst),
        f"{says}{f': {named}' if bad else ''}. The intervals hold for all of them at once; the dashed line is all items.",
        (found.slices.whole, "all items"),
        tuple(i for i, s in enumerate(worst) if s.worse),
    )
    rows = tuple((s.name, s.items, Figure(s.value, s.low, s.high), "worse" if s.worse else "") for s in all_)
    return _panels([drawn, Table("All groups", ("group", "items", figure_, ""), rows, folded=True)], show)


def _data(found: Measured, show: Shown) -> str:
    check = found.check
    notes = list(dict.fromkeys([*check["notes"], *found.notes]))
    said = "".join(f'<p class="warn">{text(short(note, 400))}</p>' for note in notes) or "<p>Nothing was noted.</p>"
    parts = ("train", "val", "test", "unlabelled", *(["outside"] if check.get("outside") else []), "bad")
    counts = tuple(
        (NAMES.get(part, part), check[part], f"{check[part] / max(check['items'], 1):.1%}") for part in parts
    )
    panels: list[Panel] = [Table("Where every item went", ("part", "items", "share"), counts)]
    if check["quarantine"]:
        reasons = reasons_of(bad["reason"] for bad in check["quarantine"])[:REASONS]
        panels.append(Table("Why items were set aside", ("reason", "items"), tuple(reasons)))
        listed = tuple((bad["id"], bad["reason"]) for bad in check["quarantine"][:QUARANTINE])
        panels.append(Table("Items set aside", ("item", "reason"), listed, folded=True))
    return said + _panels(panels, show)


def _costs(found: Measured) -> str:
    costs = found.costs
    facts = [("parameters", f"{costs['parameters']:,}"), ("model file", bytes_(costs["bytes"]))]
    if costs["multiply_adds"]:  # what has no layers, such as a tree of probabilities, has none that are counted
        said = "convolutions, dense and recurrent layers, attention"
        facts.append(("multiply-adds for one item", f"{costs['multiply_adds']:,} ({said})"))
    for batch, times in costs["seconds"].items():
        facts.append(
            (
                f"time per item, batch {batch}",
                f"{seconds(times['median'])} median, {seconds(times['p95'])} at the 95th percentile of {times['calls']} calls",
            )
        )
    facts.append(("measured on", costs["machine"]))
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl><p class='soft'>From the raw item to the answer, by the trained network itself.</p>"


def _foot(found: Measured, reads: int) -> str:
    return (
        f"<footer><p>deepen {text(__version__)}. The same figures for programs: <code>evaluation/{found.part}.json</code>. "
        f"Intervals: bootstrap over items, Wilson's for shares of items. Test part read {reads} times so far "
        "(<code>evaluation/ledger.jsonl</code>).</p></footer>"
    )
