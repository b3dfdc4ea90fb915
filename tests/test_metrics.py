"""Figures against scikit-learn, with ties, absent classes and two classes; resamples against doing it draw by draw."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from deepen import metrics

QUICK = settings(max_examples=25, deadline=None)


def draw(k: int, n: int, seed: int, ties: bool = False, absent: int | None = None):
    """Targets and probabilities that are right more often than chance; `ties` rounds them, one class may be absent."""
    rng = np.random.default_rng(seed)
    target = rng.integers(k, size=n)
    if absent is not None:
        target[target == absent] = (absent + 1) % k
    p = rng.dirichlet(np.ones(k), n) + 0.5 * np.eye(k)[target]
    p = np.maximum(np.round(p * 4), 0.25) if ties else p
    return target, p / p.sum(1, keepdims=True)


def expected(target: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The same figures by scikit-learn, over the classes that occur."""
    n, k = p.shape
    guess, labels = p.argmax(1), np.arange(k)
    seen = [c for c in range(k) if 0 < (target == c).sum() < n]
    use = [1] if k == 2 else seen
    average = {"average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are given but do not occur
        found = {
            "accuracy": oracle.accuracy_score(target, guess),
            "balanced_accuracy": oracle.balanced_accuracy_score(target, guess),
            "precision_macro": oracle.precision_score(target, guess, **average),
            "recall_macro": oracle.recall_score(target, guess, **average),
            "f1_macro": oracle.f1_score(target, guess, **average),
            "precision_weighted": oracle.precision_score(target, guess, average="weighted", zero_division=0),
            "f1_weighted": oracle.f1_score(target, guess, average="weighted", zero_division=0),
            "mcc": oracle.matthews_corrcoef(target, guess),
            "log_loss": oracle.log_loss(target, p, labels=labels),
            "brier": oracle.brier_score_loss(target, p[:, 1])
            if k == 2
            else oracle.brier_score_loss(target, p, labels=labels),
        }
    found["auc"] = np.mean([oracle.roc_auc_score(target == c, p[:, c]) for c in use])
    found["average_precision"] = np.mean([oracle.average_precision_score(target == c, p[:, c]) for c in use])
    return found


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("k", "n", "absent"), [(2, 60, None), (3, 80, None), (5, 120, 3), (10, 300, 0), (10, 12, None)]
)
def test_classes_as_scikit_learn(k, n, absent, ties):
    target, p = draw(k, n, seed=k + n, ties=ties, absent=absent)
    found = metrics.classes(target, p)
    for name, value in expected(target, p).items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


@QUICK
@given(st.integers(2, 6), st.integers(0, 10_000), st.booleans())
def test_classes_as_scikit_learn_anywhere(k, seed, ties):
    target, p = draw(k, 30, seed, ties)
    if len(np.unique(target)) < 2:
        return
    found = metrics.classes(target, p)
    for name, value in expected(target, p).items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_top_k_as_scikit_learn():
    rng = np.random.default_rng(3)
    target, p = rng.integers(10, size=200), rng.dirichlet(np.ones(10), 200)  # no better than chance
    found = metrics.classes(target, p)
    for k in (3, 5):
        wanted = oracle.top_k_accuracy_score(target, p, k=k, labels=np.arange(10))
        assert found[f"top_{k}_accuracy"] == pytest.approx(wanted, abs=1e-9)
    assert "top_3_accuracy" not in metrics.classes(*draw(3, 50, seed=0))


