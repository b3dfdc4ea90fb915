"""Strict configuration: no YAML text makes anything but a Config or a DeepenError."""

from __future__ import annotations

import contextlib
import dataclasses
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepen import config
from deepen.config import Config, parse, read_value, read_yaml
from deepen.errors import DeepenError
from deepen.schema import BOUNDS, coerce

WORDS = [
    "data", "model", "method", "train", "split", "check", "name", "blobs", "mlp", "lr", "epochs", "seed", "null", "true",
    "~", "1e-3", "010", ".inf", "-.nan", "1e999", "-0", "!!int", "&a", "*a", "<<", "|", ">", "? ", ": ", "- ", "{", "}",
    "[", "]", ",", "#", "'", '"', "\n", "\n  ", "\n    ", "%YAML 1.1\n---\n", "...", "\t", "\x00", "\ud800", "😀", "9" * 400,
]  # fmt: skip


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=25).map("".join)))
@settings(max_examples=400, deadline=None)
@example("data: {name: blobs, items: " + "9" * 400 + "}")
@example("data: {name: 'json:loads'}")
@example("train: {lr: [[[[1]]]]}")
@example("? {a: b}\n: c")
@example("!!int\n?")
@example("!!seq {a: 1}")
@example("!!map [1]")
@example("data: {name: ''}")
@example("split: {by: {a: 1}}\ndata: blobs")
def test_any_text_is_a_config_or_a_clear_error(text):
    with contextlib.suppress(DeepenError):
        document = read_yaml(text, "c.yaml")
        if isinstance(document, dict):
            found = parse(document)
            assert isinstance(found, Config)
            assert parse(found.document()) == found


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=6), t, max_size=3))
known = st.sampled_from(["data", "model", "method", "train", "split", "check", "x"])


@given(
    st.dictionaries(
        known, trees | st.dictionaries(st.sampled_from(["name", "lr", "by", "how", "epochs", "path"]), trees)
    )
)
@settings(max_examples=60, deadline=None)
def test_any_tree_is_a_config_or_a_clear_error(document):
    with contextlib.suppress(DeepenError):
        parse(document)


@pytest.mark.parametrize(
    "annotation", [*BOUNDS, "bool", "str", "Spec", "tuple[Count, ...] | None", "Literal['a', 'b']", "dict[str, str]"]
)
@given(value=trees | st.integers(10**18, 10**30) | st.just(10**5000))
@settings(max_examples=40, deadline=None)
def test_a_value_fits_or_the_error_says_what_would(annotation, value):
    with contextlib.suppress(DeepenError):
        found = coerce(value, annotation, "x.y")
        if annotation in BOUNDS:
            kind, low, high, _ = BOUNDS[annotation]
            assert type(found) is kind
            assert low is None or found >= low
            assert high is None or found < high


@given(st.text(alphabet=string.printable, max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_word_of_the_command_line_is_a_value_or_a_clear_error(text):
    with contextlib.suppress(DeepenError):
        read_value(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("010", 10), ("0x10", "0x10"), ("1_000", "1_000"), ("no", "no"), ("off", "off"), ("True", "True"),
        ("true", True), ("~", None), ("12:30:00", "12:30:00"), ("2024-01-01", "2024-01-01"), ("+5", 5), ("5.", 5.0), (".5", 0.5),
        ("1e5", 100000.0), ("'1'", "1"), ("=", "="), ("<<", "<<"),
    ],
)  # fmt: skip
def test_yaml_values_are_those_of_yaml_1_2(text, value):
    found = read_yaml(f"a: {text}", "c")["a"]
    assert found == value
    assert type(found) is type(value)


def test_what_is_written_is_read_back():
    whole = parse(read_yaml("data: {name: table, path: 'no', target: '010'}\ntrain: {lr: 1e-7, epochs: 3}", "c"))
    assert parse(read_yaml(config.write(whole), "c")) == whole


def test_an_empty_section_is_the_default():
    assert parse({"data": "blobs", "train": None}) == parse({"data": "blobs"})


@pytest.mark.parametrize(("alias", "name"), config.ALIASES.items())
def test_names_of_other_libraries(alias, name):
    if name in {f.name for f in dataclasses.fields(config.Train)}:
        value = {"lr": 0.5, "epochs": 3, "schedule": {"name": "cosine"}}[name]
        assert getattr(parse({"data": "blobs", "train": {alias: value}}).train, name) == value
    assert config.place(alias, {"data": {"name": "images", "path": "x"}}).endswith(f".{name}")


# ---------------------------------------------------------------- techniques within a section


def test_techniques_of_training_have_their_own_settings():
    train = parse({"data": "blobs", "train": {"optimizer": {"name": "SGD", "momentum": 0}, "schedule": "sgdr"}}).train
    assert train.optimizer == {"name": "sgd", "momentum": 0.0}
    assert train.schedule == {"name": "warm_restarts"}


@pytest.mark.parametrize(
    ("overrides", "optimizer"),
    [
        ({"optimizer": "sgd", "momentum": "0.5"}, {"name": "sgd", "momentum": 0.5}),
        ({"momentum": "0.5", "optimizer": "sgd"}, {"name": "sgd", "momentum": 0.5}),
        ({"train.optimizer.beta1": "0.5"}, {"name": "adamw", "beta1": 0.5}),
        ({"beta1": "0.5"}, {"name": "adamw", "beta1": 0.5}),
    ],
)
def test_they_are_overridden_by_path_and_by_bare_key(overrides, optimizer):
    assert parse(config.override({"data": "blobs"}, overrides)).train.optimizer == optimizer


def test_configurations_of_old_have_momentum_beside_the_optimizer():
    old = {"momentum": 0.8, "nesterov": False}
    sgd = parse({"data": "blobs", "train": {"optimizer": "sgd", **old}}).train
    assert sgd.optimizer == {"name": "sgd", "momentum": 0.8, "nesterov": False}
    assert parse({"data": "blobs", "train": {"optimizer": "adamw", **old}}).train.optimizer == {"name": "adamw"}


def test_settings_of_the_method_that_is_meant_where_none_is_said():
    for key in ("method.label_smoothing", "label_smoothing"):
        assert parse(config.override({"data": "blobs"}, {key: "0.1"})).method == {
            "name": "supervised",
            "label_smoothing": 0.1,
        }
