"""Items that answer for themselves: what goes in, what is to come out, now and when a run is opened again."""

from __future__ import annotations

import numpy as np
import pytest

from deepen.config import parse
from deepen.data.prepare import continued, prepare, restore
from deepen.errors import DeepenError
from deepen.preprocess.draw import Draw
from deepen.signature import Signature
from deepen.sources.blobs import Blobs
from deepen.sources.digits import Digits


def config_of(method: dict):
    return parse({"data": {"name": "digits"}, "method": method})


def ids_of(prepared) -> dict:
    ids = prepared.items.ids
    parts = {name: [ids[i] for i in rows] for name, rows in prepared.parts.items()}
    return {**parts, "unlabelled": []}


def again(prepared, config, items):
    return restore(items, Signature.from_json(prepared.signature.to_json()), ids_of(prepared), config)


def test_the_truth_is_the_item():
    config = config_of({"name": "reconstruct"})
    prepared = prepare(Digits().read(), config)
    assert prepared.target is prepared.columns["image"]
    assert sum(map(len, prepared.parts.values())) == len(prepared.items)
    kind, train = prepared.signature.answer, prepared.columns["image"][prepared.parts["train"]]
    assert kind.mean == pytest.approx((train.mean(),))
    assert 1 / np.array(kind.scale) == pytest.approx(train.std())
    opened = again(prepared, config, Digits().read())
    assert opened.signature.to_json() == prepared.signature.to_json()
    assert np.array_equal(opened.target, prepared.target)


def test_draws_go_in_and_pictures_are_to_come_out():
    config = config_of({"name": "gan", "draws": 5})
    mark = Digits().read().fingerprint()
    prepared = prepare(Digits().read(), config)
    assert list(prepared.signature.inputs.values()) == [Draw(5)]
    assert prepared.target.shape == (1797, 8, 8, 1)
    assert prepared.columns["draw"].shape == (1797, 5)
    assert np.array_equal(prepared.items.raw([3])[0], prepared.columns["draw"][3])
    assert prepared.items.fingerprint() == mark
    opened = again(prepared, config, Digits().read())
    assert opened.signature.to_json() == prepared.signature.to_json()
    assert np.array_equal(opened.columns["draw"], prepared.columns["draw"])
    assert np.array_equal(opened.target, prepared.target)


def test_the_kind_takes_the_settings_it_knows_from_the_method():
    plain, ink = ({"name": "elbo", **extra} for extra in ({}, {"likelihood": "bernoulli", "beta": 2.0}))
    kinds = [prepare(Digits().read(), config_of(method)).signature.answer for method in (plain, ink)]
    assert [(kind.likelihood, kind.unit) for kind in kinds] == [("gaussian", "nats"), ("bernoulli", "nats")]


def test_a_run_without_labels_is_the_parent_of_one_with_labels_and_the_other_way_round():
    items, free, named = Digits().read(), config_of({"name": "gan"}), config_of({"name": "supervised"})
    first = prepare(items, free)
    second = continued(Digits().read(), first.signature, ids_of(first), named)
    assert second.signature.answer.classes == tuple("0123456789")
    assert {k: v.tolist() for k, v in second.parts.items()} == {k: v.tolist() for k, v in first.parts.items()}
    third = continued(Digits().read(), second.signature, ids_of(second), config_of({"name": "reconstruct"}))
    assert third.target is third.columns["image"]


def test_labels_are_still_asked_for_where_they_are_needed():
    items = Blobs(items=60).read()
    items.missing = DeepenError("data.target", "here", "nothing", "a target")
    assert prepare(items, config_of({"name": "reconstruct"})).signature.answer.names[0] == "x0"
    with pytest.raises(DeepenError, match=r"here: nothing"):
        prepare(items, config_of({"name": "supervised"}))
