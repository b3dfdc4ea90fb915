"""Groups of items on which a model is worse than elsewhere: by true answer, by a table's columns, by a picture's light.

Looking at many groups, some are worse by chance: the level of every interval and test is shared out among all groups
that were looked at (Bonferroni), so a group that is named worse is so at 95 % for the whole table. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np

from deepen.evaluation.intervals import wilson
from deepen.panels import PerItem, digits
from deepen.preprocess.row import Rows, text_or_none

Group = tuple[str, np.ndarray]
FEWEST = 10  # items in a group that is looked at
MOST_VALUES = 50  # a column with more different values is no grouping


class Slice(msgspec.Struct, frozen=True):
    """A group's figure with an interval that holds for all groups at once; `worse`: more than chance."""

    name: str
    items: int
    value: float
    low: float
    high: float
    worse: bool


class Compared(msgspec.Struct, frozen=True):
    """All groups that were looked at, the worst first; `whole` is the figure of all items."""

    figure: str = ""
    whole: float = 0.0
    found: tuple[Slice, ...] = ()


def compare(figure: PerItem, groups: Iterable[Group], level: float = 0.95) -> Compared:
    """Every group with enough items, against the other items."""
    whole = figure.values
    kept = [(name, mask) for name, mask in groups if FEWEST <= mask.sum() < len(whole)]
    shared = 1 - (1 - level) / max(len(kept), 1)
    found = [_slice(figure, name, mask, shared) for name, mask in kept]
    found.sort(key=lambda s: s.value if figure.higher else -s.value)
    return Compared(figure.name, float(whole.mean()), tuple(found))


def _slice(figure: PerItem, name: str, mask: np.ndarray, level: float) -> Slice:
    own, rest = figure.values[mask], figure.values[~mask]
    n, mean = len(own), float(own.mean())
    if np.isin(figure.values, (0, 1)).all():
        low, high = wilson(mean, n, level)
    else:
        half = NormalDist().inv_cdf((1 + level) / 2) * float(own.std(ddof=1)) / np.sqrt(n)
        low, high = mean - half, mean + half
    # the spread of all items, not of the group: a group that is all right or all wrong has none of its own
    noise = float(figure.values.std()) * np.sqrt(1 / n + 1 / len(rest))
    gap = (float(rest.mean()) - mean) * (1 if figure.higher else -1)
    worse = bool(noise > 0 and gap / noise > NormalDist().inv_cdf(level))
    return Slice(name, n, mean, float(low), float(high), worse)


def groups_of(prepared: Any, rows: np.ndarray) -> Iterator[Group]:
    """Groups by what is known of the items, as masks over `rows`."""
    seen: set[str] = set()
    for values in (*prepared.items.inputs.values(), prepared.items.columns):
        if isinstance(values, Rows):
            for name, column in values.columns.items():
                if name not in seen:
                    seen.add(name)
                    yield from by_number(name, column[rows]) if column.dtype != object else by_text(name, column[rows])
    for array in prepared.columns.values():
        if isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == 4:
            pictures = array[rows].reshape(len(rows), -1)
            yield from by_number("brightness", pictures.mean(1) / 255)
            yield from by_number("contrast", pictures.std(1) / 255)


def by_number(name: str, values: np.ndarray) -> Iterator[Group]:
    """Quarters of the items; single values where there are few of them; missing ones apart."""
    values = values.astype(np.float64)
    known = values[~np.isnan(values)]
    different = np.unique(known)
    if len(different) <= 8:
        yield from ((f"{name} = {value:.6g}", values == value) for value in different)
    else:
        edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
        place = np.searchsorted(edges[1:-1], values, "right")
        for i, (low, high) in enumerate(pairwise(edges)):
            yield f"{name} {digits(low)} to {digits(high)}", (place == i) & ~np.isnan(values)
    if len(known) < len(values):
        yield f"{name} missing", np.isnan(values)


def by_text(name: str, values: np.ndarray) -> Iterator[Group]:
    """Each value, where there are not too many."""
    texts = [text_or_none(value) for value in values.tolist()]
    names, place = np.unique([text or "" for text in texts], return_inverse=True)
    if len(names) <= MOST_VALUES:
        for i, value in enumerate(names.tolist()):
            yield f"{name} = {value}" if value else f"{name} missing", place == i
