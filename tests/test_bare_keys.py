"""A bare key on the command line goes to the section that knows it, and among several to the one its value fits."""

from __future__ import annotations

import pytest

from deepen import config as configs
from deepen.errors import DeepenError

TABLE = {"data": {"name": "table", "path": "a.csv"}, "model": {"name": "resnet"}}


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("lr", "1e-3", "train.lr"),
        ("learning_rate", "1e-3", "train.lr"),
        ("test", "0.2", "split.test"),
        ("test", "other.csv", "data.test"),
        ("test", "-1", "split.test"),  # fits neither: the error is about the first
        ("target", "price", "data.target"),
        ("depth", "34", "model.depth"),
        ("train.lr", "1", "train.lr"),
        ("model", "cnn", "model"),
    ],
)
def test_place(key, value, path):
    assert configs.place(key, TABLE, configs.read_value(value)) == path


def test_unknown_keys_are_told_with_the_nearest():
    with pytest.raises(DeepenError, match="Did you mean 'depth'"):
        configs.place("dept", TABLE)


def test_a_second_table_is_the_test_part():
    document = configs.override(TABLE, {"test": "other.csv", "val": "0.1"})
    assert document["data"]["test"] == "other.csv"
    assert document["split"] == {"val": 0.1}


def test_a_column_may_be_called_by_a_number():
    document = configs.override(TABLE, {"target": "2020", "drop": "7", "split.by": "1", "kind": "null"})
    assert document["data"] == {**TABLE["data"], "target": "2020", "drop": "7", "kind": None}
    assert document["split"] == {"by": "1"}


OPEN = "class Net:\n    def __init__(self, signature, **more): ...\nclass Rule(Net): pass\n"


def test_what_no_section_knows_goes_to_the_users_own_class_that_is_open_to_more(tmp_path):
    (tmp_path / "own.py").write_text(OPEN)
    document = {"data": {"name": "digits"}, "model": {"name": "own.py:Net"}}
    assert configs.place("hidden", document) == "model.hidden"
    assert configs.override(document, {"hidden": "7"})["model"] == {"name": "own.py:Net", "hidden": 7}
    with pytest.raises(DeepenError, match="Did you mean 'epochs'"):
        configs.place("epohs", document)
    with pytest.raises(DeepenError, match=r"model\.hidden, .*train\.optimizer\.hidden"):
        configs.place("hidden", {**document, "train": {"optimizer": {"name": "own.py:Rule"}}})
