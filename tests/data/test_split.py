"""Splits by their properties: disjoint, complete, in proportion, groups whole, time in order, a function of the seed."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepen.config import Split
from deepen.data.items import Items
from deepen.data.split import PARTS, split
from deepen.errors import DeepenError
from deepen.preprocess.row import Rows


def items(count: int, declared=None, hashes=(), **columns) -> Items:
    cells = {}
    for name, values in columns.items():
        cells[name] = np.empty(count, object)
        cells[name][:] = list(values)
    return Items(
        [f"{i}" for i in range(count)], {}, {}, [], "classes", split=declared, columns=Rows(cells), hashes=list(hashes)
    )


def whole(parts: dict, count: int) -> bool:
    """Each row in one part, each part sorted."""
    rows = np.concatenate([parts[part] for part in PARTS])
    return sorted(rows.tolist()) == list(range(count)) and all((np.diff(rows) > 0).all() for rows in parts.values())


shares = st.tuples(st.floats(0.1, 0.3), st.floats(0.1, 0.3))


@given(st.lists(st.integers(0, 5), min_size=30, max_size=300), shares, st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_stratified_keeps_each_class_in_proportion_to_within_one(labels, share, seed):
    strata = np.array(labels)
    config = Split(val=share[0], test=share[1], seed=seed)
    parts = split(items(len(strata)), strata, config)
    assert whole(parts, len(strata))
    for label in set(labels):
        count = labels.count(label)
        for part, wanted in zip(("val", "test"), share):
            got = int((strata[parts[part]] == label).sum())
            assert abs(got - wanted * count) <= 1 + 1e-6 or count < 5
        if count > 1:
            assert (strata[parts["train"]] == label).any()
    again = split(items(len(strata)), strata, config)
    assert all((parts[part] == again[part]).all() for part in PARTS)


def test_another_seed_is_another_split():
    strata = np.arange(200) % 3
    first, second = (split(items(200), strata, Split(seed=seed)) for seed in (0, 1))
    assert set(first["test"]) != set(second["test"])


def test_many_classes_of_two_items():
    strata = np.repeat(np.arange(50), 2)
    parts = split(items(100), strata, Split())
    assert whole(parts, 100)
    assert set(strata[parts["train"]]) == set(range(50))  # each class can be learnt
    assert len(parts["val"]) + len(parts["test"]) > 20


def test_what_tiny_classes_cannot_give_is_not_taken_from_a_large_one():
    strata = np.concatenate([np.arange(100), np.full(100, 100)])
    parts = split(items(200), strata, Split())
    assert int((strata[parts["test"]] == 100).sum()) in {15, 16}


@given(st.lists(st.integers(0, 30), min_size=40, max_size=200), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_groups_are_never_divided(groups, seed):
    count = len(groups)
    if len(set(groups)) < 4:
        return
    data = items(count, patient=[f"p{g}" for g in groups])
    parts = split(data, np.zeros(count, int), Split(how="group", by="patient", seed=seed))
    assert whole(parts, count)
    own = [{groups[row] for row in parts[part]} for part in PARTS]
    assert not own[0] & own[1]
    assert not own[0] & own[2]
    assert not own[1] & own[2]


def test_few_small_groups_beside_a_large_one_reach_every_part():
    for seed in range(20):
        data = items(40, patient=["large"] * 37 + ["a", "b", "c"])
        parts = split(data, np.zeros(40, int), Split(how="group", by="patient", seed=seed))
        assert len(parts["val"]) in {1, 2}
        assert len(parts["test"]) == 3 - len(parts["val"])


def test_rows_without_a_group_stand_alone():
    data = items(300, patient=[""] * 290 + ["p"] * 10)
    parts = split(data, np.zeros(300, int), Split(how="group", by="patient"))
    assert 40 <= len(parts["test"]) <= 46


def test_a_few_large_groups_still_give_three_parts():
    groups = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    parts = split(items(100, g=groups), np.zeros(100, int), Split(how="group", by="g"))
    assert sorted(len(rows) for rows in parts.values()) == [20, 30, 50]


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda i: i,
        lambda i: f"{i / 7:.5f}",
        lambda i: f"1,{i:03d}",
        lambda i: (datetime.date(2020, 1, 1) + datetime.timedelta(i)).isoformat(),
        lambda i: (datetime.date(2020, 1, 1) + datetime.timedelta(i)).strftime("%m/%d/%Y"),
        lambda i: (datetime.date(2020, 1, 1) + datetime.timedelta(i)).strftime("%d.%m.%Y"),
        lambda i: (datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=37 * i)).isoformat(" "),
    ],
)
def test_time_is_in_order_however_it_is_written(write):
    moments = np.random.default_rng(0).permutation(400)
    parts = split(items(400, when=[write(int(m)) for m in moments]), np.zeros(400, int), Split(how="time", by="when"))
    assert whole(parts, 400)
    assert moments[parts["train"]].max() < moments[parts["val"]].min()
    assert moments[parts["val"]].max() < moments[parts["test"]].min()


def test_time_that_is_missing_is_an_error():
    with pytest.raises(DeepenError, match=r"column 'when': no value in 1 item\. Expected a time for each item"):
        split(items(3, when=["1", "", "2"]), np.zeros(3, int), Split(how="time", by="when"))


@given(st.lists(st.integers(0, 40), min_size=60, max_size=200), st.sampled_from(["stratified", "random"]))
@settings(max_examples=60, deadline=None)
def test_copies_stay_in_one_part(content, how):
    count = len(content)
    hashes = [f"h{c}" for c in content]
    try:
        parts = split(items(count, hashes=hashes), np.arange(count) % 2, Split(how=how))
    except DeepenError:
        return  # so few different ones that a part stays empty
    assert whole(parts, count)
    part_of = {row: part for part in PARTS for row in parts[part].tolist()}
    for one in set(content):
        rows = [i for i, c in enumerate(content) if c == one]
        if len(rows) <= 2:
            assert len({part_of[row] for row in rows}) == 1


def test_rows_of_a_table_that_repeat_by_nature_are_shared_out():
    hashes = ["same"] * 100 + [f"h{i}" for i in range(100)]
    parts = split(items(200, hashes=hashes), np.zeros(200, int), Split())
    assert 8 <= sum(row < 100 for row in parts["test"]) <= 22


@pytest.mark.parametrize(
    ("declared", "sizes"),
    [
        ({"train": 60, "val": 20, "test": 20}, (60, 20, 20)),
        ({"train": 80, "test": 20}, (68, 12, 20)),
        ({"train": 80, "val": 20}, (68, 20, 12)),
        ({None: 80, "test": 20}, (68, 12, 20)),
    ],
)
def test_a_declared_split_is_honoured(declared, sizes):
    parts_of = [part for part, count in declared.items() for _ in range(count)]
    parts = split(items(100, declared=parts_of), np.zeros(100, int), Split())
    assert whole(parts, 100)
    assert tuple(len(parts[part]) for part in PARTS) == sizes
    for part in ("val", "test"):
        if part in declared:
            assert parts[part].tolist() == [i for i, p in enumerate(parts_of) if p == part]
