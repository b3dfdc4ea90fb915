"""What several people said of an item: votes and shares in an .npz file, learnt as they are, measured by what most said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import deepen
from deepen.data.batch import Labeled
from deepen.data.labels import lay
from deepen.errors import DeepenError
from deepen.kinds.classes import Classes
from deepen.methods.supervised import Supervised
from deepen.sources.arrays import Arrays
from deepen.store.dataset import Standing

X = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
VOTES = np.random.default_rng(1).multinomial(7, [0.5, 0.3, 0.2], 90)


def read(tmp_path, y, **options):
    np.savez(tmp_path / "a.npz", x=X[: len(y)], y=y)
    return Arrays(str(tmp_path / "a.npz"), **options).read()


def test_votes_become_shares_and_the_answer_is_what_most_said(tmp_path):
    items = read(tmp_path, VOTES)
    np.testing.assert_allclose(items.votes, VOTES / 7, rtol=1e-6)
    assert (items.kind, items.target) == ("classes", VOTES.argmax(1).tolist())
    again = read(tmp_path, VOTES / 7)
    np.testing.assert_allclose(again.votes, items.votes, rtol=1e-6)
    assert again.fingerprint() == items.fingerprint()
    assert read(tmp_path, VOTES + VOTES.argmax(1)[:, None]).fingerprint() != items.fingerprint()


def test_one_hot_and_labels_are_read_as_before(tmp_path):
    assert read(tmp_path, np.eye(3, dtype=int)[VOTES.argmax(1)]).votes is None
    found = read(tmp_path, (VOTES > 1).astype(int))
    assert (found.kind, found.votes) == ("labels", None)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (-VOTES, r"y\[0\]: got \["),
        (VOTES.astype(str), "y: columns of type"),
        (VOTES / 6, r"y\[0\].*shares of the classes that add up to 1"),
        (np.concatenate([VOTES, np.zeros((90, 1), int)], 1), "no item has most of its votes in column 3"),
    ],
)
def test_what_are_no_votes_is_told(tmp_path, y, told):
    with pytest.raises(DeepenError, match=told):
        read(tmp_path, y)


@pytest.mark.parametrize(
    ("y", "row", "bad"),
    [
        (VOTES, [0, 0, 0], []),
        (VOTES / 7, [0, 0, 0], []),
        (VOTES / 7, [np.nan] * 3, []),
        (VOTES, [9, -1, -1], ["y holds [9, -1, -1], no votes or shares"]),
        (VOTES / 7, [0.5, 0.2, 0.2], ["y holds [0.5, 0.2, 0.2], no votes or shares"]),
        (VOTES.astype(float), [0.5, 0.5, 1], ["y holds [0.5, 0.5, 1.0], no votes or shares"]),
    ],
)
def test_a_row_without_votes_is_unlabelled_and_one_that_is_none_is_set_aside(tmp_path, y, row, bad):
    """Neither costs the others theirs."""
    items = read(tmp_path, np.where(np.arange(90)[:, None] == 4, row, y))
    left = np.delete(np.arange(90), 4)
    assert [(one.id, one.reason) for one in items.bad] == [("a.npz:4", reason) for reason in bad]
    assert items.ids == [f"a.npz:{i}" for i in (left if bad else range(90))]
    assert [i for i, label in enumerate(items.target) if label is None] == ([] if bad else [4])
    votes = items.votes if bad else np.delete(items.votes, 4, 0)
    np.testing.assert_allclose(votes, VOTES[left] / 7, rtol=1e-6)
    np.testing.assert_array_equal(items.inputs["array"], X[left] if bad else X)
    assert sum("nobody voted on" in note for note in items.notes) == (not bad)


def test_a_one_hot_row_of_zeros_is_asked_about_and_nan_is_unlabelled(tmp_path):
    hot = np.eye(3)[VOTES.argmax(1)]
    empty = np.where(np.arange(90)[:, None] == 4, 0, hot)
    assert read(tmp_path, empty).kind == "labels"
    assert "1 row of y without a 1" in read(tmp_path, empty).notes[0]
    for y, options in ((empty, {"kind": "classes"}), (np.where(empty.sum(1, keepdims=True) == 0, np.nan, hot), {})):
        found = read(tmp_path, y, **options)
        assert (found.kind, found.votes, found.target[4]) == ("classes", None, None)
        assert found.target[5] == VOTES[5].argmax()
    single = np.where(np.arange(90) == 4, np.nan, np.arange(90.0) % 3)
    assert read(tmp_path, single).kind == "classes"


def test_the_slope_is_that_of_the_divergence():
    """torch's own kl_div, batchmean; the loss is larger by the entropy of the votes."""
    shares = torch.from_numpy((VOTES / 7).astype(np.float32))
    raw = torch.randn(90, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    wanted = F.kl_div(raw.log_softmax(1), shares, reduction="batchmean")
    (slope,) = torch.autograd.grad(wanted, raw)
    found = Supervised(torch.nn.Identity(), Classes(("0", "1", "2"))).loss(Labeled((raw,), shares), "model")
    torch.testing.assert_close(torch.autograd.grad(found, raw)[0], slope)
    entropy = -torch.xlogy(shares, shares).sum(1).mean()
    torch.testing.assert_close(found, wanted + entropy)


@pytest.mark.parametrize("more", [{}, {"hard_examples": 0.5}, {"augment": "[mixup]"}, {"method.balance": 0.9}])
def test_the_shares_are_learnt(tmp_path, more):
    """Inputs that say nothing: answers come to the mean of the votes, not to the share of majorities."""
    np.savez(tmp_path / "a.npz", x=np.round(X[:, :1]) * 0 + np.arange(90)[:, None] % 2, y=VOTES)
    run = deepen.train(
        str(tmp_path / "a.npz"),
        output=str(tmp_path),
        model="mlp",
        hidden=[4],
        epochs=30,
        lr=0.05,
        threads=1,
        monitor="train_loss",
        **more,
    )
    (answer,) = deepen.load(str(run.path))([[0.0]])
    found = np.array([answer["probabilities"][str(i)] for i in range(3)])
    if not more:
        np.testing.assert_allclose(found, VOTES.mean(0) / 7, atol=0.06)
        assert np.abs(found - np.bincount(VOTES.argmax(1)) / 90).max() > 0.1
    assert deepen.evaluate(str(run.path))["metric"] == "accuracy"


def test_labels_given_by_hand_take_the_place_of_votes(tmp_path):
    items = read(tmp_path, VOTES)
    found = lay(items, items.content(), {"kind": "classes", "names": ["0", "1", "2"]}, Standing())
    assert found.votes is None
