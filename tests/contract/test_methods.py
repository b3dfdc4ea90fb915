"""What every method promises, over all that stand in methods/: a new file is tested without writing a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepen import config as configs
from deepen import registry
from deepen.data.prepare import prepare
from deepen.store import durable
from deepen.store.run import Run
from deepen.training import plan
from deepen.training.assemble import build
from deepen.training.engine import Engine

METHODS = registry.names("methods")
GAMES = {"gan"}  # players work against each other's loss: it does not fall


def text() -> dict[str, Any]:
    """A text of nothing but two sentences, and a network that goes on with it."""
    Path("book.txt").write_text("to be, or not to be. that is the question! " * 50)
    data = {"name": "text", "path": str(Path("book.txt").absolute()), "context": 24}
    return {"data": data, "model": {"name": "rnn", "width": 16, "embedding": 8, "dropout": 0.2}}


def ink() -> dict[str, Any]:
    """Items of 0 and 1: two of them, over and over."""
    items = np.tile(np.unpackbits(np.array([[15], [240]], np.uint8), axis=1), (32, 1))
    np.savez("ink.npz", x=items.astype(np.float32))
    return {"data": {"name": "arrays", "path": str(Path("ink.npz").absolute())}}


WANTS = {"next_token": text, "contrastive_divergence": ink}  # what a method learns from, where that is not a table


def points() -> dict[str, Any]:
    """A few made-up points."""
    return {"data": {"name": "blobs", "items": 90}, "model": {"name": "mlp", "hidden": [16], "dropout": 0.2}}


def engine_of(name: str, run: Run | None, **train: Any) -> Engine:
    """A method at its smallest; `network`: the only one it is for."""
    network = registry.constant("methods", name, "network")
    own = {"name": network, **(registry.constant("models", network, "tiny") or {})} if network else None
    document = {
        **WANTS.get(name, points)(),
        **({"model": own} if own else {}),
        "method": {"name": name, **(registry.constant("methods", name, "tiny") or {})},
        "train": {"batch_size": 16, "epochs": 3, "threads": 1, "device": "cpu", **train},
    }
    config = configs.parse(document)
    prepared = prepare(registry.build("sources", config.data).read(), config)
    return build(plan.complete(config, prepared), prepared, run)


def log_of(run: Run) -> list[dict[str, Any]]:
    return durable.lines(run.path / "metrics.jsonl")[0]


def weights_of(engine: Engine) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in engine.method.state_dict().items()}


@pytest.mark.parametrize("name", METHODS)
def test_loss_is_a_finite_scalar_that_reaches_its_player(name):
    engine = engine_of(name, None)
    batch = engine.feed.batch(0, 0)
    for player in engine.players.values():
        loss = engine.method.loss(batch, player.name)
        assert loss.shape == ()
        assert torch.isfinite(loss)
        loss.backward()
        assert player.optimizer.gradients(), f"no gradient reaches {player.name}"


@pytest.mark.parametrize("name", [name for name in METHODS if name not in GAMES])
def test_learns_one_batch_by_heart(name):
    """The loss of one batch falls to a tenth."""
    engine = engine_of(name, None, lr=1e-2)
    for part in engine.method.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    batch = engine.feed.batch(0, 0)
    (player,) = engine.players.values()
    losses = []
    for _ in range(200):
        loss = engine.method.loss(batch, player.name)
        loss.backward()
        player.optimizer.step(1e-2)
        player.optimizer.zero_grad()
        engine.method.after(player.name)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_log_and_another_seed_another(name, tmp_path):
    runs = [Run.create(tmp_path, "") for _ in range(3)]
    engines = [engine_of(name, run, seed=seed) for run, seed in zip(runs, (1, 1, 2))]
    for engine in engines:
        engine.fit()
    assert log_of(runs[0]) == log_of(runs[1])
    assert log_of(runs[0]) != log_of(runs[2])
    once, again = weights_of(engines[0]), weights_of(engines[1])
    assert all(torch.equal(once[key], again[key]) for key in once)


@pytest.mark.parametrize("name", METHODS)
def test_stopped_anywhere_and_resumed_equals_uninterrupted(name, tmp_path):
    class Stop(Exception):
        pass

    class Stopper:
        def __init__(self, at: int) -> None:
            self.at = at

        def step(self, engine: Engine) -> None:
            if engine.state.step == self.at:
                raise Stop

        def epoch(self, engine: Engine, row: dict[str, Any]) -> None:
            pass

    through = engine_of(name, Run.create(tmp_path, ""))
    through.fit()
    expected, log = weights_of(through), log_of(through.run)
    assert log, "there is something to compare"
    for at in (1, through.epoch_steps + 1, through.total - 1):
        run = Run.create(tmp_path, "")
        broken = engine_of(name, run, checkpoint_seconds=0.0)
        broken.observer = Stopper(at)
        with pytest.raises(Stop):
            broken.fit()
        resumed = engine_of(name, Run.open(Path(run.path)))
        assert resumed.load()
        assert 0 < resumed.state.step <= at or at == 1
        resumed.fit()
        found = weights_of(resumed)
        different = [key for key in expected if not torch.equal(expected[key], found[key])]
        assert not different, f"stopped after step {at}"
        assert log_of(run) == log
