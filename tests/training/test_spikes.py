"""Losses that stay far above what they were: back to before; a bad batch, and a clean training, are left alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from deepen.store import durable
from deepen.training import recovery
from deepen.training.engine import Engine
from tests.training.engines import engine, hurt, new_run

TRAININGS: list[dict[str, Any]] = [
    {"lr": 0.02, "epochs": 12},
    {"lr": 0.1, "optimizer": "sgd", "epochs": 12},
    {"lr": 0.02, "batch_size": 2, "epochs": 4},
    {"lr": 0.01, "data.kind": "number", "epochs": 12},
    {"lr": 0.05, "batch_size": 8, "data.spread": 0.2, "epochs": 12},
]
SLOW_TO_HEAL = [
    settings for settings in TRAININGS if settings.get("optimizer") != "sgd"
]  # a large step heals by itself
TIMES = [pytest.param(2, id="few"), pytest.param(20, id="many", marks=pytest.mark.slow)]


def rows(trained: Engine) -> list[dict[str, Any]]:
    return durable.lines(trained.run.path / "incidents.jsonl")[0]


def turned(trained: Engine, steps: set[int]) -> None:
    """Before each of these steps, once, the last layer is turned round and made large: sure, and wrong."""
    real = trained._advance

    def advance() -> None:
        if trained.state.step in steps:
            steps.remove(trained.state.step)
            with torch.no_grad():
                trained.method.product().last.weight.mul_(-20)
        real()

    trained._advance = advance


@pytest.mark.parametrize("times", TIMES)
def test_a_loss_that_stays_far_up_goes_back(tmp_path, times):
    caught = 0
    for seed in range(times):
        settings = {**SLOW_TO_HEAL[seed % len(SLOW_TO_HEAL)], "seed": seed}
        trained = engine(new_run(tmp_path, **settings), **settings)
        at = random.Random(seed).randrange(30, trained.total - 4)
        turned(trained, {at})
        state = trained.fit()
        assert state.done
        found = rows(trained)
        caught += [row["action"] for row in found] == ["rolled back"]
        if found:
            assert found[0]["what"] == "loss spike"
            step = found[0]["step"]
            assert step >= at + 2
            assert set(range(step - 3, step + 1)) <= set(state.skip)
            assert found[0]["to"] <= at
    assert caught >= 0.95 * times


@pytest.mark.parametrize("times", [pytest.param(3, id="few"), pytest.param(50, id="many", marks=pytest.mark.slow)])
def test_clean_trainings_are_left_alone(tmp_path, times):
    for seed in range(times):
        settings = {**TRAININGS[seed % len(TRAININGS)], "seed": seed}
        trained = engine(new_run(tmp_path, **settings), **settings)
        assert trained.fit().recoveries == 0
        assert not rows(trained)


class Judged:
    """What `spikes` looks at."""

    def __init__(self, trained: Engine) -> None:
        self.trained = trained

    def __call__(self, *losses: float) -> list[bool]:
        return [recovery.spikes(self.trained, loss) for loss in losses]


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    return Judged(engine(new_run(tmp_path)))


def test_far_above_by_hand(judged):
    """Twenty losses about 2, then a hundred about 1: usual 1.0, largest 1.1, gained 1.0; far is above 2.0."""
    judged(*[2.0] * 20, *[1.0, 1.1, 0.9, 1.0] * 25)
    state = judged.trained.state
    assert (state.first, len(state.recent), max(state.recent)) == (2.0, 100, 1.1)
    assert judged(1.99, 1.99, 1.99) == [False] * 3, "less than was gained"
    judged(*[1.0, 1.1, 0.9, 1.0] * 25)
    assert judged(2.01, 2.01, 1.0, 2.01, 2.01) == [False] * 5, "not three in a row"
    assert state.high == 2
    assert judged(2.01) == [True]
    assert max(state.recent) == 1.1, "what is far above does not say what is usual"


def test_noise_and_a_training_that_does_not_learn_by_hand(judged):
    judged(*[1.0, 2.0] * 50)  # usual 2.0, no gain: the floor is half of the usual, 3.0 too
    assert judged(2.9, 2.9, 2.9) == [False] * 3
    judged(*[1.0, 1.0, 3.0] * 40)  # usual 1.0, three times 2.0 above it: 7.0
    assert judged(6.9, 6.9, 6.9) == [False] * 3
    judged(*[1.0, 1.0, 3.0] * 40)
    assert judged(7.1, 7.1, 7.1) == [False, False, True]


def test_nothing_is_judged_before_there_is_something_to_compare_with(judged):
    assert not any(judged(*[1.0] * 19, 1e9, 1e9))


def test_with_the_budget_spent_or_no_run_it_goes_on(tmp_path):
    settings = {**TRAININGS[0], "recoveries": 0}
    trained = engine(new_run(tmp_path, **settings), **settings)
    turned(trained, {60})
    assert trained.fit().done
    assert not rows(trained)
    alone = engine(**TRAININGS[0])
    turned(alone, {60})
    assert alone.fit().done


def test_no_anchor_is_laid_while_the_loss_is_far_up(tmp_path):
    """The spike begins a step before the end of an epoch: that end is no place to go back to."""
    trained = engine(new_run(tmp_path, **TRAININGS[0]), **TRAININGS[0])
    at = 6 * trained.epoch_steps - 1
    turned(trained, {at})
    state = trained.fit()
    (row,) = rows(trained)
    assert (row["step"], row["to"]) == (at + 2, 5 * trained.epoch_steps)
    assert state.recoveries == 1


def test_a_single_bad_batch_is_learnt_from_and_left_alone(tmp_path):
    trained = engine(new_run(tmp_path, **TRAININGS[0]), **TRAININGS[0])
    hurt(trained, lambda at, batch, loss: loss * 1e4 if at.state.step == 50 else loss)
    assert trained.fit().recoveries == 0
