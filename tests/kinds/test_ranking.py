"""Rankings: figures by hand, over all things."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.errors import DeepenError
from deepen.kinds.ranking import Ranking
from deepen.signature import Signature

KIND = Ranking.fit(["b", "a", "b"], items=tuple("abcdefghijkl"))


def given(*rows: list[float]) -> dict[str, np.ndarray]:
    return {"chances": np.array(rows, np.float32)}


def test_figures_worked_out_by_hand():
    assert KIND.counts[:3] == (1, 2, 0)
    falling = [12.0 - i for i in range(12)]  # a is first, l last
    target = KIND.encode(["a", "c", "j", "k", None])
    assert target.tolist() == [0, 2, 9, 10, -1]
    assert KIND.labelled(target).tolist() == [True] * 4 + [False]
    found = KIND.metrics(target[:4], given(*[falling] * 4))
    assert found["hit_rate_10"] == 0.75
    assert found["hit_rate_1"] == 0.25
    assert found["ndcg_10"] == pytest.approx((1 + 1 / 2 + 1 / np.log2(11)) / 4)
    assert found["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 10 + 1 / 11) / 4)
    twice = KIND.resampled(target[:4], given(*[falling] * 4), np.array([[2.0, 0, 0, 2]]))
    assert twice["ndcg_10"] == pytest.approx(0.5)


def test_equals_share_their_places():
    even = given([1.0] * 12)
    assert KIND.ranks(np.array([3]), even).tolist() == [7], "not first: the mean of places 1 to 12, rounded up"
    assert KIND.ranks(np.array([0]), given([0.5, 0.5] + [0.0] * 10)).tolist() == [2]


def test_answers_are_the_ten_likeliest_that_can_come():
    (answer,) = KIND.decode(given([0.0, 0.6, 0.4] + [0.0] * 9))
    assert [one["item"] for one in answer["items"]] == ["b", "c"]
    assert len(KIND.decode(given([1 / 12] * 12))[0]["items"]) == 10
    np.testing.assert_allclose(KIND.outputs([answer])["chances"][0, :4], [0, 0.6, 0.4, 0])
    assert KIND.gap(answer, answer) == 0
    assert KIND.gap(answer, {"items": []}) == np.inf
    assert KIND.agreement(given([0.6, 0.4] + [0.0] * 10), given([0.4, 0.6] + [0.0] * 10)) == 0
    assert KIND.baseline(np.array([1, 1, 0]), np.array([1, 0]))[1] == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_what_is_not_known_is_refused():
    with pytest.raises(DeepenError, match="'z' is not known"):
        KIND.encode(["z"])
    with pytest.raises(DeepenError, match="at least two to choose from"):
        Ranking.fit(["a"], items=("a",))


def test_the_report_and_the_signature():
    target, outputs = np.array([0, 1, 2]), given(*np.random.default_rng(0).dirichlet([1.0] * 12, 3).tolist())
    assert [panel.title for panel in KIND.panels(target, outputs)] == ["Found among the first", "Proposed most"]
    assert sum(mask.sum() for _, mask in KIND.slices(target)) == 3
    again = Signature.from_json(Signature({}, {"item": KIND}).to_json())
    assert again.answer == KIND
