"""Draws by a seed or number by number."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deepen.errors import Invalid
from deepen.preprocess.draw import Draw

DRAW = Draw(3)


def test_a_seed_is_the_same_draw_everywhere():
    one, again, other = (DRAW.encode([{"seed": seed}])["draw"] for seed in (7, 7, 8))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one[0].tolist() == pytest.approx(np.random.default_rng(7).standard_normal(3).tolist())


def test_it_survives_json():
    for raw in (np.array([0.1, -2, 3], np.float32), {"seed": 7}):
        back = DRAW.parse(json.loads(json.dumps(DRAW.dump(raw))))
        assert np.array_equal(DRAW.encode([back])["draw"], DRAW.encode([raw])["draw"])


@pytest.mark.parametrize(
    "value",
    [{"seed": -1}, {"seed": 1.5}, {"seed": True}, {}, {"seed": 1, "x": 2}, [1, 2], [1, 2, "x"], [1, 2, None],
     [1, 2, True], [1, 2, 1e9], [1, 2, float("nan")], [[1, 2, 3]], 7, "seed", None, {"seed": 2**63}],
)  # fmt: skip
def test_anything_else_is_refused(value):
    with pytest.raises(Invalid):
        DRAW.parse(value)


@pytest.mark.parametrize("value", [{"seed": -1}, {"sed": 1}, {"seed": "a"}])
def test_a_seed_that_is_none_is_told_with_its_row(value):
    with pytest.raises(Invalid, match="item 1: no seed"):
        DRAW.encode([{"seed": 1}, value])
