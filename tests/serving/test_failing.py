"""Whether a version fails more often than those beside it: by hand, and over canaries dealt by lot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepen.serving.failing import Failing


def test_the_sums_by_hand():
    found, shares = Failing(), {"1": 3, "2": 1}  # a fourth of the requests, of failures 10/13
    assert found.add("2", shares) == ""
    assert found.sums["2"] == pytest.approx(math.log(10 / 13 / 0.25))
    assert found.sums["1"] == 0
    found.add("1", shares)
    assert found.sums["2"] == 0  # log((3/13) / (3/4)) is more than that below 0
    assert found.sums["1"] == pytest.approx(math.log(30 / 31 / 0.75))
    assert [found.add("2", shares) for _ in range(12)] == [""] * 12
    assert found.add("2", shares) == "2"  # 13 log(40/13) >= log(10^6)


def test_alone_and_when_it_is_not_dealt_nothing_is_judged():
    found = Failing()
    for _ in range(100):
        assert found.add("1", {"1": 1.0}) == found.add("3", {"1": 0.5, "2": 0.5}) == ""


def told(rng: np.random.Generator, share: float, rate: float, canary: float, requests: int) -> int | None:
    """How many of a canary's requests failed until it went; None where it stayed. The other version fails at a rate."""
    found, shares = Failing(), {"1": 1 - share, "2": share}
    own = rng.random(requests) < share
    failed = rng.random(requests) < np.where(own, canary, rate)
    count = 0
    for mine in own[failed].tolist():
        count += mine
        if found.add("12"[mine], shares):
            return count if mine else -1
    return None


GOOD = [(share, rate) for share in (0.01, 0.1, 0.5, 0.9) for rate in (0.001, 0.02, 0.3, 1.0)]


@pytest.mark.parametrize("times", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_good_canaries_stay_whatever_share_fails(times):
    """400 of them, 20,000 requests each, in `make slow`."""
    rng = np.random.default_rng(0)
    for share, rate in GOOD * times:
        assert told(rng, share, rate, rate, 2_000 if times == 1 else 20_000) is None, (share, rate)


def test_bad_canaries_go_within_a_hundred_failures():
    rng = np.random.default_rng(1)
    for share in (0.01, 0.1, 0.5, 0.7):
        for rate, canary in ((0.0, 1.0), (0.0, 0.05), (0.02, 0.3), (0.001, 0.1)):
            for _ in range(3):
                assert told(rng, share, rate, canary, 200_000) in range(101), (share, rate, canary)
