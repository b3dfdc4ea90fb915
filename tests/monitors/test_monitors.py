"""Every monitor: its reference is small, plain and without items; it is silent where nothing changed; oracles of each."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from deepen import registry
from deepen.monitors import psi
from deepen.monitors.fisher import OTHER, Fisher, exact
from deepen.monitors.ks import KS, kolmogorov
from deepen.monitors.mmd import MMD, weighted_chi2

MONITORS = registry.names("monitors")


def columns(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Two numbers that go together, one with a heap at 0, one that is sometimes missing, and a category."""
    draw = np.random.default_rng(seed)
    first = draw.normal(size=n)
    gain = np.where(draw.random(n) < 0.9, 0.0, draw.exponential(1000, n))
    return {
        "first": first,
        "second": 0.9 * first + math.sqrt(1 - 0.81) * draw.normal(size=n),
        "gain": gain,
        "some": np.where(draw.random(n) < 0.1, np.nan, draw.normal(size=n)),
        "town": np.array(["Lyon", "Graz", "Łódź", "(missing)"])[draw.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])],
    }


@pytest.mark.parametrize("name", MONITORS)
def test_what_is_kept_is_small_and_survives_json(name):
    monitor = registry.load("monitors", name)()
    kept = monitor.describe(columns(5000))
    text = json.dumps(kept, allow_nan=False)
    assert len(text) < 60_000
    fresh = columns(300, seed=1)
    assert monitor.test(json.loads(text), fresh) == monitor.test(kept, fresh)


@pytest.mark.parametrize("name", MONITORS)
@pytest.mark.parametrize(("n", "m"), [(50, 2000), (400, 300), (3000, 200)])
def test_p_values_of_unchanged_data_are_not_too_small(name, n, m):
    """The chance of p <= a is at most a: 5 % and 1 % of 120 tests a column, with 3 standard deviations to spare."""
    monitor = registry.load("monitors", name)()
    found: dict[str, list[float]] = {}
    for seed in range(120):
        for finding in monitor.test(monitor.describe(columns(m, seed)), columns(n, 1000 + seed)):
            found.setdefault(finding.column, []).append(finding.p)
    assert found
    for p in found.values():
        for level in (0.05, 0.01):
            assert np.mean(np.array(p) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 120)


@pytest.mark.parametrize("name", MONITORS)
def test_nothing_to_look_at_is_no_finding(name):
    monitor = registry.load("monitors", name)()
    assert monitor.test(monitor.describe({}), columns(10)) == []
    assert monitor.test(monitor.describe(columns(100)), {}) == []
    empty = {key: values[:0] for key, values in columns(10).items()}
    assert monitor.test(monitor.describe(columns(100)), empty) == []
    assert monitor.test(monitor.describe(empty), columns(10)) == []


# ---------------------------------------------------------------- ks


@pytest.mark.parametrize("x", [0.0, 0.1, 0.3, 0.5, 0.83, 1.36, 2.0, 3.5])
def test_the_kolmogorov_tail_is_scipys(x):
    assert kolmogorov(x) == pytest.approx(stats.kstwobign.sf(x), rel=1e-9, abs=1e-12)


def test_the_distance_is_that_of_the_samples_at_the_kept_quantiles():
    draw = np.random.default_rng(0)
    before, now = draw.normal(size=4000), draw.normal(0.4, 1, 300)
    (finding,) = KS().test(KS().describe({"x": before}), {"x": now})
    truth = stats.ks_2samp(before, now, method="asymp")
    binned = math.sqrt(-math.log(finding.p / 2) / 2 / (300 * 4000 / 4300))  # the leading term, turned round
    assert truth.statistic - 0.05 < binned <= truth.statistic + 1e-6
    assert finding.effect == pytest.approx(0.16, abs=0.07)  # d^2 of two normal distributions
    assert "fewer at or below" in finding.says


def test_values_beyond_all_of_training_are_seen_on_both_sides():
    kept = KS().describe({"x": np.full(1000, 5.0)})
    for value in (4.9, 5.1):
        (finding,) = KS().test(kept, {"x": np.full(50, value)})
        assert finding.p < 1e-6
    (finding,) = KS().test(kept, {"x": np.full(50, 5.0)})
    assert finding.p == 1
    assert sum(finding.now) == pytest.approx(1)


def test_a_column_that_is_all_missing_leaves_the_numbers_to_the_test_of_shares():
    kept = KS().describe({"x": np.arange(100.0)})
    assert KS().test(kept, {"x": np.full(9, np.nan)}) == []
    kept = Fisher().describe({"x": np.arange(100.0)})
    (finding,) = Fisher().test(kept, {"x": np.full(9, np.nan)})
    assert (finding.column, finding.p < 1e-9) == ("x missing", True)


# ---------------------------------------------------------------- fisher


