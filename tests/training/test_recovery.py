"""Numbers that are not finite and memory that runs out: skipped, slowed, rolled back, split; or stopped with a name."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepen.errors import DeepenError
from deepen.store import durable
from deepen.store.run import Run
from deepen.training.engine import Engine
from tests.training.engines import NORMS, engine, gradient_lost, hurt, new_run

NAN = float("nan")


def actions(run: Run) -> list[str]:
    return [row["action"] for row in durable.lines(run.path / "incidents.jsonl")[0]]


class Once:
    """A fault that happens once in a step: what was there and is gone."""

    def __init__(self, what: str, step: int) -> None:
        self.what, self.step, self.left = what, step, 1

    def __call__(self, at: Engine, batch: Any, loss: Tensor) -> Tensor:
        if at.state.step != self.step or not self.left:
            return loss
        self.left -= 1
        if self.what == "loss":
            return loss * NAN
        if self.what == "infinite loss":
            return loss + math.inf
        if self.what == "gradient":
            return gradient_lost(loss)
        if self.what == "statistics":
            next(b for b in at.method.buffers() if b.is_floating_point()).data.fill_(NAN)
        else:
            next(at.method.parameters()).data.view(-1)[0] = NAN if self.what == "weights" else math.inf
        return loss


FAULTS = ["loss", "infinite loss", "gradient", "weights", "infinite weights", "statistics"]
TIMES = [pytest.param(1, id="few"), pytest.param(20, id="many", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def clean() -> dict[str, float]:
    found = {}
    for model in ("mlp", NORMS):
        trained = engine(model=model, epochs=8, lr=0.02)
        trained.fit()
        found[model] = trained.validate("val")["accuracy"]
        assert found[model] > 0.9
    return found


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("clip", [None, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_that_passes_is_mended(tmp_path, clean, what, clip, times):
    model = NORMS if what == "statistics" else "mlp"
    settings = {"model": model, "epochs": 8, "lr": 0.02, **({"clip": clip} if clip else {})}
    rng = random.Random(what)
    for _ in range(times):
        run = new_run(tmp_path / "runs", **settings)
        trained = engine(run, **settings)
        trained.probe.look = lambda: None  # it asks the same loss; what it meets harms nothing and is not mended
        fault = Once(what, rng.randrange(trained.total))
        hurt(trained, fault)
        state = trained.fit()
        assert state.done
        assert not fault.left
        assert actions(run), fault.step
        assert all(bool(torch.isfinite(t).all()) for t in trained.packaged.state_dict().values())
        assert abs(trained.validate("val")["accuracy"] - clean[model]) <= 0.04, fault.step
        steps = [row["step"] for row in run.rows()]
        assert steps == [trained.epoch_steps * n for n in range(1, 9)]


def test_a_clean_run_is_left_alone(tmp_path):
    run = new_run(tmp_path)
    engine(run).fit()
    assert not (run.path / "incidents.jsonl").exists()


def test_the_ladder(tmp_path):
    """Skip; skip and halve the rate; roll back to the end of the epoch before and leave the bad steps out."""
    run = new_run(tmp_path)
    trained = engine(run)
    hurt(trained, lambda at, batch, loss: loss * NAN if at.state.step in {14, 15, 16} else loss)
    state = trained.fit()
    rows = durable.lines(run.path / "incidents.jsonl")[0]
    assert [(row["action"], row["step"]) for row in rows] == [
        ("skipped", 14),
        ("skipped, rate halved", 15),
        ("rolled back", 16),
    ]
    assert rows[-1]["to"] == trained.epoch_steps
    assert (state.rate, state.skip, state.recoveries) == (0.25, [14, 15, 16], 3)


def test_a_rollback_goes_behind_the_step_that_broke_the_weights(tmp_path):
    """A lost gradient breaks the weights; that shows in the next step only, but it is the first that is left out."""
    run = new_run(tmp_path)
    trained = engine(run)
    hurt(trained, lambda at, batch, loss: gradient_lost(loss) if at.state.step == 14 else loss)
    state = trained.fit()
    assert state.skip == [14]
    assert actions(run) == ["rolled back"]


@pytest.mark.parametrize("last", [True, False])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, last):
    run = new_run(tmp_path)
    trained = engine(run)
    step = (trained.total if last else trained.epoch_steps) - 1
    hurt(trained, lambda at, batch, loss: gradient_lost(loss) if at.state.step == step else loss)
    real = run.save_checkpoint

    def save(*args: Any) -> str:
        assert all(bool(torch.isfinite(p).all()) for p in trained.method.parameters())
        return real(*args)

    run.save_checkpoint = save  # type: ignore[method-assign]
    assert trained.fit().skip == [step]


# ---------------------------------------------------------------- what does not pass


def bad_row(trained: Engine) -> tuple[int, str]:
    row = int(trained.data.parts["train"][5])
    return row, trained.data.ids[row]


def spoil(trained: Engine, row: int) -> None:
    """The network's inputs are NaN for one item."""
    real = trained.data.inputs

    def inputs(rows: Tensor, draw: Any = None, part: slice = slice(None)) -> tuple[Tensor, ...]:
        first, *rest = real(rows, draw, part)
        return torch.where((rows[part] == row).unsqueeze(1), NAN, first), *rest

    trained.data.inputs = inputs  # type: ignore[method-assign]


