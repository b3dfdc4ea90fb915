"""Each query against a hand calculation or the plain form of its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from deepen import registry
from deepen.queries import Pool

RNG = np.random.default_rng(0)
SURE = [[0.9, 0.05, 0.05], [0.5, 0.49, 0.01], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0]]


def pool(n: int = 50, k: int = 5, d: int = 4, labelled: int = 3) -> Pool:
    p = RNG.dirichlet(np.ones(k), n).astype(np.float32)
    f = RNG.normal(size=(n + labelled, d)).astype(np.float32)
    return Pool(n, p, f[:n], f[n:], RNG.random(n))


def ask(name: str, given: Pool, count: int = 50, seed: int = 0) -> list[int]:
    return registry.load("queries", name)().order(given, count, seed).tolist()


@pytest.mark.parametrize("name", registry.names("queries"))
def test_what_every_query_promises(name):
    given = pool()
    found = ask(name, given)
    assert sorted(found) == list(range(50))
    assert ask(name, given) == found
    assert ask(name, given, 7) == found[:7]
    only = set(registry.load("queries", name).needs)
    assert only <= {"probabilities", "features", "uncertainty"}
    less = Pool(50, **{field: getattr(given, field) for field in (*only, "labelled") if field in Pool._fields})
    assert ask(name, less) == found


@pytest.mark.parametrize("name", registry.names("queries"))
def test_copies_and_small_pools(name):
    same = Pool(4, np.full((4, 2), 0.5), np.ones((4, 3)), np.ones((1, 3)), np.ones(4))
    assert sorted(ask(name, same, 9)) == [0, 1, 2, 3]
    one = Pool(1, np.array([[0.5, 0.5]]), np.ones((1, 3)), np.zeros((0, 3)), np.ones(1))
    assert ask(name, one) == [0]


def test_by_hand():
    given = Pool(4, np.array(SURE), uncertainty=np.array([0.2, 0.9, 0.4, 0.0]))
    assert ask("least_confidence", given) == [2, 1, 0, 3]
    assert ask("margin", given) == [1, 2, 0, 3]
    assert ask("entropy", given) == [2, 1, 0, 3]
    assert ask("uncertainty", given) == [1, 2, 0, 3]


def test_the_three_measures_differ_where_they_should():
    """0: little between first and second; 1: low first; 2: spread over many."""
    p = np.array([[0.48, 0.47, 0.05, 0, 0, 0, 0, 0], [0.40, 0.3, 0.3, 0, 0, 0, 0, 0], [0.44, *[0.08] * 7]])
    assert [ask(name, Pool(3, p))[0] for name in ("margin", "least_confidence", "entropy")] == [0, 1, 2]


def test_entropy_is_scipys():
    given = pool(200, 7)
    assert ask("entropy", given, 200) == np.argsort(-entropy(given.probabilities.astype(float), axis=1)).tolist()


def test_random_is_even_and_moves_with_its_seed():
    given = Pool(10)
    first = [ask("random", given, 1, seed)[0] for seed in range(1000)]
    assert np.bincount(first, minlength=10).min() > 60  # of 100 expected, 4.2 standard deviations


def test_core_set_by_hand():
    """On a line, 0 is labelled: the far end, then the middle of the widest gap, and so on."""
    x = np.array([[1.0], [10.0], [4.0], [6.0], [9.5]])
    assert ask("core_set", Pool(5, features=x, labelled=np.array([[0.0]]))) == [1, 2, 3, 0, 4]
    # with nothing labelled it begins at the mean, 6.1
    assert ask("core_set", Pool(5, features=x))[:2] == [3, 0]


def test_core_set_is_the_greedy_cover():
    given = pool(80, d=3, labelled=600)
    given = given._replace(labelled=given.labelled[:5])
    centres = list(given.labelled.astype(float))
    for row in ask("core_set", given, 20):
        distance = np.array([min(np.linalg.norm(x - c) for c in centres) for x in given.features.astype(float)])
        assert distance[row] == pytest.approx(distance.max())
        centres.append(given.features[row].astype(float))


def test_core_set_looks_at_all_that_is_labelled():
    x = np.array([[0.0], [5.0]])
    labelled = np.full((600, 1), 100.0)
    labelled[599] = 0.0  # in the last chunk; without it the first would be the farther one
    assert ask("core_set", Pool(2, features=x, labelled=labelled))[0] == 1


def plain_badge(p: np.ndarray, f: np.ndarray, count: int, seed: int) -> list[int]:
    """k-means++ on gradients written out."""
    a = p.astype(np.float64)
    a[np.arange(len(a)), a.argmax(1)] -= 1
    g = np.einsum("nk,nd->nkd", a, f.astype(np.float64)).reshape(len(a), -1)
    rng = np.random.default_rng(seed)
    chosen = [int((g**2).sum(1).argmax())]
    while len(chosen) < count:
        far = np.min([((g - g[c]) ** 2).sum(1) for c in chosen], axis=0)
        far[chosen] = 0
        chosen.append(int(rng.choice(len(g), p=far / far.sum())))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_badge_is_k_means_on_the_gradients_written_out(seed):
    given = pool(60, 4, 6)
    assert ask("badge", given, 20, seed) == plain_badge(given.probabilities, given.features, 20, seed)


def test_badge_never_asks_for_a_copy_while_something_else_is_left():
    p = np.array([[0.5, 0.5]] * 10 + [[0.55, 0.45]])
    f = np.array([[1.0, 0.0]] * 10 + [[0.0, 1.0]])
    assert all(ask("badge", Pool(11, p, f), 2, seed) == [0, 10] for seed in range(20))