@pytest.mark.parametrize("ties", [False, True])
def test_labels_as_scikit_learn(ties):
    rng = np.random.default_rng(0)
    target = (rng.random((150, 4)) < [0.5, 0.1, 0.3, 0.02]).astype(np.float32)
    p = np.clip(rng.random((150, 4)) * 0.7 + 0.3 * target, 0, 1)
    p = np.round(p, 1) if ties else p
    guess = p >= 0.5
    found = metrics.labels(target, p)
    wanted = {
        "f1_micro": oracle.f1_score(target, guess, average="micro"),
        "f1_macro": oracle.f1_score(target, guess, average="macro", zero_division=0),
        "f1_weighted": oracle.f1_score(target, guess, average="weighted", zero_division=0),
        "precision_micro": oracle.precision_score(target, guess, average="micro"),
        "recall_micro": oracle.recall_score(target, guess, average="micro"),
        "exact_match": oracle.accuracy_score(target, guess),
        "hamming_loss": oracle.hamming_loss(target, guess),
        "jaccard": oracle.jaccard_score(target, guess, average="samples", zero_division=1),
        "brier": ((p - target) ** 2).mean(),
        "auc_macro": oracle.roc_auc_score(target, p, average="macro"),
        "average_precision": oracle.average_precision_score(target, p, average="macro"),
    }
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_number_as_scikit_learn():
    rng = np.random.default_rng(1)
    target = rng.normal(50, 10, 101).astype(np.float32)
    value = (target + rng.normal(0, 3, 101)).astype(np.float32)
    found = metrics.number(target, value)
    wanted = {
        "rmse": oracle.root_mean_squared_error(target, value),
        "mae": oracle.mean_absolute_error(target, value),
        "median_error": oracle.median_absolute_error(target, value),
        "max_error": oracle.max_error(target, value),
        "mape": oracle.mean_absolute_percentage_error(target, value),
        "r2": oracle.r2_score(target, value),
        "bias": np.mean(value.astype(float) - target),
    }
    for name, expected_value in wanted.items():
        assert found[name] == pytest.approx(expected_value, rel=1e-5, abs=1e-6), name


@QUICK
@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 1000))
def test_areas_and_curves_agree_with_scikit_learn(scores, seed):
    rng = np.random.default_rng(seed)
    score, positive = np.array(scores, float), rng.integers(2, size=len(scores)).astype(bool)
    if positive.all() or not positive.any():
        return
    assert metrics.roc_auc(positive, score) == pytest.approx(oracle.roc_auc_score(positive, score), abs=1e-9)
    assert metrics.average_precision(positive, score) == pytest.approx(
        oracle.average_precision_score(positive, score), abs=1e-9
    )
    false, true = metrics.roc_curve(positive, score)
    wanted = oracle.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose([false, true], wanted[:2], atol=1e-12)
    recall, precision = metrics.precision_recall_curve(positive, score)
    wanted_precision, wanted_recall, _ = oracle.precision_recall_curve(positive, score)
    np.testing.assert_allclose(recall, wanted_recall[::-1], atol=1e-12)
    np.testing.assert_allclose(precision, wanted_precision[::-1], atol=1e-12)


@QUICK
@given(st.integers(2, 5), st.integers(0, 10_000), st.booleans())
def test_resampled_is_the_same_as_drawing(k, seed, ties):
    target, p = draw(k, 40, seed, ties)
    rng = np.random.default_rng(seed)
    rows = rng.integers(40, size=(5, 40))
    counts = np.stack([np.bincount(r, minlength=40) for r in rows]).astype(float)
    found = metrics.classes_resampled(target, p, counts)
    for i, r in enumerate(rows):
        one = metrics.classes(target[r], p[r])
        assert {name for name, v in found.items() if not np.isnan(v[i])} == set(one)
        for name, value in one.items():
            assert found[name][i] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_the_median_of_even_and_odd_numbers(n):
    target, value = np.zeros(n), np.random.default_rng(n).normal(size=n)
    found = metrics.number_resampled(target, value, np.array([[1] * n, [2] * n, [3] + [0] * (n - 1)], float))
    wanted = [np.median(np.abs(value)), np.median(np.abs(value)), abs(value[0])]
    assert found["median_error"] == pytest.approx(wanted)


def test_resampled_labels_and_numbers_are_the_same_as_drawing():
    rng = np.random.default_rng(0)
    truth, p = (rng.random((31, 3)) < 0.3).astype(float), rng.random((31, 3)).round(1)
    target, value = rng.normal(size=31), rng.normal(size=31)
    for size in (31, 30):  # the median of an even and of an odd number
        rows = rng.integers(31, size=(6, size))
        counts = np.stack([np.bincount(r, minlength=31) for r in rows]).astype(float)
        many, numbers = metrics.labels_resampled(truth, p, counts), metrics.number_resampled(target, value, counts)
        for i, r in enumerate(rows):
            for name, one in metrics.labels(truth[r], p[r]).items():
                assert many[name][i] == pytest.approx(one, abs=1e-9), name
            for name, one in metrics.number(target[r], value[r]).items():
                assert numbers[name][i] == pytest.approx(one, abs=1e-9), name


