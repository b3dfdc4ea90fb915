"""Rows in time: their order, the step between them, the gaps, and the windows that reach over none. Torch-free.

A row whose time is missing or stands twice is set aside with the reason; what is sorted, and what gaps there are, is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deepen.console import duration
from deepen.content.cells import seconds_of, shown
from deepen.content.clock import never_set
from deepen.data.columns import Column, infer
from deepen.data.items import Bad
from deepen.errors import DeepenError, counted, listed
from deepen.preprocess.series import NEAR

RARE = 0.05  # a share of steps above which unlike ones are no gaps: the series has no step of its own
DAY = 86_400.0
LONGEST_DAY, WEEK, YEAR = 1.05 * DAY, 6.5 * DAY, 365.25 * DAY


@dataclass
class Timeline:
    """Rows of one or several series, one series after the other, each in the order of time.

    rows      int64 (n,): places in the table
    moments   float64 (n,): seconds, or what the times count
    starts    bool (n,): whether a row begins anew: another series, or what follows a gap
    step      between two rows; 0: not regular
    dated     whether moments are seconds
    """

    rows: np.ndarray
    moments: np.ndarray
    starts: np.ndarray
    step: float
    dated: bool
    form: str = ""
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def windows(self, length: int) -> np.ndarray:
        """int64: where windows of so many rows begin that reach over no gap, from one series into none other."""
        edges = np.r_[np.flatnonzero(self.starts), len(self.rows)]
        room = np.repeat(edges[1:], np.diff(edges)) - np.arange(len(self.rows))  # rows left in the stretch
        return np.flatnonzero(room >= length)

    @property
    def begin(self) -> np.ndarray:
        """int64 (n,): the first row of the stretch that each row is of."""
        return np.maximum.accumulate(np.where(self.starts, np.arange(len(self.rows)), 0))

    @property
    def longest(self) -> int:
        """Rows of the longest stretch."""
        return int(np.diff(np.r_[np.flatnonzero(self.starts), len(self.rows)]).max(initial=0))


def timeline(time: Column | None, group: np.ndarray, ids: list[str]) -> Timeline:
    """Order in time. `group`: int (n,), which series a row is of; without times the order of the rows."""
    if time is None:
        order = np.argsort(group, kind="stable")
        starts = np.r_[True, np.diff(group[order]) != 0]
        return Timeline(order, order.astype(np.float64), starts, 1.0, False)
    moments, dated, form = _moments(time)
    notes = _never_set(moments, group) if dated else []
    known = np.isfinite(moments)
    bad = [Bad(ids[i], _no_time(time, i)) for i in np.flatnonzero(~known).tolist()]
    order = np.flatnonzero(known)
    order = order[np.lexsort((moments[order], group[order]))]
    same = np.r_[False, (np.diff(group[order]) == 0) & (np.diff(moments[order]) == 0)]
    bad += [Bad(ids[i], "its time stands twice") for i in np.sort(order[same])]
    order = order[~same]
    if not len(order):
        raise DeepenError("data.time", f"column {time.name!r}", "no row with a time", "dates, or numbers that rise")
    found = Timeline(order, moments[order], np.zeros(0, bool), 0.0, dated, form, bad, notes)
    _order(found, group, ids)
    _steps(found, group[order], time)
    return found


def _moments(time: Column) -> tuple[np.ndarray, bool, str]:
    """float64 (n,) with NaN where there is no time, whether they are seconds, and the order of day and month."""
    values, wrong = time.numbers()
    if time.share(wrong) <= 0.5 and infer(time).kind != "date":  # 20180220 is a day
        return np.where(wrong, np.nan, values)[time.codes], False, ""
    form = infer(time, "date").form
    wrong = time.dates(form)
    if time.share(wrong) > 0.5:
        odd = next(text for text, w in zip(time.texts, wrong) if w)
        raise DeepenError(
            "data.time", f"column {time.name!r}", f"holds {shown(odd)}", "dates, or numbers that rise with time"
        )
    parsed = [np.nan if w else seconds_of(text, form) for text, w in zip(time.texts, wrong)]
    return np.array(parsed)[time.codes], True, form


def _never_set(moments: np.ndarray, group: np.ndarray) -> list[str]:
    """Put right, in place, the moments of series in which a clock was set back; what is said of that."""
    order = np.lexsort((moments, group))
    same = (np.diff(group[order]) == 0) & (np.diff(moments[order]) == 0)
    found: dict[str, None] = {}
    for code in np.unique(group[order[1:][same]]).tolist():
        rows = np.flatnonzero(group == code)
        moments[rows], hours = never_set(moments[rows])
        found |= dict.fromkeys(hours)
    said = f"the hour from {listed(list(found), 3)} stands twice: a clock was set back; both are kept, in the order of the rows"
    return [said] if found else []


def moment(text: str, line: Timeline) -> float:
    """A time the user names, as a row's."""
    try:
        found = seconds_of(text, line.form) if line.dated else float(text)
        if np.isnan(found):
            raise ValueError(text)
        return found
    except (ValueError, OverflowError):
        wanted = "a date as in the data, such as 2018-02-20" if line.dated else "a number, as the times are"
        raise DeepenError("data.borders", "data.borders", f"got {shown(text)}", wanted) from None


