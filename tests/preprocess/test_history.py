"""What somebody had: the latest first, nothing unknown among it, no more than is looked at."""

from __future__ import annotations

import pytest

from deepen.errors import Invalid
from deepen.preprocess.history import History

HISTORY = History(("a", "b", "c"), 3)


def test_the_latest_known_ones_come_first():
    found = HISTORY.encode([["a", "gone", "b"], [], ["c", "a", "b", "b", "a"], {"events": ["gone"]}])["events"]
    assert found.tolist() == [[2, 1, 0], [0, 0, 0], [1, 2, 2], [0, 0, 0]]
    beside = HISTORY.encode([["a", "b", "c", "gone", "gone"]])["events"]
    assert beside.tolist() == [[3, 2, 1]], "what is not known takes no place of what is"


def test_ids_may_be_numbers_and_all_else_is_told_by_its_row():
    assert History(("7", "8")).encode([[7, "8"]])["events"].tolist() == [[2, 1]]
    for wrong in ([True], [1.5], [None], "a"):
        with pytest.raises(Invalid) as caught:
            HISTORY.encode([["a"], wrong])
        assert caught.value.row == 1


def test_what_is_watched():
    found = HISTORY.statistics(HISTORY.encode([["a", "b"], []]))
    assert found["events"].tolist() == [2, 0]
    assert found["latest"].tolist() == ["b", "(none)"]
