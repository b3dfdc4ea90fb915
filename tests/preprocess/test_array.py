"""Arrays of one shape: what a client may send."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import Invalid
from deepen.preprocess.array import Array

ENCODER = Array((2, 3))


def test_one_is_encoded_as_many_are_and_goes_round_through_json():
    values = np.random.default_rng(0).normal(size=(5, 2, 3))
    values[1, 0, 0], values[2, 1, 1] = np.nan, np.inf
    many = ENCODER.encode(values)["array"]
    assert np.isnan(many[2, 1, 1])  # infinite is missing
    for i in range(5):
        np.testing.assert_array_equal(ENCODER.encode([values[i]])["array"][0], many[i])
        np.testing.assert_array_equal(ENCODER.encode([ENCODER.parse(ENCODER.dump(values[i]))])["array"][0], many[i])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "got a number"),
        ({"a": 1}, "got an object"),
        ([1, 2], "a number where 3 values belong"),
        ([[1, 2, 3]], "a list of 1 where 2 values belong"),
        ([[1, 2, 3], [1, 2]], "a list of 2 where 3 values belong"),
        ([[1, 2, 3], [1, 2, True]], "holds 'True'"),
        ([[1, 2, 3], [1, 2, "3"]], "holds '3'"),
        ([[1, 2, 3], [1, 2, [3]]], "holds '[3]'"),
    ],
)
def test_other_shapes_and_types_are_refused(value, reason):
    with pytest.raises(Invalid) as problem:
        ENCODER.parse(value)
    assert problem.value.reason == reason


def test_a_wrong_item_is_named_by_its_row():
    with pytest.raises(Invalid) as problem:
        ENCODER.encode([np.zeros((2, 3)), np.zeros((3, 2))])
    assert problem.value.row == 1