def _no_time(time: Column, row: int) -> str:
    text = time.texts[time.codes[row]]
    return "no time" if text is None else f"column {time.name!r} holds {shown(text)}, not a time"


def _order(found: Timeline, group: np.ndarray, ids: list[str]) -> None:
    """Say whether rows were out of order."""
    kept = np.sort(found.rows)
    place = np.empty(len(group))
    place[found.rows] = found.moments
    back = (np.diff(place[kept]) < 0) & (np.diff(group[kept]) == 0)
    if back.any():
        first = ids[kept[1:][back][0]]
        found.notes.append(f"{counted(int(back.sum()), 'row')} earlier than the row before: sorted (first: {first})")


def _steps(found: Timeline, group: np.ndarray, time: Column) -> None:
    """The usual step, and where the others are."""
    other = np.r_[True, np.diff(group) != 0]
    steps = np.diff(found.moments)
    inner = steps[~other[1:]]
    found.starts = other
    if not len(inner):
        return
    usual = float(np.median(inner))
    odd = np.abs(steps / usual - 1) > NEAR
    gaps = odd & ~other[1:]
    if gaps.sum() > RARE * len(inner):
        spread = f"{_long(float(inner.min()), found.dated)} to {_long(float(inner.max()), found.dated)}"
        found.notes.append(f"steps of {spread}: rows are taken one after the other, whatever lies between them")
        return
    found.step, found.starts = usual, other | np.r_[False, gaps]
    if gaps.any():
        at = int(np.argmax(np.where(gaps, steps, -np.inf)))
        after = shown(time.texts[time.codes[found.rows[at]]])
        found.notes.append(
            f"{counted(int(gaps.sum()), 'gap')} where rows follow each other by {_long(usual, found.dated)}, the longest "
            f"{_long(float(steps[at]), found.dated)} after {after}: no window reaches over one"
        )


def _long(step: float, dated: bool) -> str:
    if not dated:
        return f"{step:g}"
    return f"{step / DAY:.3g} days" if step >= 2 * DAY else duration(step) if step >= 1 else f"{step:g} s"


def season(step: float, dated: bool, most: int) -> int:
    """Rows after which a series may be expected to repeat itself: a day, a week, a year. 1 where there is none."""
    if not dated or step <= 0:
        return 1
    if step > LONGEST_DAY:
        rows = round(YEAR / step) if step > WEEK else 1
    else:
        rows = 7 if step > 0.95 * DAY else round(DAY / step)
    return rows if 1 < rows <= most else 1