def test_calibration_error_by_hand():
    confidence, right = np.array([0.95, 0.95, 0.55, 0.65]), np.array([True, False, True, True])
    # bins of a tenth: |1.9 - 1| + |0.55 - 1| + |0.65 - 1|, over four items
    assert metrics.calibration_error(confidence, right, bins=10)[0] == pytest.approx((0.9 + 0.45 + 0.35) / 4)
    assert metrics.calibration_error(np.array([1.0]), np.array([True]))[0] == 0


def test_what_is_not_defined_is_left_out():
    p = np.full((4, 3), 1 / 3)
    found = metrics.classes(np.zeros(4, int), p)
    assert "auc" not in found
    assert found["accuracy"] == 1
    assert all(np.isfinite(list(found.values())))
    assert "mape" not in metrics.number(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert "r2" not in metrics.number(np.array([0.1, 0.1, 0.1]), np.array([1.0, 2.0, 3.0]))
    none = metrics.labels(np.zeros((3, 2)), np.full((3, 2), 0.1))
    assert "auc_macro" not in none
    assert none["exact_match"] == none["jaccard"] == 1


def test_answers_that_are_not_numbers_are_not_left_out():
    assert np.isnan(metrics.number(np.array([1.0, 2.0]), np.array([np.nan, 2.0]))["rmse"])
    assert np.isnan(metrics.classes(np.array([0, 1]), np.full((2, 2), np.nan))["log_loss"])


def test_one_item():
    assert metrics.classes(np.array([1]), np.array([[0.2, 0.8]]))["accuracy"] == 1
    assert metrics.number(np.array([2.0]), np.array([3.0]))["rmse"] == 1
    assert metrics.labels(np.array([[1.0, 0.0]]), np.array([[0.9, 0.2]]))["f1_micro"] == 1


@pytest.mark.parametrize(
    ("name", "higher"),
    [("accuracy", True), ("val_log_loss", False), ("val_brier", False), ("rmse", False), ("mape", False), ("r2", True),
     ("median_error", False), ("hamming_loss", False), ("found", True), ("val_ece", False)],
)  # fmt: skip
def test_direction(name, higher):
    assert metrics.higher_is_better(name) is higher


def test_every_figure_has_its_meaning():
    p = np.full((9, 9), 1 / 9)
    names = {
        *metrics.classes(np.arange(9), p),
        *metrics.labels(np.eye(9), p),
        *metrics.number(np.arange(1.0, 4), np.ones(3)),
    }
    assert names <= set(metrics.MEANING)


def test_distance_of_two_normal_distributions_by_hand():
    """Of N(0, I) and N(m, s^2 I): |m|^2 + d (1 - s)^2."""
    found = metrics.frechet((np.zeros(3), np.eye(3)), (np.array([1.0, 2, 2]), 4 * np.eye(3)))
    assert found == pytest.approx(9 + 3)


def test_distance_of_two_sets_is_that_of_the_roots_of_scipy():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a = metrics.moments(rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6))
    b = metrics.moments(rng.normal(size=(150, 6)) @ rng.normal(size=(6, 6)))
    root = sqrtm(a[1] @ b[1]).real
    expected = ((a[0] - b[0]) ** 2).sum() + np.trace(a[1] + b[1] - 2 * root)
    assert metrics.frechet(a, b) == pytest.approx(expected)
    assert metrics.frechet(b, a) == pytest.approx(expected)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_moments_count_items_as_often_as_said():
    rows = np.random.default_rng(0).normal(size=(5, 2))
    mean, cov = metrics.moments(rows, np.array([2.0, 0, 1, 1, 1]))
    repeated = rows[[0, 0, 2, 3, 4]]
    np.testing.assert_allclose(mean, repeated.mean(0))
    np.testing.assert_allclose(cov, np.cov(repeated.T))
    np.testing.assert_allclose(metrics.moments(rows)[1], np.cov(rows.T))


def test_a_class_is_met_from_its_least_share_on():
    given = np.repeat([0, 1, 3], [96, 2, 2])
    assert metrics.classes_met(given, 5) == 3
    assert metrics.classes_met(given, 5, least=0.03) == 1
    assert metrics.classes_met(given, 5, least=0.0) == 5
