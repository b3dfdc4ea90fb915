"""Bayesian network: tables by hand, queries against the whole joint, structure found again, the whole way."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

import deepen
from deepen.kinds.classes import Classes
from deepen.models.bayes_net import BayesNet
from deepen.preprocess.row import Row
from deepen.signature import Signature
from deepen.training.finished import load_model

TWO = {"label": Classes(("a", "b"))}


def net(*sizes: int, numbers: int = 0, **options) -> BayesNet:
    """Columns of so many states, two of which are missing and unknown."""
    known = {f"c{i}": tuple(map(str, range(size - 2))) for i, size in enumerate(sizes)}
    return BayesNet(Signature({"row": Row(tuple(f"n{i}" for i in range(numbers)), {}, known)}, TWO), **options)


def joint(found: BayesNet) -> torch.Tensor:
    """p(x, k) of every combination, (S, ..., K), by the network itself."""
    codes = torch.tensor([*itertools.product(*map(range, found.sizes))])
    return found(codes).double().exp().view(*found.sizes, -1)


def chain(n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Class -> c0 -> c1 -> c2, a column without a say, each mostly as the one before it."""
    rng = np.random.default_rng(0)
    columns = [rng.integers(2, size=n)]
    for _ in range(3):
        columns.append(np.where(rng.random(n) < 0.85, columns[-1], rng.integers(2, size=n)))
    codes = np.stack([*columns[1:], rng.integers(2, size=n)], 1) + 2
    return torch.from_numpy(codes), torch.from_numpy(columns[0])


def test_naive_tables_by_hand():
    """Smoothing 2 over 3 states and 2 classes: p(x = 2 | a) = (2 + 2/3) / (3 + 2)."""
    found = net(3, structure="naive", smoothing=2.0)
    found.fit((torch.tensor([[2], [2], [0], [1]]),), torch.tensor([0, 0, 0, 1]))
    p_a = (3 + 1) / (4 + 2)
    expected = torch.tensor([[p_a * (2 + 2 / 3) / 5, (1 - p_a) * (2 / 3) / 3]])
    torch.testing.assert_close(found(torch.tensor([[2]])).exp(), expected)
    torch.testing.assert_close(found.query([-1], {0: 2}), (expected / expected.sum())[0].double())


