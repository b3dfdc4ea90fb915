"""The monitor's page: one HTML file, nothing loaded, no script; what stands, what changed, how the service does."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepen.evaluation import draw
from deepen.evaluation.html import short, text
from deepen.evaluation.quality import Quality
from deepen.evaluation.report import whole
from deepen.monitoring.windows import LIVE, TRAINING, Check, State
from deepen.panels import Curves, Figure, Line, Panel, Share, Table, Whiskers, line
from deepen.store.live import Pulse

LINES = 6  # columns whose way is drawn
CLOSER = 4  # columns whose bins are shown
MEASURES = {TRAINING: "those of training", LIVE: "live items asked before this version took over"}
BARS = 24  # bins of a column


def page(
    name: str,
    state: State,
    shares: Mapping[str, float],
    pulse: Sequence[Pulse],
    quality: Mapping[str, Quality | None],
    now: float,
) -> str:
    """The whole page. shares: version -> share of the requests; quality: version -> figures on labelled items."""
    sections = [(f"Version {v}", _version(state, v, share, quality)) for v, share in shares.items()]
    sections.append(("Service", _panels(service(pulse, now))))
    body = "".join(f"<section><h2>{text(title)}</h2>{content}</section>" for title, content in sections if content)
    return whole(f"deepen: {name} in service", f"{_head(name, state, now)}{body}{_foot(state)}")


def _head(name: str, state: State, now: float) -> str:
    count = len(state.alarms)
    stands = (
        "No alarm stands." if not count else f"{count} alarm{'s' if count > 1 else ''} stand{'' if count > 1 else 's'}."
    )
    items = "".join(
        f"<p><b>{text(a.says)}</b> <span class='soft'>since {_clock(a.since)}</span></p>" for a in state.alarms
    )
    when = f"Looked at {_clock(now)}. Each window is {state.window:,} sampled items."
    return (
        f"<header><h1>{text(short(name, 80))} in service</h1><p class='soft'>{when}</p></header>"
        f'<div class="verdict {"overfit" if count else ""}"><p>{stands}</p>{items}</div>'
    )


def _foot(state: State) -> str:
    return (
        "<footer><p>p: the chance that one of all tests finds such a change where nothing has changed (Holm's correction). "
        "Effect: the population stability index, or for all columns together the squared distance as a share of the scatter. "
        "An alarm needs both; it ends after three windows without it. The same for programs: <code>monitor.json</code>, "
        "<code>alerts.jsonl</code>.</p></footer>"
    )


def _version(state: State, version: str, share: float, quality: Mapping[str, Quality | None]) -> str:
    checks = [check for check in state.checks if check.version == version]
    said = f"<p>Answers {share:.0%} of the requests.</p>"
    panels = [quality_panel(found)] if (found := quality.get(version)) is not None else []
    if not checks:
        return f"{said}<p>Fewer than {state.window:,} sampled items so far.</p>{_panels(panels)}"
    newest = checks[-1]
    return said + _panels([*panels, judged_panel(newest), *course(checks), *closer(newest)])


def quality_panel(found: Quality) -> Panel:
    """The figure in service beside the one at the export."""
    figures = tuple(Figure(*interval) for interval in (found.before, found.now))
    names = (f"at the export (n {found.before_items:,})", f"in service (n {found.items:,})")
    note = f"{found.says}. Intervals of 99 %." + (" Worse than at the export." if found.worse else "")
    return Whiskers(
        f"{found.metric} on labelled items", found.metric, names, figures, note, strong=(1,) if found.worse else ()
    )


def judged_panel(check: Check) -> Panel:
    """Every test of the newest window, the surest first."""
    rows = tuple(
        (
            f"{'! ' if judged.alarm else ''}{judged.group}: {judged.finding.column} ({judged.monitor})", judged.finding.items,
            float(f"{max(judged.p, 1e-9):.2g}"), judged.finding.effect, judged.finding.says,
        )
        for judged in check.found
    )  # fmt: skip
    note = (
        f"{check.items:,} items from {_clock(check.start)} to {_clock(check.end)}, against {MEASURES[check.against]}; what is "
        "surer in the last three windows is taken from them. An exclamation mark is an alarm; a p of 1e-09 stands for all that are smaller."
    )
    return Table(f"Window {check.number}", ("what", "items", "p", "effect", "change"), rows, note)


def course(checks: Sequence[Check]) -> list[Panel]:
    """Window by window: the surest change, the effect of what changed most, uncertainty and latency."""
    at = [float(check.number) for check in checks]
    if len(at) < 2:
        return []
    sure = [-math.log10(max(min((j.p for j in check.found), default=1.0), 1e-30)) for check in checks]
    most: dict[str, list[tuple[float, float]]] = {}
    for check in checks:
        for judged in check.found:
            most.setdefault(judged.finding.column, []).append((float(check.number), judged.finding.effect))
    ranked = sorted(most, key=lambda column: -max(effect for _, effect in most[column]))[:LINES]
    effects = tuple(line(column, *zip(*_by_window(most[column]))) for column in ranked)
    figures: list[tuple[str, str, Callable[[Check], float]]] = [
        ("Time for an answer", "median, ms", lambda check: check.latency * 1e3)
    ]
    if any(check.uncertainty for check in checks):  # a number says nothing of its own error
        figures.insert(0, ("How unsure the model is", "median uncertainty", lambda check: check.uncertainty))
    return [
        Curves(
            "The surest change",
            "window",
            "-log10 p",
            (line("smallest p", at, sure),),
            "The higher, the surer: 3 is a p of 0.001.",
        ),
        Curves("How large the changes are", "window", "effect", effects, "The columns that changed most."),
        *(Curves(title, "window", y, (line(y, at, [of(check) for check in checks]),)) for title, y, of in figures),
    ]


def _by_window(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """One point a window: the largest."""
    best: dict[float, float] = {}
    for window, effect in points:
        best[window] = max(effect, best.get(window, 0.0))
    return sorted(best.items())


def closer(check: Check) -> list[Panel]:
    """The bins of what changed most, in what the version is measured against and in the window."""
    some = [judged for judged in check.found if judged.finding.bins and (judged.alarm or judged.p < 0.05)][:CLOSER]
    return [
        Table(
            f"{judged.group}: {judged.finding.column}",
            ("value", check.against, "in service"),
            tuple((name, Share(p), Share(q)) for name, p, q in _largest(judged.finding)),
            judged.finding.says,
        )
        for judged in some
    ]


def _largest(finding: Any) -> list[tuple[str, float, float]]:
    """The bins in their order; of many those that changed most."""
    bins = list(zip(finding.bins, finding.before, finding.now))
    kept = sorted(range(len(bins)), key=lambda i: -abs(bins[i][1] - bins[i][2]))[:BARS]
    return [bins[i] for i in sorted(kept) if bins[i][1] or bins[i][2]]


def service(pulse: Sequence[Pulse], now: float) -> list[Panel]:
    """The service's own record of the last day, over hours before now."""
    if len(pulse) < 2:
        return []
    hours = [(p.time - now) / 3600 for p in pulse]
    drawn = lambda name, of: line(name, hours, [of(p) for p in pulse])
    timed = [p for p in pulse if p.latency]
    delays = tuple(
        Line(n, tuple((p.time - now) / 3600 for p in timed), tuple(p.latency[n] * 1e3 for p in timed))
        for n in (timed[0].latency if timed else ())
    )
    failed = lambda p: sum(p.errors.values()) / max(p.requests, 1)
    panels: list[tuple[str, str, tuple[Line, ...]]] = [
        ("Requests", "a second", (drawn("requests", lambda p: p.requests / max(p.seconds, 1e-9)),)),
        ("Errors", "share of the requests", (drawn("errors", failed),)),
        ("Time for an answer", "ms", delays),
        ("Requests that wait", "at the end of each stretch", (drawn("waiting", lambda p: p.waiting),)),
        ("Processor", "cores", (drawn("cores", lambda p: p.cpu),)),
        ("Memory", "MiB", (drawn("memory", lambda p: p.memory / 2**20),)),
    ]
    return [Curves(title, "hours before now", y, lines) for title, y, lines in panels if lines]


def _panels(panels: Sequence[Panel]) -> str:
    return (
        f'<div class="panels">{"".join(draw.panel(panel, lambda row: "") for panel in panels)}</div>' if panels else ""
    )


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
