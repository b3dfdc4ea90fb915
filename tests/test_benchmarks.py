"""The report of the benchmarks: what it says of a figure, and that measuring one claim again leaves the others."""

from __future__ import annotations

from pathlib import Path

import benchmarks.__main__ as page
import numpy as np
import pytest
from benchmarks import figures, generated, quiet
from benchmarks.pairs import Row


def row(claim: str, values: list[float]) -> Row:
    return Row(claim, values, "x", ">= 2x", lambda v: v >= 2, "on a sunny day")


def test_a_row_says_median_spread_number_and_whether_the_goal_was_reached():
    assert row("faster", [3.0, 1.0, 2.5]).cells() == ["faster", "2.5x", "1 to 3", "3", ">= 2x", "yes", "on a sunny day"]
    assert row("faster", [1.0, 1.5, 2.5]).cells()[5] == "**no**"


def test_writing_one_claim_keeps_the_others_and_the_text_around():
    file = Path("performance.md")
    file.write_text("# Speed\n\nWords.\n", encoding="utf-8")
    for name, value in (("b", 2.0), ("a", 5.0), ("b", 3.0)):
        page.write(file, page.section(name, f"About {name}.", [row(name, [value])], "here"))
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# Speed\n\nWords.\n")
    assert [line for line in text.splitlines() if line.startswith("### ")] == ["### a", "### b"]
    assert "| a | 5x | 5 to 5 | 1 |" in text
    assert "| b | 3x |" in text
    assert "| b | 2x |" not in text
    before = text
    page.write(file, [])
    assert file.read_text(encoding="utf-8") == before


def test_a_turn_is_taken_again_where_the_host_had_the_cores_and_the_best_of_all_counts(monkeypatch):
    shares = iter([0.5, 0.1, 0.01, 0.3, *[0.2] * (quiet.TRIES - 1)])
    monkeypatch.setattr(quiet.Quiet, "_share", lambda self, turn: (next(shares), turn()))
    turns, once = iter(range(100)), quiet.Quiet()
    assert once(lambda: next(turns)) == 2  # the first that was quiet
    assert once(lambda: next(turns)) == 4  # none was: the first of the least disturbed
    assert once.shares == [0.01, 0.2]
    assert "in 2 turns" in str(once)
    assert f"{2 + quiet.TRIES - 1} were taken again" in str(once)


def test_every_claim_says_what_it_is():
    known = page.claims()
    assert {"training", "peers", "busy", "startup", "memory", "folder"} <= set(known)
    assert all(known.values())


def test_every_bar_of_a_figure_decides():
    figure = figures.Figure("", "", {}, "accuracy", 0.9, also={"elbo_loss": 100.0, "classes": 10})
    good = {"accuracy": 0.95, "elbo_loss": 99.0, "classes": 10}
    assert figures.met(figure, good)
    for worse in ({"accuracy": 0.8}, {"elbo_loss": 101.0}, {"classes": 9}):
        assert not figures.met(figure, {**good, **worse})


def test_what_goes_on_from_an_earlier_training_is_held_against_one_that_begins_from_nothing(monkeypatch):
    asked = []

    def once(figure, seed):
        asked.append((figure.before, seed))
        gained = 0.25 if figure.before else 0.0
        return {"accuracy": 0.5 + gained, "items": 1, "seconds": 1.0, "weights": 1, "peer": None, "others": {}}

    monkeypatch.setattr(figures, "once", once)
    monkeypatch.setitem(figures.FIGURES, "x", figures.Figure("", "", {}, "accuracy", 0.2, before={"epochs": 1}))
    ((row, reached),) = figures.measure("x", 1)
    assert asked == [({"epochs": 1}, 0), ({}, 0)]
    assert reached
    assert "0.7500 less 0.5000, paired by seed" in row


class Judge:
    """Sees of a picture its first two pixels; its class is whether the first is bright."""

    def features(self, items, batch):
        return np.stack([item.reshape(-1)[:2] for item in items]).astype(np.float32)

    def outputs(self, items, batch):
        bright = self.features(items, batch)[:, 0] > 127
        yield {"probabilities": np.stack([~bright, bright], 1).astype(np.float32)}


def test_pictures_are_as_far_apart_as_the_classifier_sees_them():
    rng = np.random.default_rng(0)
    held = rng.integers(100, 150, size=(500, 2, 2, 1)).astype(np.uint8)
    known = generated.Seen(Judge(), held)
    assert known.distance(held) == pytest.approx(0, abs=1e-6)
    assert known.distance(held + np.uint8(50)) == pytest.approx(2 * 50**2)
    other = held.copy()
    other[:, 1] = 0
    assert known.distance(other) == pytest.approx(0, abs=1e-6), "what it does not see makes no difference"
    assert known.classes(held) == 2
    assert known.classes(held // 2) == 1


def test_what_is_held_against_has_mean_and_covariance_of_the_training_pictures(monkeypatch):
    rng = np.random.default_rng(0)
    pictures = (rng.normal(size=(4000, 2)) @ np.array([[20.0, 10], [0, 15]]) + 120).round().reshape(-1, 1, 2, 1)
    monkeypatch.setattr(generated, "COUNT", 4000)
    found = generated.drawn(pictures).reshape(-1, 2).astype(float)
    np.testing.assert_allclose(found.mean(0), pictures.reshape(-1, 2).mean(0), atol=1.5)
    np.testing.assert_allclose(np.cov(found.T), np.cov(pictures.reshape(-1, 2).T), rtol=0.1, atol=10)