def test_tables_with_a_parent_by_hand():
    """p(x1 | x0, a) = (count(x1, x0, a) + s p(x1 | a)) / (count(x0, a) + s)."""
    found = net(3, 3, smoothing=1.0)
    codes = torch.tensor([[2, 2], [2, 2], [2, 0], [0, 1]])
    found.fit((codes,), torch.zeros(4, dtype=torch.int64))
    assert found.parents.tolist() == [-1, 0]
    alone = (2 + 1 / 3) / 5  # of x1 = 2 among four rows
    above = (3 + 1 / 3) / 5  # of x0 = 2
    prior = 4.5 / 5
    expected = prior * above * (2 + alone) / 4
    assert found(torch.tensor([[2, 2]])).exp()[0, 0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("structure", ["naive", "tree"])
def test_all_probabilities_together_are_one(structure):
    found = net(3, 4, 4, 4, structure=structure)
    codes, target = chain()
    found.fit((torch.cat([codes[:, :1] - 1, codes[:, 1:]], 1),), target)
    assert joint(found).sum().item() == pytest.approx(1, abs=1e-5)


def test_queries_are_sums_over_the_joint():
    found = net(4, 5, 6, 4)  # which of two sizes is the parent's shows
    found.fit((chain()[0],), chain()[1])
    whole = joint(found)
    close = lambda a, b: torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
    close(found.query([0]), whole.sum((1, 2, 3, 4)))
    close(found.query([-1, 2]), whole.sum((0, 1, 3)).T)  # the order asked for
    close(found.query([0, 1, 2, 3, -1]), whole)
    some = whole[:, 3].sum((1, 2))[:, 1]
    close(found.query([0], {1: 3, -1: 1}), some / some.sum())
    given = whole[2, 3, 2].sum(0)
    close(found.query([-1], {0: 2, 1: 3, 2: 2}), given / given.sum())
    close(found.query([-1], {0: 2, 1: 3, 2: 2, 3: 2}), found(torch.tensor([[2, 3, 2, 2]])).softmax(1)[0].double())


def test_the_tree_that_made_the_rows_is_found():
    found = net(4, 4, 4, 4)
    codes, target = chain()
    found.fit((codes[:, [2, 0, 3, 1]],), target)  # columns: c2, c0, the idle one, c1
    links = {frozenset(pair) for pair in enumerate(found.parents.tolist()) if pair[1] >= 0 and 2 not in pair}
    assert links == {frozenset({0, 3}), frozenset({3, 1})}


def test_what_columns_say_of_each_other_is_scikit_learns_mutual_information():
    metrics = pytest.importorskip("sklearn.metrics")
    codes, target = chain()
    target = (target + (torch.arange(4000) % 4 == 0)).clamp(max=1)  # classes of unequal size
    expected = 0.0
    for k in range(2):
        own = codes[target == k]
        expected += len(own) / 4000 * metrics.mutual_info_score(own[:, 0], own[:, 2])
    assert net(4, 4, 4, 4)._information(codes, target, 0, 2) == pytest.approx(expected, rel=1e-6)


def test_a_tree_predicts_what_naive_counts_twice():
    """Copies of one column: naive takes each for a witness of its own."""
    codes, target = chain()
    copied = codes[:, [1, 1, 1]]
    losses = []
    for structure in ("naive", "tree"):
        found = net(4, 4, 4, structure=structure)
        found.fit((copied,), target)
        losses.append(torch.nn.functional.cross_entropy(found(copied), target).item())
    assert losses[1] < losses[0] - 0.02


def test_numbers_are_cut_at_quantiles():
    found = net(numbers=1, bins=4, structure="naive")
    numbers = torch.arange(8.0)[:, None]
    found.fit((numbers,), torch.tensor([0, 1] * 4))
    assert found.codes(numbers)[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.codes(torch.tensor([[-50.0], [50.0]]))[:, 0].tolist() == [0, 3]
    found = net(numbers=1, bins=2, structure="naive")
    found.fit((torch.tensor([[0.0], [1.0], [2.0]]),), torch.tensor([0, 1, 0]))
    assert found.codes(torch.tensor([[0.0], [1.0], [2.0]]))[:, 0].tolist() == [0, 0, 1], "a border belongs below"


def test_a_column_of_many_states_has_no_other_column_as_parent():
    found = net(60, 4, 4)
    codes, target = chain()
    found.fit((torch.cat([torch.arange(4000)[:, None] % 60, codes[:, :2]], 1),), target)
    assert found.parents.tolist()[0] == -1
    assert 0 not in found.parents.tolist()


def table(place: Path) -> str:
    codes, target = chain(600)
    file = place / "chain.csv"
    with open(file, "w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["one", "two", "three", "idle", "size", "label"])
        for row, label in zip(codes.tolist(), target.tolist()):
            rows.writerow([*(f"v{code}" for code in row), label * 2 + row[0] / 3, "yes" if label else "no"])
    return str(file)


def test_rows_from_the_file_to_a_bundle(tmp_path):
    run = deepen.train(table(tmp_path), target="label", model="bayes_net", threads=1)
    again = load_model(run).net
    assert again.table.shape[0] > sum(again.sizes)  # parents were found, and the tables came back
    assert deepen.evaluate(str(run.path))["metrics"]["accuracy"][0] > 0.9
    assert Path(deepen.export(str(run.path))["bundle"]).is_dir()
    assert len(run.rows()) == 1


@pytest.mark.slow
def test_what_is_fitted_is_the_same_after_a_kill(tmp_path):
    run = deepen.train(table(tmp_path), target="label", model="bayes_net", threads=1)
    assert deepen.verify(str(run.path), steps=2)["resume"]["identical"]
