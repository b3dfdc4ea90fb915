"""The loop: parts make the batch, clipping is torch's, the best weights are kept, the same seed is the same run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from deepen.errors import DeepenError
from deepen.training.norms import JointNorms
from deepen.training.validate import metrics_of
from tests.training.engines import NORMS, engine, hurt, new_run
from tests.training.test_recovery import Killed, Killer


@pytest.mark.parametrize("clip", [0.01, 0.5, 1e6])
def test_clipping_as_torch(clip):
    trained = engine(clip=clip)
    player = trained.players["model"]
    trained._gradients(player, 0, 0, 0)
    gradients = player.optimizer.gradients()
    oracle = [torch.zeros_like(g).requires_grad_() for g in gradients]
    for parameter, gradient in zip(oracle, gradients):
        parameter.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(oracle, clip)
    assert trained._unscaled(player, 0, 0)
    for parameter, gradient in zip(oracle, player.optimizer.gradients()):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_accumulated_parts_are_one_batch(parts):
    whole, split = engine(optimizer="sgd"), engine(optimizer="sgd", accumulate=parts)
    whole.fit()
    split.fit()
    for name, tensor in whole.packaged.state_dict().items():
        torch.testing.assert_close(split.packaged.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_last_item_alone_meets_batch_norm_with_others_and_batches_of_one_are_refused():
    trained = engine(model=NORMS, batch_size=139, epochs=1)
    assert len(trained.data.parts["train"]) == 140
    assert trained.fit().step == 1
    for settings in ({"batch_size": 1}, {"batch_size": 3, "accumulate": 3}):
        with pytest.raises(DeepenError, match=r"train.batch_size: a batch, or a part of one, of a single item"):
            engine(model=NORMS, **settings).fit()


def test_items_that_belong_together_are_not_accumulated():
    from deepen.methods.supervised import Supervised

    Supervised.separable = False
    try:
        with pytest.raises(DeepenError, match="one process and accumulate: 1"):
            engine(accumulate=2)
    finally:
        Supervised.separable = True


def test_the_same_seed_is_the_same_run_and_another_is_not(tmp_path):
    texts = []
    for seed in (0, 0, 1):
        run = new_run(tmp_path / "runs", seed=seed, model=NORMS, average="swa")
        engine(run, seed=seed, model=NORMS, average="swa").fit()
        texts.append((run.path / "metrics.jsonl").read_bytes())
    assert texts[0] == texts[1] != texts[2]


class Figures:
    """Hands out these figures in place of the measured ones, and keeps the weights that stood then."""

    def __init__(self, trained: Any, figures: list[float]) -> None:
        self.trained, self.figures, self.weights = trained, figures, {}
        trained.validate = self

    def __call__(self, part: str) -> dict[str, float]:
        epoch = self.trained.state.step // self.trained.epoch_steps
        self.weights[epoch] = {k: v.clone() for k, v in self.trained.method.state_dict().items()}
        return {"accuracy": self.figures[epoch - 1]}


def test_it_stops_early_with_the_best_weights(tmp_path):
    run = new_run(tmp_path, epochs=20, patience=3)
    trained = engine(run, epochs=20, patience=3)
    figures = Figures(trained, [0.5, 0.1, 0.7, 0.6, 0.7, 0.65, 0.9])
    state = trained.fit()
    assert (state.step, state.best_step) == (6 * trained.epoch_steps, 3 * trained.epoch_steps)
    assert all(torch.equal(t, figures.weights[3][name]) for name, t in trained.method.state_dict().items())


def test_what_is_hardly_better_is_not_waited_for(tmp_path):
    """Gains of up to `min_delta` neither end the waiting nor change which weights are kept."""
    settings = {"epochs": 20, "patience": 3, "min_delta": 0.02}
    trained = engine(new_run(tmp_path, **settings), **settings)
    Figures(trained, [0.5, 0.51, 0.515, 0.53, 0.54, 0.545, 0.549, 0.9])
    state = trained.fit()
    assert (state.step, state.best, state.best_step) == (7 * trained.epoch_steps, 0.53, 4 * trained.epoch_steps)


@pytest.mark.parametrize("killed_after", [1, 3, 4, 5])
def test_patience_outlives_a_kill(tmp_path, killed_after):
    figures = [0.5, 0.1, 0.7, 0.6, 0.7, 0.65, 0.9]
    run = new_run(tmp_path, epochs=20, patience=3)
    trained = engine(run, Killer(1), epochs=20, patience=3)
    trained.observer.left = killed_after * trained.epoch_steps + 5
    Figures(trained, figures)
    with pytest.raises(Killed):
        trained.fit()
    again = engine(run, epochs=20, patience=3)
    assert again.load()
    Figures(again, figures)
    state = again.fit()
    assert (state.step, state.best_step, state.best) == (6 * again.epoch_steps, 3 * again.epoch_steps, 0.7)


def test_the_average_of_a_mean_over_epochs_has_fresh_norms(tmp_path):
    """The shipped network's running statistics are those of its own, averaged weights."""
    trained = engine(model=NORMS, average="swa", epochs=8, lr=0.1)
    trained.fit()
    assert int(trained.average.count) == 3, "of the ends of the epochs 6, 7 and 8"
    norm = next(m for m in trained.method.modules() if isinstance(m, torch.nn.BatchNorm1d))
    rows = trained.data.parts["train"]
    hidden = [trained.method.product().body[0](torch.cat(trained.data.inputs(part), 1)) for part in rows.split(16)]
    torch.testing.assert_close(
        norm.running_mean, torch.stack([h.mean(0) for h in hidden]).mean(0), rtol=1e-3, atol=1e-4
    )


