"""Schedules against the closed forms of their papers and against PyTorch's; what reacts to figures outlives a kill."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from deepen import registry
from deepen.training.schedules import rate
from tests.training.engines import engine, new_run
from tests.training.test_engine import Figures
from tests.training.test_recovery import Killed, Killer


def schedule(name: str, **options: object):
    return registry.build("schedules", registry.check("schedules", {"name": name, **options}, "x"))


HAND = [
    ("constant", {}, {0.0: 1, 0.5: 1, 1.0: 1}),
    ("linear", {}, {0.0: 1, 0.25: 0.75, 1.0: 0}),
    ("polynomial", {"power": 3, "last": 0.2}, {0.0: 1, 0.5: 0.3, 1.0: 0.2}),
    ("cosine", {}, {0.0: 1, 0.25: 0.8535533905932737, 0.5: 0.5, 1.0: 0}),
    ("cosine", {"last": 0.2}, {0.0: 1, 0.5: 0.6, 1.0: 0.2}),
    ("step", {}, {0.0: 1, 0.33: 1, 0.34: 0.1, 0.66: 0.1, 0.67: 0.01, 1.0: 0.01}),
    ("multi_step", {}, {0.0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1.0: 0.01}),
    ("multi_step", {"at": [0.2, 0.4, 0.6], "factor": 0.5}, {0.1: 1, 0.3: 0.5, 0.5: 0.25, 0.7: 0.125}),
    ("exponential", {}, {0.0: 1, 0.5: 0.1, 1.0: 0.01}),
    # cycles of 1, 2 and 4 sevenths: in the middle of each a half
    ("warm_restarts", {}, {0.0: 1, 0.5 / 7: 0.5, 1 / 7: 1, 2 / 7: 0.5, 3 / 7: 1, 5 / 7: 0.5, 1.0: 0}),
    ("one_cycle", {}, {0.0: 1 / 25, 0.15: (1 + 1 / 25) / 2, 0.3: 1, 0.65: (1 + 4e-6) / 2, 1.0: 4e-6}),
    ("plateau", {}, {0.0: 1, 1.0: 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "values"), HAND)
def test_by_hand(name, options, values):
    for progress, wanted in values.items():
        assert schedule(name, **options)(progress) == pytest.approx(wanted, abs=1e-9), progress


def test_every_schedule_is_checked_by_hand():
    assert {name for name, *_ in HAND} == {*registry.names("schedules"), "linear"}


def test_warm_up_then_the_schedule():
    factors = [rate(schedule("linear"), step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(n + 1) / 11 for n in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(1 / 90)


def test_warm_up_ends_where_the_schedule_begins():
    factors = [rate(schedule("one_cycle"), step, 100, 0.1) for step in range(100)]
    assert factors[9] == pytest.approx(10 / 11 / 25)
    assert factors[10] == pytest.approx(1 / 25)


@pytest.mark.parametrize(
    ("name", "options", "make", "tolerance"),
    [
        ("cosine", {}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 70), 1e-9),
        ("linear", {}, lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, 70), 1e-9),
        ("polynomial", {"power": 2.5}, lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 70, 2.5), 1e-9),
        ("exponential", {"last": 0.05}, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.05 ** (1 / 70)), 1e-9),
        ("step", {"stretches": 7, "factor": 0.7}, lambda o: torch.optim.lr_scheduler.StepLR(o, 10, 0.7), 1e-9),
        ("multi_step", {}, lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [35, 53], 0.1), 1e-9),
        ("warm_restarts", {}, lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 10, 2), 1e-9),
        # torch counts to the last step, we to the end of it
        ("one_cycle", {"rise": 0.4}, lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, 71, pct_start=29 / 71), 1e-9),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_as_torch(name, options, make, tolerance):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = make(optimizer)
    for step in range(70):
        assert rate(schedule(name, **options), step, 70, 0.0) == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=tolerance
        ), step
        optimizer.step()
        oracle.step()


# ---------------------------------------------------------------- plateau

FIGURES = [0.1, 0.5, 0.5, 0.4, 0.5, 0.52, 0.6, 0.6, 0.1, 0.2, 0.3, 0.6, 0.7, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(("patience", "least"), [(0, 0.0), (1, 0.0), (2, 0.05), (3, 0.0)])
def test_plateau_as_torch(patience, least):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", 0.5, patience, least, threshold_mode="abs", eps=0
    )
    ours = schedule("plateau", factor=0.5, patience=patience, least=least)
    for n, figure in enumerate(FIGURES, 1):
        oracle.step(figure)
        assert ours(0.5, FIGURES[:n]) == pytest.approx(optimizer.param_groups[0]["lr"]), n
    assert ours(0.5, FIGURES) < 1


@pytest.mark.parametrize("monitor", ["val_accuracy", "train_loss"])
def test_figures_that_should_fall_count_upside_down(monitor):
    trained = engine(epochs=3, monitor=monitor)
    rows: list[float] = []
    trained.observer = type(
        "Rows", (), {"step": lambda *_: None, "epoch": lambda _, e, row: rows.append(row[monitor])}
    )()
    trained.fit()
    sign = -1 if monitor == "train_loss" else 1
    assert trained.state.figures == [sign * value for value in rows]


def lowered(tmp_path, killed_after: int | None) -> list[float]:
    """Rates of the epochs of a training with given figures."""
    settings = {"epochs": 8, "schedule": "{name: plateau, patience: 1, factor: 0.5}", "warmup": 0, "lr": 0.01}
    figures = [0.1, 0.5, 0.4, 0.5, 0.2, 0.3, 0.1, 0.1]
    run = new_run(tmp_path, **settings)
    trained = engine(run, Killer(1) if killed_after else None, **settings)
    Figures(trained, figures)
    if killed_after:
        trained.observer.left = killed_after * trained.epoch_steps + 3
        with pytest.raises(Killed):
            trained.fit()
        trained = engine(run, **settings)
        assert trained.load()
        Figures(trained, figures)
    trained.fit()
    return [row["lr"] for row in run.rows()]


@pytest.mark.parametrize("killed_after", [3, 5])
def test_a_plateau_outlives_a_kill(tmp_path, killed_after):
    wanted = [0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    assert lowered(tmp_path / "whole", None) == pytest.approx(wanted)
    assert lowered(tmp_path / "killed", killed_after) == pytest.approx(wanted)
    assert math.isclose(wanted[-1], 0.0025)
