"""Whether a candidate's answers have moved: two hundred looks at good ones, and thirty that are spoilt in service."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deepen.kinds.number import Number
from deepen.looping.beside import Pair, differences, moved, unexplained
from deepen.monitors import sketches
from deepen.serving.moving import Moving
from deepen.signature import Signature


def far(before, now) -> float:
    """By how much shares of two columns differ, as sketches tell it."""
    return float(np.abs(differences([sketches(np.array(before), np.array(now))])[0]).max())


def test_differences_of_shares_by_hand():
    assert far(list("aaab"), list("abbb")) == 0.5
    assert far(list("aab"), list("aac")) == pytest.approx(1 / 3)
    values = np.arange(100.0)
    assert far(values, values + 10) == pytest.approx(0.1, abs=0.02)
    assert far(values, values + 200) == 1.0
    names = [str(i) for i in range(1000)]
    assert sum(map(len, sketches(np.array(names), np.array(names)))) == 100
    assert sketches(np.full(3, np.nan), values)[0] == []


def test_rounding_is_no_change():
    sure = np.full(100, 1.0)
    assert far(sure, np.nextafter(sure, 0)) == 0
    values = np.random.default_rng(0).normal(200, 5, 100)
    assert far(values, values.astype(np.float32).astype(float)) == 0
    assert far(values, values + 5) > 0.3


def test_a_mixture_of_what_held_out_items_show_is_explained_and_nothing_else():
    """Old items are answered as ever, new ones no longer with a: of live items any share may be new."""
    two = lambda before, now: sketches(np.array(list(before)), np.array(list(now)))
    old, new = two("aabb" * 9, "aabb" * 9), two("aaaa" * 9, "abbc" * 9)
    for share in (0, 3, 10):
        live = two("aabb" * (10 - share) + "aaaa" * share, "aabb" * (10 - share) + "abbc" * share)
        assert unexplained(live, [old, new]) < 0.03
    assert unexplained(two("aaaa" * 9, "dddd" * 9), [old, new]) == pytest.approx(1.0)
    assert unexplained(two("aaaa" * 9, "cccc" * 9), [old, new]) == pytest.approx(0.75)
    assert unexplained(two("aaaa" * 9, "cccc" * 9), [old]) == 1.0
    nothing = (sketches(np.full(3, np.nan), np.ones(3)), [sketches(np.ones(3), np.ones(3))])
    assert unexplained(*nothing) == 0.0


def test_numbers_that_all_moved_are_seen_though_no_answer_differs_in_kind():
    signature = Signature({}, {"y": Number(mean=0.0, scale=1.0)})
    told = [{"value": float(value)} for value in np.random.default_rng(0).normal(0, 1, 60)]
    moving = Moving()
    moving.add((signature, told), (signature, [{"value": one["value"] + 2} for one in told]))
    assert moving.items == 60
    same = Moving()
    same.add((signature, told), (signature, told))
    assert unexplained(moving.sketches()["value"], [same.sketches()["value"]]) > 0.6
    two = Signature({}, {"x": Number(mean=0.0, scale=1.0), "y": Number(mean=0.0, scale=1.0)})
    moving = Moving()
    moving.add((two, [{"x": one, "y": one} for one in told]), (two, [{"x": one, "y": {"value": 9.0}} for one in told]))
    seen = {column: np.abs(differences([pair])[0]).max() for column, pair in moving.sketches().items()}
    assert seen == {"x.value": 0.0, "y.value": 1.0}


# ---------------------------------------------------------------- simulated candidates


def digits(rng, count: int, right: float, sure: float, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Classes and confidences of a version that is right so often; `most`: the class it says of what it does not know."""
    truth = rng.integers(0, 10, count)
    wrong = rng.integers(0, 10, count) if most is None else np.full(count, most)
    told = np.where(rng.random(count) < right, truth, wrong)
    return told.astype(str), np.clip(rng.normal(sure, 0.08, count), 0, 1)


def told(rng, live: int, new: float, spoil=None) -> str:
    """What is said of a candidate learnt since a share of the traffic is new. `spoil`: of its answers in service."""

    def both(count: int, share: float) -> list[tuple[np.ndarray, np.ndarray]]:
        fresh = int(share * count)
        before = [digits(rng, count - fresh, 0.95, 0.85), digits(rng, fresh, 0.05, 0.5, most=8)]
        now = [digits(rng, count - fresh, 0.96, 0.92), digits(rng, fresh, 0.8, 0.8)]
        return [tuple(np.concatenate(part) for part in zip(*each)) for each in (before, now)]

    shown = lambda two: {c: sketches(two[0][i], two[1][i]) for i, c in enumerate(("class", "confidence"))}
    judged = {
        "old": {"items": 100, "answers": shown(both(100, 0))},
        "new": {"items": 36, "answers": shown(both(36, 1))},
    }
    before, now = both(live, new)
    now = now if spoil is None else spoil(rng, *now)
    return moved(Pair(Counter(), Counter(), shown((before, now)), live), judged, 0.3)


def test_of_two_hundred_good_candidates_none_is_said_to_have_moved():
    """Looked at after every 50 items, whatever share of the traffic is new; and of versions that are equal even less."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        assert [told(rng, live, rng.random()) for live in (50, 100, 200, 400)] == [""] * 4


SPOILT = {
    "one class": lambda rng, told, sure: (np.full(len(told), "3"), sure),
    "unsure": lambda rng, told, sure: (told, rng.uniform(0.1, 0.3, len(told))),
    "one class for most": lambda rng, told, sure: (np.where(rng.random(len(told)) < 0.8, "5", told), sure),
}


def test_of_thirty_spoilt_ones_all_are_found_within_a_hundred_items():
    rng = np.random.default_rng(4)
    for _ in range(10):
        for name, spoil in SPOILT.items():
            assert told(rng, 100, rng.random(), spoil), name
