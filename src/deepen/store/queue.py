"""Which item is an annotator's next: the first in order that still needs their answer, found without going through all others.

Of the order there is a front for each annotator: what lies behind it needs no answer of theirs, but for a few items that are
kept apart, since somebody else looks at them, or something was done to them since (an answer taken back). Each act is looked
at once for each annotator: the cost of an answer does not grow with how many were given before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepen.store.dataset import Standing


class Queue:
    """Items in the order they are asked about.

    times     how many people are to answer each item
    contents  of the items as they are now: an act on another content is no answer to them
    """

    def __init__(self, order: Sequence[str], times: int = 1, contents: Mapping[str, str] | None = None) -> None:
        self.order, self.times, self.contents = order, times, contents
        self.place = {item: at for at, item in enumerate(order)}
        self._ways: dict[tuple[str, bool], _Way] = {}

    def next(self, standing: Standing, others: Mapping[str, int], annotator: str, skipped: bool = False) -> str | None:
        """The next item of an annotator; None where there is none.

        others   item -> pages that show it now
        skipped  also what the annotator skipped
        """
        way = self._ways.setdefault((annotator, skipped), _Way())
        way.keep(self.place.get(item, len(self.order)) for item in standing.touched[way.upto :])
        way.upto = len(standing.touched)
        open_ = {at: self._wanted(standing, self.order[at], annotator, skipped) for at in way.apart}
        way.apart = [at for at, wanted in open_.items() if wanted]
        for at in way.apart:
            if open_[at] > others.get(self.order[at], 0):
                return self.order[at]
        while way.front < len(self.order):
            item = self.order[way.front]
            wanted = self._wanted(standing, item, annotator, skipped)
            if wanted > others.get(item, 0):
                return item
            way.front += 1
            if wanted:
                way.keep([way.front - 1])
        return None

    def _wanted(self, standing: Standing, item: str, annotator: str, skipped: bool) -> int:
        """How many more answers an item needs; 0 where none of this annotator's."""
        last = standing.last(item, None if self.contents is None else self.contents[item])
        mine = last[annotator].action if annotator in last else ""
        if mine == "label" or (mine == "skip" and not skipped):
            return 0
        return max(0, self.times - sum(act.action == "label" for act in last.values()))


class _Way:
    """How far one annotator is. `apart`: places before the front that may need an answer, ascending; `upto`: acts seen."""

    def __init__(self) -> None:
        self.front, self.upto = 0, 0
        self.apart: list[int] = []

    def keep(self, places: Iterable[int]) -> None:
        if new := {at for at in places if at < self.front}:
            self.apart = sorted(new | {*self.apart})