@pytest.mark.parametrize("model", ["mlp", NORMS])
@pytest.mark.parametrize("part", ["target", "input"])
def test_an_item_that_is_always_bad_is_named(tmp_path, part, model):
    settings = {"data.kind": "number", "epochs": 30, "recoveries": 4, "model": model}
    run = new_run(tmp_path, **settings)
    trained = engine(run, **settings)
    row, name = bad_row(trained)
    if part == "target":
        trained.data.target[row] = NAN
    else:
        spoil(trained, row)
    with pytest.raises(DeepenError) as told:
        trained.fit()
    assert told.value.code == "train.diverged"
    assert f"4 attempts to recover are spent; 1 of the batch's 16 items may be the cause: {name}." in str(told.value)
    assert len(actions(run)) == 4


def test_an_item_whose_gradient_is_always_bad_is_named(tmp_path):
    settings = {"data.kind": "number", "epochs": 30, "recoveries": 3}
    run = new_run(tmp_path, **settings)
    trained = engine(run, **settings)
    row, name = bad_row(trained)
    trained.data.target[row] = 12345.0
    hurt(trained, lambda at, batch, loss: gradient_lost(loss) if (batch.target == 12345.0).any() else loss)
    with pytest.raises(DeepenError, match=f"weights not finite.* 1 of the batch's 16 items may be the cause: {name}"):
        trained.fit()


def test_with_nothing_to_go_back_to_it_stops():
    trained = engine()
    hurt(trained, Once("weights", 5))
    with pytest.raises(DeepenError, match="nothing was saved to go back to"):
        trained.fit()


