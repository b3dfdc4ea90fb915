"""Groups of items: what is found, and that chance alone is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from deepen.evaluation.slices import by_number, by_text, compare, groups_of
from deepen.panels import PerItem
from deepen.preprocess.row import Rows


def random_groups(n: int, count: int, rng: np.random.Generator):
    return [(f"group {i}", rng.random(n) < 0.2) for i in range(count)]


def test_a_worse_group_is_found_and_stands_first():
    rng = np.random.default_rng(0)
    bad = np.arange(500) < 60
    right = np.where(bad, rng.random(500) < 0.5, rng.random(500) < 0.95).astype(float)
    found = compare(PerItem("accuracy", right, True), [("bad", bad), *random_groups(500, 20, rng)])
    assert found.found[0].name == "bad"
    assert [s.name for s in found.found if s.worse] == ["bad"]
    assert found.whole == right.mean()
    assert found.found[0].low <= found.found[0].value <= found.found[0].high


def test_a_larger_error_is_worse():
    rng = np.random.default_rng(0)
    bad = np.arange(500) < 60
    error = np.abs(rng.normal(size=500)) * np.where(bad, 3, 1)
    found = compare(PerItem("error", error, False), [("good", ~bad), ("bad", bad)])
    assert [(s.name, s.worse) for s in found.found] == [("bad", True), ("good", False)]


def test_chance_alone_names_few():
    """40 groups without any meaning, 100 times: in at most about 5 of 100 is any of them named worse."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        right = (rng.random(400) < 0.9).astype(float)
        alarms += any(s.worse for s in compare(PerItem("accuracy", right, True), random_groups(400, 40, rng)).found)
    assert alarms <= 15


def test_small_groups_and_the_whole_are_no_groups():
    right = np.r_[np.zeros(9), np.ones(91)]
    groups = [("few", np.arange(100) < 9), ("all", np.ones(100, bool)), ("half", np.arange(100) < 50)]
    assert [s.name for s in compare(PerItem("accuracy", right, True), groups).found] == ["half"]
    assert compare(PerItem("accuracy", right, True), []).found == ()


def test_all_alike_is_not_worse():
    found = compare(PerItem("accuracy", np.ones(50), True), [("half", np.arange(50) < 25)])
    assert not found.found[0].worse


def test_numbers_fall_into_quarters():
    values = np.r_[np.arange(100.0), np.nan]
    groups = dict(by_number("age", values))
    assert [int(mask.sum()) for mask in groups.values()] == [25, 25, 25, 25, 1]
    assert "age missing" in groups
    assert sum(mask.astype(int) for mask in groups.values()).tolist() == [1] * 101  # each item in one group


def test_few_numbers_are_values():
    assert list(dict(by_number("rooms", np.array([1.0, 2, 2, 3])))) == ["rooms = 1", "rooms = 2", "rooms = 3"]


def test_texts_group_unless_all_differ():
    values = np.array(["Lyon", "Lyon ", None, "Nice"], object)
    assert {name: int(mask.sum()) for name, mask in by_text("town", values)} == {
        "town missing": 1,
        "town = Lyon": 2,
        "town = Nice": 1,
    }
    assert not list(by_text("id", np.array([str(i) for i in range(60)], object)))


@pytest.mark.parametrize("constant", [0, 255])
def test_pictures_group_by_light(constant):
    pictures = np.full((40, 4, 4, 1), constant, np.uint8)
    pictures[:20] = np.arange(20).reshape(20, 1, 1, 1) * 5
    items = SimpleNamespace(inputs={"image": pictures}, columns=Rows({}))
    names = [name for name, _ in groups_of(SimpleNamespace(items=items, columns={"image": pictures}), np.arange(40))]
    assert any(name.startswith("brightness") for name in names)
    assert any(name.startswith("contrast") for name in names)
