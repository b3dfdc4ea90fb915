"""Cross-validation against scikit-learn's rules, and what must hold of any fold: no leak, all items, the same folds in every turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from deepen.config import Split
from deepen.data import folds
from deepen.data.split import PARTS, split
from deepen.errors import DeepenError
from tests.data.test_split import items

RNG = np.random.default_rng


def turns(data, strata, k: int, **options) -> list[dict[str, np.ndarray]]:
    return [split(data, strata, Split(folds=k, turn=turn, **options)) for turn in range(k)]


# ---------------------------------------------------------------- the rules


@pytest.mark.parametrize(("count", "k"), [(10, 2), (11, 5), (103, 7)])
def test_even_folds_are_of_the_sizes_of_kfold(count, k):
    wanted = [len(test) for _, test in KFold(k).split(np.zeros(count))]
    assert np.bincount(folds.even(count, k, RNG(0))).tolist() == wanted


@given(st.lists(st.integers(0, 4), min_size=12, max_size=120), st.integers(2, 6), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_each_class_is_dealt_out_as_by_stratified_kfold(labels, k, seed):
    strata = np.unique(np.sort(labels), return_inverse=True)[1]  # it numbers classes as they come
    if np.bincount(strata).max() < k:
        return
    mine = folds.stratified(strata, k, RNG(seed))
    for fold, (_, test) in enumerate(StratifiedKFold(k).split(strata, strata)):
        assert (
            np.bincount(strata[mine == fold], minlength=5).tolist() == np.bincount(strata[test], minlength=5).tolist()
        )


@given(st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_groups_fall_into_the_folds_of_group_kfold(k, seed):
    sizes = RNG(seed).permutation(np.arange(1, 3 * k + 1))  # all different: no choice is left
    group = RNG(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    mine = folds.grouped(group, k, RNG(seed))
    for fold, (_, test) in enumerate(GroupKFold(k).split(group, groups=group)):
        assert np.flatnonzero(mine == fold).tolist() == test.tolist()


@pytest.mark.parametrize(("count", "k"), [(12, 2), (53, 5), (100, 9)])
def test_times_are_stretched_as_by_time_series_split(count, k):
    for turn, (train, test) in enumerate(TimeSeriesSplit(k).split(np.zeros(count))):
        tested = folds.stretch(count, k, turn)
        assert list(range(count))[tested] == test.tolist()
        assert list(range(tested.start)) == train.tolist()


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("how", ["stratified", "random"])
def test_every_item_is_tested_once_and_never_learnt_from_then(how):
    strata = np.arange(203) % 3
    found = turns(items(203), strata, 5, how=how, val=0.2)
    assert sorted(np.concatenate([parts["test"] for parts in found]).tolist()) == list(range(203))
    for parts in found:
        assert sorted(np.concatenate([parts[part] for part in PARTS]).tolist()) == list(range(203))
        assert len(parts["val"]) == pytest.approx(0.2 * 203, abs=3), "a share of all items, as without folds"
    assert found[0]["val"].tolist() != found[1]["val"].tolist()


def test_another_seed_gives_other_folds_and_the_same_seed_the_same():
    strata = np.arange(100) % 3
    first, again, other = (turns(items(100), strata, 4, seed=seed) for seed in (0, 0, 1))
    assert all((a[p] == b[p]).all() for a, b in zip(first, again) for p in PARTS)
    assert first[0]["test"].tolist() != other[0]["test"].tolist()


@given(st.lists(st.integers(0, 15), min_size=40, max_size=120), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_no_group_is_on_both_sides(groups, seed):
    if len(set(groups)) < 8:
        return
    data = items(len(groups), patient=[f"p{g}" for g in groups])
    found = turns(data, np.zeros(len(groups), int), 3, how="group", by="patient", seed=seed)
    assert sorted(np.concatenate([parts["test"] for parts in found]).tolist()) == list(range(len(groups)))
    for parts in found:
        own = [{groups[row] for row in parts[part]} for part in PARTS]
        assert len(own[0] | own[1] | own[2]) == sum(map(len, own))


@pytest.mark.parametrize("how", ["stratified", "random"])
def test_copies_are_tested_together(how):
    hashes = [f"h{i // 2}" for i in range(120)]
    for parts in turns(items(120, hashes=hashes), np.arange(120) % 2, 4, how=how):
        own = [{hashes[row] for row in parts[part]} for part in PARTS]
        assert len(own[0] | own[1] | own[2]) == sum(map(len, own))


def test_what_is_tested_is_newer_than_what_was_learnt():
    moments = RNG(0).permutation(120)
    data = items(120, when=[str(m) for m in moments])
    found = turns(data, np.zeros(120, int), 3, how="time", by="when", val=0.2)
    for turn, parts in enumerate(found):
        assert moments[parts["train"]].max() < moments[parts["val"]].min()
        assert moments[parts["val"]].max() < moments[parts["test"]].min()
        assert sorted(moments[parts["test"]]) == list(range(30 * (turn + 1), 30 * (turn + 2)))
        assert len(parts["val"]) == round(0.2 / (1 - 1 / 3) * 30 * (turn + 1))


def test_spans_that_cross_a_border_are_in_no_part():
    data = items(100)
    data.spans = np.stack([np.arange(100.0), np.arange(100.0) + 3], 1)
    for parts in turns(data, np.zeros(100, int), 4):
        edges = [(data.spans[parts[p], 0].min(), data.spans[parts[p], 1].max()) for p in PARTS]
        assert edges[0][1] < edges[1][0]
        assert edges[1][1] < edges[2][0]
        assert len(parts["test"]) == 17


def test_what_the_data_keeps_for_the_test_is_in_no_fold():
    declared = ["train"] * 80 + ["test"] * 20
    found = turns(items(100, declared=declared), np.arange(100) % 2, 4)
    assert sorted(np.concatenate([parts["test"] for parts in found]).tolist()) == list(range(80))
    assert all(max(rows.max() for rows in parts.values()) < 80 for parts in found)


def test_declared_validation_stays():
    declared = ["train"] * 80 + ["val"] * 20
    for parts in turns(items(100, declared=declared), np.arange(100) % 2, 4):
        assert parts["val"].tolist() == list(range(80, 100))
        assert len(parts["test"]) == 20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 5, "turn": 5}, "split.turn: 5. Expected 0 to 4"),
        ({"folds": 200}, "100 items. Expected at least 200"),
        ({"folds": 5, "val": 0.8}, "split.val: 0.8 beside 5 folds"),
        ({"folds": 5, "val": 0.0}, "split.val: 0.0 beside 5 folds"),
        ({"folds": 9, "how": "group", "by": "g"}, "4 groups. Expected at least 9"),
    ],
)
def test_folds_that_cannot_be_are_told(options, told):
    data = items(100, g=["a", "b", "c", "d"] * 25)
    with pytest.raises(DeepenError, match=told):
        split(data, np.arange(100) % 2, Split(**options))