def test_a_figure_that_is_not_finite_is_never_the_best(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    trained = engine(run)
    real, seen = trained.validate, []

    def validate(part: str) -> dict[str, float]:
        seen.append(real(part))
        return {**seen[-1], "accuracy": NAN} if len(seen) in {1, 3} else seen[-1]

    monkeypatch.setattr(trained, "validate", validate)
    state = trained.fit()
    assert state.best_step in {2 * trained.epoch_steps, 4 * trained.epoch_steps}
    assert state.best == max(seen[1]["accuracy"], seen[3]["accuracy"])


# ---------------------------------------------------------------- killed while it recovers


class Killed(BaseException):
    pass


class Killer:
    """Ends the training after so many steps, as a kill would: nothing is saved."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, at: Engine) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def epoch(self, at: Engine, row: dict[str, Any]) -> None:
        pass


def always(at: Engine, batch: Any, loss: Tensor) -> Tensor:
    """Faults of many kinds at fixed steps: the whole ladder."""
    step = at.state.step
    if step in {3, 15, 16, 17, 30}:
        return loss * NAN
    return gradient_lost(loss) if step == 22 else loss


@pytest.mark.parametrize("model", ["mlp", NORMS])
@pytest.mark.parametrize("kills", [pytest.param(1, id="few"), pytest.param(60, id="many", marks=pytest.mark.slow)])
def test_killed_while_recovering_is_uninterrupted(tmp_path, model, kills):
    settings = {"model": model, "average": "ema"}
    whole = new_run(tmp_path / "whole", **settings)
    trained = engine(whole, **settings)
    hurt(trained, always)
    trained.fit()
    assert set(actions(whole)) == {"skipped", "skipped, rate halved", "rolled back"}
    for seed in range(kills):
        rng = random.Random(seed)
        run = new_run(tmp_path / "runs", **settings)
        first = True
        while True:
            # a checkpoint after every step, or hardly any: where they lie must not matter
            more = {**settings, "checkpoint_seconds": 1000 if first else rng.choice([0, 1000])}
            again = engine(run, Killer(6 if first else rng.randrange(1, 40)), **more)
            first = False
            again.load()
            hurt(again, always)
            try:
                again.fit()
                break
            except Killed:
                pass
        for name in ("metrics.jsonl", "incidents.jsonl"):
            assert (run.path / name).read_bytes() == (whole.path / name).read_bytes(), (seed, name)
        resumed = again.packaged.state_dict()
        assert all(torch.equal(t, resumed[name]) for name, t in trained.packaged.state_dict().items()), seed


# ---------------------------------------------------------------- damaged checkpoints


def damage(run: Run, name: str) -> None:
    file = run.path / "checkpoints" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def test_an_older_checkpoint_is_taken_and_said(tmp_path, capsys):
    whole = new_run(tmp_path / "whole")
    trained = engine(whole)
    trained.fit()
    run = new_run(tmp_path / "runs")
    with pytest.raises(Killed):
        engine(run, Killer(30)).fit()
    damage(run, run.checkpoints()[-1])
    again = engine(run)
    assert again.load()
    assert "a damaged checkpoint was passed over" in capsys.readouterr().out
    assert actions(run) == ["a damaged checkpoint was passed over"]
    again.fit()
    assert (run.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()


def test_where_every_checkpoint_is_damaged_it_does_not_begin_again_in_silence(tmp_path):
    run = new_run(tmp_path)
    with pytest.raises(Killed):
        engine(run, Killer(30)).fit()
    for name in run.checkpoints():
        damage(run, name)
    with pytest.raises(DeepenError, match=r"none of \d checkpoints is what was written.*Start again: deepen train"):
        engine(run).load()


def test_a_damaged_best_checkpoint_gives_way_to_the_best_before(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    trained = engine(run)
    figures = iter([0.5, 0.6, 0.1, 0.1])
    monkeypatch.setattr(trained, "validate", lambda part: {"accuracy": next(figures)})
    real = trained.keep_best

    def keep_best() -> None:
        damage(run, run.best_checkpoints()[-1])
        real()

    monkeypatch.setattr(trained, "keep_best", keep_best)
    state = trained.fit()
    assert (state.best, state.best_step) == (0.5, trained.epoch_steps)
    assert actions(run) == ["a damaged checkpoint was passed over"]


# ---------------------------------------------------------------- memory


PROBLEMS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def small_memory(most: int, problem: BaseException, begin: int = 0) -> Any:
    """Batches of more items than `most` do not fit from a step on."""

    def fault(at: Engine, batch: Any, loss: Tensor) -> Tensor:
        if at.state.step >= begin and batch.items > most:
            raise problem
        return loss

    return fault


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: type(p).__name__)
def test_a_batch_that_does_not_fit_is_split(tmp_path, problem):
    plain = engine(optimizer="sgd")
    plain.fit()
    for begin in (0, 7, 29):
        run = new_run(tmp_path / "runs", optimizer="sgd")
        trained = engine(run, optimizer="sgd")
        hurt(trained, small_memory(5, problem, begin))
        state = trained.fit()
        assert state.parts == 4
        assert actions(run) == ["out of memory: batches in more parts"] * 2
        for name, tensor in plain.packaged.state_dict().items():
            torch.testing.assert_close(trained.packaged.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parts", [2, 3, 16])
def test_the_gradient_of_a_split_batch_is_the_same(parts):
    trained = engine()
    trained.method.train()
    player = trained.players["model"]
    for k in (0, len(trained.feed) - 1):  # the last batch is smaller
        trained.state.parts = 1
        whole_loss = trained._gradients(player, 0, 0, k)
        whole = [g.clone() for g in player.optimizer.gradients()]
        player.optimizer.zero_grad()
        trained.state.parts = parts
        loss = trained._gradients(player, 0, 0, k)
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=0)
        for one, other in zip(player.optimizer.gradients(), whole):
            assert (one - other).norm() <= 1e-5 * other.norm()
        player.optimizer.zero_grad()


def test_batch_norm_is_warned_of(tmp_path, capsys):
    run = new_run(tmp_path, model=NORMS)
    trained = engine(run, model=NORMS)
    hurt(trained, small_memory(8, MemoryError()))
    trained.fit()
    assert "warning batch norm sees smaller batches" in capsys.readouterr().out


def test_a_batch_whose_items_belong_together_is_not_split():
    trained = engine()
    trained.method.separable = False
    hurt(trained, small_memory(8, MemoryError()))
    with pytest.raises(DeepenError, match=r"cannot split a batch: a smaller batch_size. train.batch_size="):
        trained.fit()


def test_one_item_that_does_not_fit_is_told():
    trained = engine()
    hurt(trained, small_memory(0, MemoryError()))
    with pytest.raises(DeepenError, match="step 0: out of memory. Expected a batch that fits"):
        trained.fit()


def test_another_failure_is_not_taken_for_memory():
    trained = engine()
    hurt(trained, small_memory(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))
    with pytest.raises(RuntimeError, match="mat1"):
        trained.fit()


LIMITED = """
import resource, sys
import torch
from pathlib import Path
from tests.training.engines import engine, new_run
settings = {"data.items": 3000, "batch_size": 2000, "hidden": [12000], "steps": 1, "optimizer": "sgd"}
run = new_run(Path("runs"), **settings)
trained = engine(run, **{**settings})
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 210 * 2**20,) * 2)
print("parts", trained.fit().parts)
"""


@pytest.mark.slow
def test_memory_that_runs_out_for_real(tmp_path):
    root = Path(__file__).parents[2]
    code = f"import sys; sys.path.insert(0, {str(root)!r})\n{LIMITED}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout.split()[-1]) > 1
