"""Forecast figures against a calculation by hand, with holes, and the loss that learns them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepen.errors import Invalid
from deepen.evaluation.intervals import intervals
from deepen.kinds.series import Series
from deepen.nn.heads import head
from deepen.nn.series import FromNewest
from deepen.preprocess.series import Series as Seen
from deepen.signature import Signature
from deepen.tensors import Windows

NAN = np.float32(np.nan)
KIND = Series(("a", "b"), 3, 2, (10.0, 0.0), (2.0, 5.0), (4.0, 0.5))
TARGET = np.array(
    [
        [[1, 2, 3, 4, 5], [10, 20, 30, 40, 50]],
        [[0, 2, NAN, 4, 6], [NAN, 1, 1, 1, NAN]],
    ],
    np.float32,
)
FORECAST = np.array([[[3, 5, 5], [30, 40, 45]], [[9, 4, 5], [2, 2, 9]]], np.float32)


def test_figures_by_hand():
    found = KIND.metrics(TARGET, {"forecast": FORECAST})
    a, b = (0 + 1 + 0 + 0 + 1) / 5, (0 + 0 + 5 + 1 + 1) / 5
    assert found["mae"] == pytest.approx((a + b) / 2)
    assert found["mase"] == pytest.approx((a / 4 + b / 0.5) / 2)
    assert found["rmse"] == pytest.approx((np.sqrt(2 / 5) + np.sqrt((25 + 1 + 1) / 5)) / 2)
    assert found["bias"] == pytest.approx(((1 - 1) / 5 + (-5 + 1 + 1) / 5) / 2)
    # the season 1, 2 repeated: 1 2 1 against 3 4 5; the second item of b knows but one value of its season: 1
    naive_a, same_a = (2 + 2 + 4 + 2 + 6) / 5, a
    naive_b, same_b = (20 + 20 + 40 + 0) / 4, (0 + 0 + 5 + 1) / 4
    assert found["skill"] == pytest.approx(1 - (same_a / naive_a + same_b / naive_b) / 2)


def test_resampled_figures_are_those_of_the_items_drawn():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(9, 2, 5)).astype(np.float32)
    target[rng.random(target.shape) < 0.2] = NAN
    outputs = {"forecast": rng.normal(size=(9, 2, 3)).astype(np.float32)}
    rows = np.array([0, 0, 3, 4, 4, 4, 8])
    counts = np.bincount(rows, minlength=9)[None].astype(float)
    plain = KIND.metrics(target[rows], {"forecast": outputs["forecast"][rows]})
    for name, value in KIND.resampled(target, outputs, counts).items():
        assert value[0] == pytest.approx(plain[name]), name


def test_the_naive_forecast_repeats_the_season_and_is_the_baseline():
    what, value = KIND.baseline(TARGET, TARGET)
    assert what == "repeating the last 2 rows"
    np.testing.assert_array_equal(KIND._naive(TARGET)[0], [[1, 2, 1], [10, 20, 10]])
    known = np.nan_to_num(KIND._naive(TARGET))
    assert value == pytest.approx(KIND.metrics(TARGET, {"forecast": known})["mase"])
    assert (
        Series(("a",), 3, 1, (0.0,), (1.0,), (1.0,)).baseline(TARGET[:, :1, 1:], TARGET[:, :1, 1:])[0]
        == "repeating the newest value"
    )


def test_what_is_fitted():
    values = np.array([0, 1, 5, 2, 9, 3, 4, 8], np.float32)[:, None]
    kind = Series.fit(Windows(values, np.arange(4), 2 + 3), columns=("a",), horizon=3, season=2)
    truth = np.stack([values[i + 2 : i + 5, 0] for i in range(4)])
    before = np.stack([values[i : i + 3, 0] for i in range(4)])
    assert kind.mean[0] == pytest.approx(truth.mean())
    assert kind.scale[0] == pytest.approx(truth.std())
    assert kind.naive[0] == pytest.approx(np.abs(truth - before).mean())


def test_a_missing_truth_teaches_nothing_and_parts_add_up_to_the_batch():
    last = head(KIND)
    raw = torch.randn(2, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.from_numpy(TARGET)
    loss = last.loss(raw, target)
    truth = (target[:, :, 2:] - torch.tensor([[10.0], [0.0]])) / torch.tensor([[2.0], [5.0]])
    each = (raw.detach().view(2, 2, 3) - truth) ** 2
    assert loss.item() == pytest.approx(float(each.nansum() / 12), rel=1e-6)
    loss.backward()
    assert (raw.grad.view(2, 2, 3) == 0).tolist() == torch.isnan(truth).tolist()
    parts = [last.loss(raw[i : i + 1], target[i : i + 1]).item() for i in range(2)]
    assert loss.item() == pytest.approx(sum(parts) / 2, rel=1e-6)


def test_answers_are_in_the_columns_own_units():
    raw = torch.arange(6.0)[None]
    answers = head(KIND)(raw).numpy()
    np.testing.assert_allclose(answers, [[[10, 12, 14], [15, 20, 25]]])
    (decoded,) = KIND.decode({"forecast": answers})
    assert decoded == {"forecast": {"a": [10, 12, 14], "b": [15, 20, 25]}}
    np.testing.assert_array_equal(KIND.outputs([decoded])["forecast"], answers)


class Zero(torch.nn.Module):
    """Nothing changes."""

    def forward(self, series):
        return series.sum((1, 2)).unsqueeze(1).repeat(1, 6) * 0 + (series[:, :, -1:].abs().sum() > 0)


def test_a_network_that_answers_no_change_repeats_the_newest_value():
    """Through the scale of what is seen and that of the answers, which differ; and the network sees a window from its end."""
    seen = Seen(("x", "b", "a"), 4, (1.0, 2.0, 3.0), (5.0, 6.0, 7.0))
    signature = Signature({"series": seen}, {"ahead": KIND})
    window = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    mean, scale = (torch.tensor(v).view(-1, 1) for v in (seen.mean, seen.scale))
    net = FromNewest(Zero(), signature)
    answers = head(KIND)(net((torch.from_numpy(window) - mean) / scale)).numpy()
    expected = np.repeat(window[:, [2, 1], -1:], 3, 2)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


def test_intervals_of_overlapping_windows_are_drawn_in_blocks():
    """Windows that share their error: the interval of single draws would be far too narrow."""
    rng = np.random.default_rng(0)
    noise = np.repeat(rng.normal(size=60), 20).astype(np.float32)  # the same for 20 windows on end
    target = np.zeros((1200, 1, 20), np.float32)
    outputs = {"forecast": np.broadcast_to(noise[:, None, None], (1200, 1, 10))}
    given = (("a",), 10, 10, (0.0,), (1.0,), (1.0,))
    width = lambda kind: (lambda found: found[2] - found[1])(intervals(kind, target, outputs)["bias"])
    expected = 2 * 1.96 * noise[::20].std() / np.sqrt(60)
    assert 0.7 * expected < width(Series(*given)) < 1.4 * expected
    assert width(Alone(*given)) < 0.4 * expected


class Alone(Series, frozen=True):
    """As if its windows had nothing in common."""

    block = 1


def test_agreement_difference_and_statistics():
    a = {"forecast": FORECAST}
    b = {"forecast": FORECAST + np.array([[0.001], [1.0]], np.float32)}
    assert KIND.agreement(a, b) == 0.5
    assert KIND.difference(a, b) == pytest.approx(0.2)
    assert KIND.statistics(a)["a ahead"].tolist() == pytest.approx([13 / 3, 6])


def test_what_came_is_taken_as_a_forecast_says_it():
    given = {"a": [1, 2, None], "b": [4, 5, 6.5]}
    target = KIND.encode([given, None])
    assert np.isnan(target[0, :, :2]).all()
    np.testing.assert_array_equal(target[0, :, 2:], [[1, 2, NAN], [4, 5, 6.5]])
    assert KIND.labelled(target).tolist() == [True, False]
    found = KIND.metrics(target[:1], {"forecast": FORECAST[:1]})
    assert "skill" not in found
    assert found["mae"] == pytest.approx(((2 + 3) / 2 + (26 + 35 + 38.5) / 3) / 2)
    for wrong, text in (
        ({"a": [1, 2, 3]}, "an object with a, b"),
        ([1], "got a list"),
        ({"a": [1, 2], "b": [1, 2, 3]}, "a list of 3 numbers"),
        ({"a": [1, 2, "x"], "b": [1, 2, 3]}, "column 'a' holds a text"),
        ({"a": [1, 2, 1e39], "b": [1, 2, 3]}, "column 'a' holds a number"),
    ):
        with pytest.raises(Invalid, match=text):
            KIND.label(wrong)


def test_panels_draw_with_holes():
    panels = KIND.panels(TARGET, {"forecast": FORECAST})
    assert [panel.title for panel in panels] == [
        *["A forecast of a"] * 2, "Error by step", "Columns", "Errors of a", "Errors of b",
    ]  # fmt: skip
    steps = panels[2].lines[0].y
    assert steps[0] == pytest.approx(np.mean([0 / 4, 0 / 0.5, 1 / 0.5]))
    assert all(np.isfinite(line.y).all() for panel in panels[:3] for line in panel.lines)


def test_the_naive_forecast_is_the_last_season_in_its_order():
    kind = Series(("a",), horizon=5, season=3)
    assert kind._naive(np.arange(8.0)[None, None]).tolist() == [[[0, 1, 2, 0, 1]]]
