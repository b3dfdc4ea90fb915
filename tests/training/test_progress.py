"""What a person is told while a training goes on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from deepen.training.progress import Show


@pytest.mark.parametrize(("total", "told"), [(1, "step 1/1  "), (36, "epoch 1/2  "), (20, "step 18/20  ")])
def test_a_training_that_is_no_whole_epochs_is_told_in_steps(total, told, capsys):
    step = min(18, total)
    engine = SimpleNamespace(
        total=total, epoch_steps=18, monitor="val_loss", state=SimpleNamespace(step=step, best_step=step)
    )
    show = Show(SimpleNamespace(log=lambda text: None))
    show.left = lambda engine: "0 s"
    show.epoch(engine, {"epoch": step / 18, "step": step, "train_loss": 1.0, "val_loss": 2.0, "lr": 0.1})
    assert capsys.readouterr().out.startswith(told)
