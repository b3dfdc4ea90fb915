"""Whether a version is slower than another, of requests that both answered at the same time and in the same way.

    slow where surely more than 5 % of its requests take longer than factor * p95 of the other's, and NOISE more

Seconds are those of a request by its items. They are counted on a scale of four steps to the doubling, so that counts of
one stretch of time can be added to those of the next; what lies in the step of the limit is not yet beyond it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

FINE = 4  # steps to the doubling
NOISE = 0.01  # seconds that threads wait for each other here and there, also where nothing is slow
FEWEST = 20  # requests of each
TAIL = 0.05
SURE = 1e-6  # chance of so many beyond the limit where the same share is as ever: it is looked at again and again

Pace = Counter[int]  # step -> requests


def step(seconds: float) -> int:
    """Where seconds stand on the scale: at most `seconds_of` this step."""
    return math.ceil(FINE * math.log2(max(seconds, 1e-6)))


def seconds_of(step: int) -> float:
    """The upper end of a step."""
    return 2.0 ** (step / FINE)


def slow(before: Mapping[int, int], now: Mapping[int, int], factor: float) -> str:
    """How much slower, in words; empty where it is not, or not surely. A factor of 0 allows anything."""
    if not factor or min(sum(before.values()), sum(now.values())) < FEWEST:
        return ""
    usual, own = p95(before), p95(now)
    limit = factor * usual + NOISE
    beyond = sum(count for at, count in now.items() if seconds_of(at - 1) >= limit)
    if by_chance(beyond, sum(now.values()), TAIL) >= SURE:
        return ""
    return f"its answers take up to {own * 1e3:.3g} ms an item (95 % of them), those of the version before {usual * 1e3:.3g} ms"


def p95(pace: Mapping[int, int]) -> float:
    """The 95th percentile in seconds, to the upper end of its step."""
    left = math.ceil((1 - TAIL) * sum(pace.values()))
    for at in sorted(pace):
        left -= pace[at]
        if left <= 0:
            return seconds_of(at)
    return 0.0


def by_chance(k: int, n: int, p: float) -> float:
    """What the chance of k or more of n, each with a chance of p, does not exceed (Chernoff 1952)."""
    q = k / n
    if q <= p:
        return 1.0
    rest = (1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0
    return math.exp(-n * (q * math.log(q / p) + rest))
