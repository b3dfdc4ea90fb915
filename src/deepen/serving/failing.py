"""Whether a version fails more often than those it shares the traffic with, judged at every failure.

    S <- max(0, S + log(q / w))                 after a failure of its own     q = ODDS w / (1 + (ODDS - 1) w)
    S <- max(0, S + log((1 - q) / (1 - w)))     after one of another's         surely, where S >= log(1 / SURE)

Requests are dealt out by lot: where versions fail alike, whatever the items and however busy the machine, a failure is one's
own with the chance of its share. So no rate of failure need be known or guessed.

Paper    Page 1954 (the sum), Lorden 1971: where none fails more often, the mean number of failures to a false alarm is at
         least 1 / SURE.
Letters  S: one sum for each version, w: its share of the requests, q: its share of the failures were it to fail ODDS times
         as often as the others
"""

from __future__ import annotations

import math
from collections.abc import Mapping

ODDS = 10.0  # what is looked for; half the traffic each, three times as often is found as well, twice is not
SURE = 1e-6


class Failing:
    """The sums of versions that share the traffic."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}

    def add(self, failed: str, shares: Mapping[str, float]) -> str:
        """Count a request that failed; returns the version that surely fails more often than the others, if one does.

        shares  of the versions that requests are dealt to, in any unit
        """
        if failed not in shares or len(shares) < 2:
            return ""
        total = sum(shares.values())
        for name, share in shares.items():
            w = share / total
            q = ODDS * w / (1 + (ODDS - 1) * w)
            step = math.log(q / w) if name == failed else math.log((1 - q) / (1 - w))
            self.sums[name] = max(0.0, self.sums.get(name, 0.0) + step)
        return failed if self.sums[failed] >= -math.log(SURE) else ""
