"""Times of a clock on the wall, of which nothing says how far it is from UTC: an hour of one night in autumn stands twice. Torch-free."""

from __future__ import annotations

import datetime

import numpy as np

HOUR, DAY = 3600.0, 86_400.0
SUNDAY = 6
MONTHS = {3, 4, 9, 10, 11}  # in which clocks are set, north or south
LAST = 3.1e11  # seconds from the year 1 to beyond 9800
NIGHT = 4  # o'clock, before which they are


def never_set(moments: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The moments of a series as a clock tells them that is never set back, and the hours that stood twice.

    moments  float64 (n,): seconds (cells.seconds_of) in the order of the rows, NaN where there is no time. Where a whole
             hour of a Sunday's night in spring or autumn comes twice, its second half and all that is later are put an
             hour on; in such a series an hour that such a night lacks takes it back.
    """
    distinct, first = np.unique(moments[np.isfinite(moments)], return_index=True)
    if len(first) == np.isfinite(moments).sum() or len(distinct) < 2:
        return moments, []
    steps = np.diff(distinct)
    step = float(np.median(steps))
    if step > HOUR:
        return moments, []
    shift, hours = np.zeros(len(moments)), []
    for hour in np.unique(distinct // HOUR).tolist():
        rows = np.flatnonzero(moments // HOUR == hour) if _may_be_set(hour * HOUR) else np.zeros(0, int)
        half = round(HOUR / step)
        if len(rows) == 2 * half and (np.sort(moments[rows[:half]]) == np.sort(moments[rows[half:]])).all():
            shift[rows[half:]] += HOUR
            shift[moments >= (hour + 1) * HOUR] += HOUR
            hours.append(_shown(hour * HOUR))
    for before, after in zip(distinct[:-1][steps == step + HOUR], distinct[1:][steps == step + HOUR]):
        if hours and _may_be_set(before):
            shift[moments >= after] -= HOUR
    return moments + shift, hours


def _may_be_set(moment: float) -> bool:
    told = 0 <= moment < LAST  # numbers that are no dates lie anywhere
    return told and moment // DAY % 7 == SUNDAY and moment % DAY < NIGHT * HOUR and _date(moment).month in MONTHS


def _date(moment: float) -> datetime.datetime:
    return datetime.datetime.min + datetime.timedelta(seconds=moment)


def _shown(moment: float) -> str:
    return _date(moment).isoformat(" ", "minutes")
