"""What graphs look like: by hand, against networkx, and against the evaluator's definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from deepen.content import shapes


def links_of(n: int, *pairs: tuple[int, int]) -> np.ndarray:
    found = np.zeros((n, n))
    for a, b in pairs:
        found[a, b] = found[b, a] = 1
    return found


PAW = links_of(5, (0, 1), (1, 2), (0, 2), (2, 3))  # a triangle with a tail; the fifth place is empty
THERE = np.array([True, True, True, True, False])


def test_degrees_and_clustering_by_hand():
    assert shapes.degrees(PAW[None], THERE[None])[0].tolist() == [0, 0.25, 0.5, 0.25, 0]
    found = shapes.clustering(PAW[None], THERE[None])[0]
    expected = np.zeros(100)
    expected[99], expected[33], expected[0] = 0.5, 0.25, 0.25  # 1 and 1, 1 of 3 pairs, a single neighbour
    np.testing.assert_allclose(found, expected)


def test_distance_of_two_histograms_by_hand():
    """Half of the earth moves by one place, a quarter by two: 1 in all."""
    a, b = np.array([[0.75, 0.25, 0, 0]]), np.array([[0.25, 0.5, 0, 0.25]])
    moved = 0.5 * 1 + 0.25 * 2
    assert shapes.alike(a, b, 1.0)[0, 0] == pytest.approx(np.exp(-(moved**2) / 2))
    assert shapes.alike(a, b, 0.1, 1 / 100)[0, 0] == pytest.approx(np.exp(-((moved / 100) ** 2) / 0.02))


def test_mmd_of_two_tiny_sets_by_hand():
    """Graphs of degree 0 alone and of degree 1 alone: k is 1 within, exp(-1/2) across; one of each against two of one."""
    zero, one = np.array([[1.0, 0], [1.0, 0]]), np.array([[1.0, 0], [0, 1.0]])
    near = np.exp(-0.5)
    expected = 1 + (2 + 2 * near) / 4 - 2 * (2 + 2 * near) / 4
    kernels = [shapes.alike(a, b, shapes.DEGREE) for a, b in ((zero, zero), (one, one), (zero, one))]
    found = shapes.mmd(*kernels, np.array([[1.0, 1], [2, 0], [0, 2]]))
    assert found.tolist() == pytest.approx([expected, 0, 2 - 2 * near])


def evaluated(a: list[np.ndarray], b: list[np.ndarray], width: float, sigma: float) -> float:
    """The evaluator's loops over all pairs; the earth mover's distance by a linear program."""
    from scipy.optimize import linprog

    def moved(x: np.ndarray, y: np.ndarray) -> float:
        n = len(x)
        cost = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).ravel() * width
        rows = np.concatenate([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
        return linprog(cost, A_eq=rows, b_eq=np.concatenate([x, y])).fun

    def mean(one: list[np.ndarray], other: list[np.ndarray]) -> float:
        return float(np.mean([np.exp(-(moved(x, y) ** 2) / (2 * sigma**2)) for x, y in itertools.product(one, other)]))

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


def test_mmd_is_the_evaluators():
    rng = np.random.default_rng(0)
    a, b = (list(rng.dirichlet(np.ones(6), 3)) for _ in range(2))
    for width, sigma in ((1.0, 1.0), (1 / 100, 0.1)):
        kernels = [shapes.alike(np.array(x), np.array(y), sigma, width) for x, y in ((a, a), (b, b), (a, b))]
        found = shapes.mmd(*kernels, np.ones((1, 3)))[0]
        assert found == pytest.approx(evaluated(a, b, width, sigma), abs=1e-6)


def test_clustering_is_that_of_networkx():
    networkx = pytest.importorskip("networkx")
    rng = np.random.default_rng(1)
    links = np.triu(rng.random((12, 12)) < 0.4, 1)
    links = (links | links.T).astype(float)
    values = np.array(list(networkx.clustering(networkx.from_numpy_array(links)).values()))
    expected = np.bincount(np.minimum((values * 100 + 1e-9).astype(int), 99), minlength=100) / 12
    np.testing.assert_allclose(shapes.clustering(links[None], np.ones((1, 12), bool))[0], expected)


def test_nodes_in_order_stand_by_component_and_community():
    path = links_of(6, (3, 0), (0, 5), (5, 1), (1, 4), (4, 2))
    assert shapes.ordered(path).tolist() in ([3, 0, 5, 1, 4, 2], [2, 4, 1, 5, 0, 3])
    two = links_of(7, (0, 2), (2, 4), (0, 4), (1, 3), (3, 5), (1, 5), (4, 1))  # two triangles, a link across, one alone
    order = shapes.ordered(two).tolist()
    assert {frozenset(order[:3]), frozenset(order[3:6])} == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}
    assert order[6] == 6
    assert shapes.components(two).tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_other_names_of_the_nodes_give_the_same_graph_in_order():
    rng = np.random.default_rng(2)
    links = links_of(7, (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (0, 2), (1, 3))
    order = shapes.ordered(links)
    names = rng.permutation(7)
    other = links[np.ix_(names, names)]
    again = shapes.ordered(other)
    np.testing.assert_array_equal(links[np.ix_(order, order)], other[np.ix_(again, again)])


def test_a_drawing_stays_in_its_frame():
    for links in (PAW, np.zeros((1, 1)), np.zeros((3, 3)), links_of(2, (0, 1))):
        places = shapes.laid_out(links)
        assert places.shape == (len(links), 2)
        assert ((places >= 0) & (places <= 1)).all()