def test_what_is_judged_are_the_averaged_weights():
    trained = engine(average="ema", lr=0.3)
    for _ in range(9):
        trained._advance()
    rows = [trained.validate("val")]
    with trained.average.applied():
        rows.append(metrics_of(trained.packaged, trained.data, "val"))
    assert rows[0] == rows[1]
    assert rows[0] != metrics_of(trained.packaged, trained.data, "val")


def test_the_rate_of_a_step_is_warm_up_schedule_and_what_recoveries_left_of_it(tmp_path):
    run = new_run(tmp_path)
    trained = engine(run, epochs=4, warmup=0.5, lr=0.2, schedule="linear")
    trained.fit()
    steps = trained.epoch_steps  # half of the four epochs it rises, then it falls in a straight line
    wanted = [steps / (2 * steps + 1), 2 * steps / (2 * steps + 1), (steps + 1) / (2 * steps), 1 / (2 * steps)]
    assert [row["lr"] for row in run.rows()] == pytest.approx([0.2 * share for share in wanted])
    trained.state.rate = 0.25
    assert trained._rate(0) == pytest.approx(0.05 / (2 * steps + 1))


def test_every_item_once_in_an_epoch():
    trained = engine()
    seen: list[int] = []

    def look(at: Any, batch: Any, loss: torch.Tensor) -> torch.Tensor:
        seen.append(batch.items)
        return loss

    hurt(trained, look)
    trained.probe.able = False
    trained.fit()
    assert sum(seen) == 4 * len(trained.data.parts["train"])


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("parts", [(1, 1, 1), (2, 1, 3), (1, 4, 2), (16, 16, 16)])
@pytest.mark.parametrize("model", ["mlp", NORMS])
def test_processes_share_a_batch_whatever_parts_each_cuts_its_own_into(world, parts, model):
    """Every item of every batch once, also where norms need all processes and there are fewer items than those."""
    trained = engine(optimizer="sgd", batch_size=16, model=model, **{"data.items": 162})
    if model == NORMS:
        alone = SimpleNamespace(world=world, sum=lambda tensors: None)
        trained.norms = JointNorms(trained.method, alone, True)  # type: ignore[arg-type]
        assert trained.norms.norms
    assert trained.feed.items(0, len(trained.feed) - 1) == 2
    seen: list[int] = []

    def look(at: Any, batch: Any, loss: torch.Tensor) -> torch.Tensor:
        seen.extend(batch.target.tolist())
        return loss * 0 + 1

    hurt(trained, look)
    trained.processes.sum_gradients = lambda parameters, loss: None
    trained.processes.world = world
    for k in range(len(trained.feed)):
        total = 0.0
        seen.clear()
        for rank in range(world):
            trained.processes.rank, trained.state.parts = rank, parts[rank]
            total += float(trained._gradients(trained.players["model"], 0, 0, k))
        assert total == pytest.approx(1.0)
        assert sorted(seen) == sorted(trained.feed.batch(0, k).target.tolist())


def test_each_step_turn_and_part_draws_anew():
    trained, drawn = engine(), set()
    for step, turn, piece in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        trained.state.step = step
        trained._reseed(turn, piece)
        drawn.add(float(torch.rand(())))
    assert len(drawn) == 4
