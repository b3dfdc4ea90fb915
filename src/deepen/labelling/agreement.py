"""How far annotators agree beyond chance, for any kind of label whose distance can be said.

    alpha = 1 - D_o / D_e      D_o: mean distance within items, each weighted by its answers; D_e: among all answers
    kappa = 1 - D_o / D_e      of two annotators; D_e: between what one and the other give, items aside

Paper    Krippendorff 2011, Computing Krippendorff's Alpha-Reliability; Cohen 1960 (equal or not) and 1968 (weighted).
Differs  D_e is taken from at most MOST answers, evenly chosen: it grows with their square.
Letters  distance(a, b): 0 for the same label; its square is meant where the scale is one of numbers
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any

MOST = 400

Distance = Callable[[Any, Any], float]


def alpha(items: Sequence[Sequence[Any]], distance: Distance) -> float | None:
    """Krippendorff's alpha of the answers to each item; None where no item has two, or all answers are the same."""
    pairable = [answers for answers in items if len(answers) > 1]
    count = sum(map(len, pairable))
    if not count:
        return None
    within = sum(2 * sum(distance(a, b) for a, b in combinations(each, 2)) / (len(each) - 1) for each in pairable)
    counts = _counted([answer for answers in pairable for answer in answers])
    total = sum(n for _, n in counts)
    among = sum(2 * n * m * distance(a, b) for (a, n), (b, m) in combinations(counts, 2))
    return None if among == 0 else 1 - (within / count) / (among / (total * (total - 1)))


def kappa(pairs: Sequence[tuple[Any, Any]], distance: Distance) -> float | None:
    """Cohen's kappa of two annotators' answers to the same items; None where none, or all answers are the same."""
    if not pairs:
        return None
    observed = sum(distance(a, b) for a, b in pairs) / len(pairs)
    ones, others = _counted([a for a, _ in pairs]), _counted([b for _, b in pairs])
    total = sum(n for _, n in ones) * sum(n for _, n in others)
    expected = sum(n * m * distance(a, b) for (a, n), (b, m) in product(ones, others)) / total
    return None if expected == 0 else 1 - observed / expected


def summary(items: Sequence[dict[str, Any]], distance: Distance) -> dict[str, Any]:
    """Of the labels of each item by annotator: alpha of all, kappa and the share of equal answers of each two."""
    several = [each for each in items if len(each) > 1]
    names = sorted({name for each in several for name in each})
    pairs = []
    for a, b in combinations(names, 2):
        both = [(each[a], each[b]) for each in several if a in each and b in each]
        if both:
            same = sum(distance(x, y) == 0 for x, y in both) / len(both)
            pairs.append({"annotators": [a, b], "items": len(both), "same": same, "kappa": kappa(both, distance)})
    whole = alpha([list(each.values()) for each in several], distance)
    return {"items": len(several), "alpha": whole, "pairs": pairs}


def _counted(answers: Sequence[Any]) -> list[tuple[Any, int]]:
    """Different answers and how often each occurs."""
    step = max(1, -(-len(answers) // MOST)) if len({_name(answer) for answer in answers}) > MOST else 1
    chosen = answers[::step]
    first = {_name(answer): answer for answer in chosen}
    return [(first[name], n) for name, n in Counter(map(_name, chosen)).items()]


def _name(answer: Any) -> str:
    return json.dumps(answer, sort_keys=True)
