"""How far the labelling is, kept up act by act: an answer costs the same whatever the number of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from deepen.store.dataset import Act, Standing


class Progress:
    """Counts over the items asked about.

    contents  of each of them as it is now: an act on another content is no answer to it
    times     how many labels an item needs
    kind      of answer: the class of a file in kinds/
    """

    def __init__(self, contents: Mapping[str, str], times: int, kind: Any) -> None:
        self.contents, self.times, self.kind = contents, times, kind
        self.upto = 0  # of the acts that standing has seen
        self.last: dict[str, dict[str, Act]] = {}
        self.done = 0
        self.by: Counter[tuple[str, str]] = Counter()  # (annotator, label or skip)
        self.names: Counter[str] = Counter()

    def see(self, standing: Standing) -> None:
        """Take in the acts since the last look."""
        for item in {*standing.touched[self.upto :]}:
            if item in self.contents:
                self._count(self.last.pop(item, {}), -1)
                self.last[item] = standing.last(item, self.contents[item])
                self._count(self.last[item], 1)
        self.upto = len(standing.touched)

    def _count(self, acts: Mapping[str, Act], sign: int) -> None:
        self.done += sign * (sum(act.action == "label" for act in acts.values()) >= self.times)
        for name, act in acts.items():
            self.by[name, act.action] += sign
            for given in self.kind.names_in([act.value]):
                self.names[given] += sign

    def of(self, annotator: str) -> dict[str, Any]:
        """What a page shows."""
        return {
            "done": self.done,
            "total": len(self.contents),
            "mine": self.by[annotator, "label"],
            "skipped": self.by[annotator, "skip"],
            "counts": dict(+self.names),
        }
