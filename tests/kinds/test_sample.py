"""Two sets of items: how far apart, how much of the one is like the other."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.evaluation.intervals import intervals
from deepen.kinds.sample import Sample
from deepen.likeness import encoded
from deepen.signature import Signature

POINTS = Sample(shape=(2,), picture=False, mean=(0.0, 0.0), scale=(1.0, 1.0), reads={}, draws=3)


def points(*centres: tuple[float, float], each: int = 100, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([np.array(c) + 0.1 * rng.normal(size=(each, 2)) for c in centres])


def test_what_makes_one_of_two_clouds_is_precise_and_covers_half():
    truth = points((0, 0), (5, 5))
    half = {"made": points((0, 0), (0, 0), seed=1)}
    whole = {"made": points((0, 0), (5, 5), seed=1)}
    wild = {"made": points((9, 0), (0, 9), seed=1)}
    assert POINTS.metrics(truth, half)["coverage"] == pytest.approx(0.5, abs=0.05)
    assert POINTS.metrics(truth, half)["precision"] > 0.85
    assert POINTS.metrics(truth, whole)["coverage"] > 0.85
    assert POINTS.metrics(truth, wild)["precision"] == 0
    distances = [POINTS.metrics(truth, made)["frechet_error"] for made in (whole, half, wild)]
    assert distances == sorted(distances)


def test_few_items_and_many_give_like_figures():
    """Balls shrink with the number of items; among groups of one size they do not."""
    kind = Sample(shape=(10,), picture=False, mean=(0.0,) * 10, scale=(1.0,) * 10, reads={}, draws=3)

    def likeness(n: int) -> float:
        rng = np.random.default_rng(0)
        return kind.metrics(rng.normal(size=(n, 10)), {"made": 0.6 * rng.normal(size=(n, 10)) + 0.5})["likeness"]

    assert likeness(250) == pytest.approx(likeness(1000), abs=0.04)


def test_the_interval_of_a_distance_holds_it():
    truth = points((0, 0), each=30)
    value, low, high = intervals(POINTS, truth, {"made": truth[::-1]}, resamples=100)["frechet_error"]
    assert low <= value <= high


def test_pictures_are_looked_at_small():
    kind = Sample(shape=(14, 14, 1), picture=True, mean=(10.0,), scale=(0.5,), reads={}, draws=3)
    pictures = np.random.default_rng(0).integers(256, size=(2, 14, 14, 1), dtype=np.uint8)
    expected = ((pictures - 10.0) * 0.5).reshape(2, 7, 2, 7, 2).mean((2, 4)).reshape(2, 49)
    np.testing.assert_allclose(kind.looked_at(pictures), expected)
    odd = Sample(shape=(9, 5, 1), picture=True, mean=(0.0,), scale=(1.0,), reads={}, draws=3)
    assert odd.looked_at(np.full((2, 9, 5, 1), 7)).tolist() == [[7.0] * 35] * 2


def test_draws_are_the_same_every_time_and_it_travels_in_the_signature():
    encoder, draws = POINTS.given(4)
    assert draws.tolist() == POINTS.given(9)[1][:4].tolist()
    one = Signature({"draw": encoder}, {"item": POINTS})
    back = Signature.from_json(one.to_json())
    assert (back.inputs, back.outputs) == (one.inputs, one.outputs)


def test_the_report_shows_made_ones_beside_held_out_ones():
    picture = Sample(shape=(4, 4, 1), picture=True, mean=(9.0,), scale=(0.5,), reads={}, draws=3)
    true, made = (np.full((60, 4, 4, 1), level, np.uint8) for level in (200, 30))
    first, second = picture.panels(true, {"made": made})
    assert (first.title, second.title) == ("Made", "Held out")
    assert {*first.rows[0]} == {encoded(made[0])}
    assert {*second.rows[0]} == {encoded(true[0])}
    assert len(first.captions) == len(first.rows[0]) == 48
    cloud, table = POINTS.panels(points((0, 0)), {"made": points((5, 5))})
    assert [line.name for line in cloud.lines] == ["held out", "made"]
    assert min(cloud.lines[1].x) > 4
    assert table.rows[0] == pytest.approx(points((5, 5))[0], rel=1e-4)
    single = Sample(shape=(1,), picture=False, mean=(0.0,), scale=(1.0,), reads={}, draws=3)
    assert [p.title for p in single.panels(np.ones((3, 1)), {"made": np.ones((3, 1))})] == ["Made"]
