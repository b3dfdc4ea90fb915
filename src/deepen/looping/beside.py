"""Two versions on the same live items, one that answers and its shadow: what the server wrote down about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from deepen.serving.pace import Pace
from deepen.store.live import Beside, Pulse

FEWEST = 50  # live items that answers are compared on
MIXTURES = 21  # shares that are tried of each kind of held-out item


class Pair(NamedTuple):
    """The version before and the candidate: their paces, and of each column what answers of either were like (sketches
    of monitors/) over so many items."""

    before: Pace
    now: Pace
    answers: Mapping[str, Sequence[Any]]
    items: int


def pair(pulses: Sequence[Pulse], shadow: str, candidate: str) -> Pair:
    """All that pulses say of a shadow and who answered. Answers are told of for the newest items, so by the last pulse."""
    told = [pulse.beside[shadow] for pulse in pulses if shadow in pulse.beside]
    last = told[-1] if told else Beside()
    own, others = (_added(getattr(one, which) for one in told) for which in ("own", "others"))
    if shadow == candidate:
        return Pair(others, own, last.answers, last.items)
    return Pair(own, others, {column: two[::-1] for column, two in last.answers.items()}, last.items)


def _added(paces: Any) -> Pace:
    found: Pace = Counter()
    for pace in paces:
        found.update({int(at): count for at, count in pace.items()})
    return found


def moved(found: Pair, judged: Mapping[str, Any], further: float) -> str:
    """Why answers to live items lie too far from those of the version before; empty where they do not.

        min_ab max |live - a old - b new| > further + (1 / sqrt(n live) + 1 / sqrt(n held-out)) / 2        a, b >= 0, a + b <= 1

    Letters  live, old, new: by how much shares differ between the two versions, of each class, or up to each number, on live
             items and on held-out ones, known before and labelled since; n: items, of the fewer held-out ones

    Versions differ on held-out items too, there for the better. Live items are a mixture of such and of those that nothing
    changed for, so differences of shares are a mixture as well. What is left over nothing speaks for. The last term is chance.

    judged  the line of that step
    """
    if found.items < FEWEST:
        return ""
    known = [part for part in (judged["old"], judged["new"]) if part.get("answers")]
    for column, live in found.answers.items():
        parts = [part["answers"][column] for part in known if column in part["answers"]]
        if not parts:
            continue
        chance = (1 / math.sqrt(found.items) + 1 / math.sqrt(min(part["items"] for part in known))) / 2
        if (left := unexplained(live, parts)) > further + chance:
            return (
                f"answers to {found.items} live items have moved: shares of {column} differ from the version before by "
                f"{left:.2f} more than held-out items explain"
            )
    return ""


Two = Sequence[Any]  # sketches (monitors/) of a column, of the version before and of the candidate


def unexplained(live: Two, parts: Sequence[Two]) -> float:
    """The largest difference of shares that no mixture of the parts' differences has, 0 to 1."""
    if not all(sketch for two in (live, *parts) for sketch in two):
        return 0.0  # of one of them there was nothing
    own, *others = differences([live, *parts])
    steps = np.linspace(0, 1, MIXTURES)
    weights = np.array([each for each in product(steps, repeat=len(others)) if sum(each) < 1 + 1e-9])
    return float(np.abs(own - weights @ np.stack(others)).max(1).min())


def differences(pairs: Sequence[Two]) -> list[np.ndarray]:
    """Of each pair by how much shares of the second exceed those of the first: of every category, or up to every number."""
    every = [sketch for two in pairs for sketch in two]
    if isinstance(every[0], Mapping):
        names = sorted({name for sketch in every for name in sketch})
        shares = lambda sketch: np.array([sketch.get(name, 0.0) for name in names])
    else:
        at = np.unique(np.concatenate(every))
        shares = lambda sketch: np.searchsorted(sketch, at, "right") / len(sketch)
    return [shares(after) - shares(before) for before, after in pairs]