@pytest.mark.parametrize(("n", "m"), [(5, 7), (20, 200), (400, 60)])
def test_the_exact_test_is_scipys_hypergeometric(n, m):
    for k, b in itertools.product(sorted({0, 1, 3, n // 2, n}), sorted({0, 2, m // 3, m})):
        truth = stats.hypergeom(n + m, k + b, n)
        expected = min(1.0, 2 * min(truth.cdf(k), truth.sf(k - 1)))
        assert exact(k, n, b, m) == pytest.approx(expected, rel=1e-7, abs=1e-300)


def test_large_counts_stay_exact_and_fast():
    truth = stats.hypergeom(550_000, 5600, 50_000)
    assert exact(600, 50_000, 5000, 500_000) == pytest.approx(2 * truth.sf(599), rel=1e-6)


def test_a_new_category_is_named_with_its_share():
    kept = Fisher().describe({"town": np.array(["Lyon"] * 900 + ["Graz"] * 100)})
    (finding,) = Fisher().test(kept, {"town": np.array(["Lyon"] * 85 + ["Graz"] * 10 + ["(new)"] * 5)})
    assert finding.p == pytest.approx(3 * exact(5, 100, 0, 1000))
    assert finding.says == "(other): 0.0% -> 5.0%"
    assert finding.effect > 0.02


def test_of_many_categories_the_frequent_are_kept_and_nobody_is_lost():
    names = np.array([f"c{i}" for i in range(300) for _ in range(i + 1)])
    (kept,) = Fisher().describe({"x": names}).values()
    assert len(kept) == 101
    assert sum(kept.values()) == len(names) // 2  # every other item chose them
    assert kept["c299"] == 150
    assert kept[OTHER] == pytest.approx(sum(range(1, 201)) / 2, abs=3)
    (finding,) = Fisher().test({"x": kept}, {"x": names})
    assert finding.p == 1


@pytest.mark.parametrize("categories", [60, 300])
def test_categories_too_rare_to_have_been_seen_are_no_change(categories):
    """Counted by the items that choose them, those not kept seem fewer than they are: one of 500 has not seen a sixth."""
    draw = np.random.default_rng(0)
    share = 1 / np.arange(1, categories + 1) ** 1.2
    seen = lambda n: {
        "x": np.array([f"c{i}" for i in range(categories)])[draw.choice(categories, n, p=share / share.sum())]
    }
    found = [Fisher().test(Fisher().describe(seen(200)), seen(5000))[0].p for _ in range(40)]
    assert min(found) > 1e-4
    few = {"x": np.array(["a"] * 90 + ["b"] * 8 + ["c", "d"])}
    assert Fisher().describe(few) == {"x": {"a": 90, "b": 8, "c": 1, "d": 1}}  # by all of them


# ---------------------------------------------------------------- mmd


@pytest.mark.parametrize("k", [1, 5, 60])
def test_the_saddlepoint_of_equal_weights_is_chi_square(k):
    for tail in (0.99, 0.5, 0.1, 1e-3, 1e-6, 1e-9):
        q = stats.chi2.isf(tail, k)
        assert weighted_chi2(3 * q, np.full(k, 3.0)) == pytest.approx(tail, rel=0.12 if k == 1 else 0.03)


def test_the_saddlepoint_of_unequal_weights_is_a_simulation():
    weights = np.array([5.0, 2, 1, 0.5, 0.1, 0])
    sums = np.random.default_rng(0).chisquare(1, (400_000, 6)) @ weights
    for share in (0.7, 0.3, 0.05, 0.002):
        assert weighted_chi2(float(np.quantile(sums, 1 - share)), weights) == pytest.approx(share, rel=0.06)


def test_columns_that_no_longer_go_together_are_seen_by_this_one_alone():
    kept = {name: registry.load("monitors", name)().describe(columns(5000)) for name in MONITORS}
    torn = columns(400, seed=1)
    torn["second"] = torn["second"][::-1].copy()
    least = {n: min(f.p for f in registry.load("monitors", n)().test(kept[n], torn)) for n in MONITORS}
    assert least["mmd"] < 1e-8
    assert min(least["ks"], least["fisher"]) > 1e-3
    (finding,) = MMD().test(kept["mmd"], torn)
    assert finding.effect > MMD().least


# ---------------------------------------------------------------- effect


def test_psi_by_hand():
    before, now = np.array([900, 100]), np.array([800, 200])
    plain = (0.8 - 0.9) * math.log(0.8 / 0.9) + (0.2 - 0.1) * math.log(2)
    assert psi(before, now) == pytest.approx(plain - 2 / 1000, abs=1e-3)
    assert psi(before, before) == 0


def test_psi_of_unchanged_data_is_about_nothing_however_few_items():
    draw = np.random.default_rng(0)
    found = [psi(draw.multinomial(5000, [0.05] * 20), draw.multinomial(100, [0.05] * 20)) for _ in range(200)]
    assert np.mean(found) < 0.06  # 0.19 without the part that chance makes


def test_the_move_of_unchanged_columns_is_about_nothing_however_few_items():
    kept = MMD().describe(columns(2000))
    found = [MMD().test(kept, columns(60, 1000 + seed))[0].effect for seed in range(20)]
    assert np.mean(found) < 0.5 / 60  # 1 / 60 without the part that chance makes
