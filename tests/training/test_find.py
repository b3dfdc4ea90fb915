"""Learning rate and batch size found by trying: the rule on known losses, and that what is found trains."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import deepen
from deepen import config as configs
from deepen.errors import DeepenError
from deepen.training import find
from tests.training.engines import engine, hurt


def scripted(losses: Any) -> tuple[Any, list[float]]:
    """An engine whose loss at a step is given, and the rates it steps with."""
    taken: list[float] = []
    optimizer = SimpleNamespace(parameters=[1], step=taken.append, zero_grad=lambda: None)
    player = SimpleNamespace(name="model", optimizer=optimizer)
    method = SimpleNamespace(train=lambda: None, before=lambda name: None, after=lambda name: None)
    fake = SimpleNamespace(players={"model": player}, method=method, feed=[0] * 7, state=SimpleNamespace(step=0))
    fake._gradients = lambda player, turn, epoch, k: torch.tensor(losses(epoch * 7 + k))
    return fake, taken


def test_the_rate_is_a_tenth_of_where_the_loss_was_lowest():
    fake, taken = scripted(lambda i: 1.0 if i < 40 else 0.2 if i < 60 else 0.4)
    smooth, mean, lowest = [], 0.0, (9.0, 0)
    for i in range(101):
        mean = 0.9 * mean + 0.1 * (1.0 if i < 40 else 0.2 if i < 60 else 0.4)
        smooth.append(mean / (1 - 0.9 ** (i + 1)))
        lowest = min(lowest, (smooth[-1], i))
    assert lowest[1] == 59
    assert find.rate(fake) == pytest.approx(10 ** (-6 + 6 * 59 / 100) / 10, rel=0.05)
    assert len(taken) == 101
    assert taken[0] == pytest.approx(1e-6)
    assert taken[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("wild", [1e3, float("nan"), float("inf")])
def test_it_ends_where_the_loss_runs_away(wild):
    fake, taken = scripted(lambda i: 1 - i / 100 if i < 50 else wild)
    assert find.rate(fake) == pytest.approx(10 ** (-6 + 6 * 49 / 100) / 10, rel=0.05)
    assert len(taken) == 50


@pytest.mark.parametrize(
    ("speeds", "count", "size"),
    [
        ({8: 10, 16: 19, 32: 30, 64: 31, 128: 31, 256: 32}, 10**6, 32),
        ({8: 10, 16: 20, 32: 40, 64: 80, 128: 160, 256: 320}, 1024, 128),
        ({8: 10, 16: 20, 32: None, 64: 80}, 10**6, 16),
        ({8: 10, 16: 3, 32: 3}, 10**6, 8),
        ({8: 10}, 9, 8),
    ],
)
def test_the_batch_is_the_smallest_that_is_nearly_as_fast_as_the_fastest(monkeypatch, speeds, count, size):
    """As long as there is memory and an epoch has eight steps."""
    monkeypatch.setattr(find, "_speed", lambda build, size: speeds[size])
    assert find.batch_size(None, count)[0] == size


def test_memory_that_runs_out_is_survived():
    def build(size: int) -> Any:
        trained = engine(batch_size=size, **{"data.items": 900})

        def short(at: Any, batch: Any, loss: torch.Tensor) -> torch.Tensor:
            if batch.items > 32:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return loss

        hurt(trained, short)
        return trained

    size, tried = find.batch_size(build, 630)
    assert [one.size for one in tried] == [8, 16, 32][: len(tried)]
    assert size <= 32
    with pytest.raises(DeepenError, match="out of memory with 8 items"):
        find.batch_size(lambda size: (_ for _ in ()).throw(MemoryError()), 100)
    with pytest.raises(ZeroDivisionError):
        find.batch_size(lambda size: 1 / 0, 100)


@pytest.mark.parametrize(("free", "expected"), [(4.0, 1), (1.0, 4), (0.13, 32), (0.12, 50)])
def test_a_batch_is_cut_into_as_few_parts_as_fit(monkeypatch, free, expected):
    """A batch of 50 items that takes 4 GiB; in 64 parts it would be single items."""
    tried = []

    def peak(build, count: int) -> float:
        tried.append(count)
        return 4.0 / count * 2**30

    monkeypatch.setattr(find, "_peak", peak)
    assert find.parts(None, 50, free) == expected
    assert tried == sorted(tried, reverse=True), "from many to few"
    with pytest.raises(
        DeepenError, match=r"train.max_memory: 0.01 GiB. Expected 0.08 GiB: .* Recompute|0.08 GiB: that is"
    ):
        find.parts(None, 50, 0.01)


def test_a_step_that_takes_more_memory_has_a_higher_peak():
    small, large = (find._peak(lambda count, size=size: engine(batch_size=size, **{"data.items": 9000, "model.hidden": "[2048]"}), 1)
                    for size in (8, 6000))  # fmt: skip
    assert large - small > 30 * 2**20


def test_what_is_found_trains_and_is_written_down(capsys):
    run: Any = deepen.train("digits", find="[lr, batch_size]", lr=5, epochs=6, threads=1)
    said = capsys.readouterr().out
    assert "train.lr 5 is not used: train.find looks for it" in said
    config = configs.parse(configs.read_file(run.path / "config.yaml"))
    assert config.train.find == ()
    assert config.train.batch_size in {8, 16, 32, 64, 128}
    assert f"found    lr {config.train.lr:g}" in said
    assert 1e-3 < config.train.lr < 0.1
    assert run.info["metrics"]["val_accuracy"] > 0.9
    deepen.train(str(run.path / "config.yaml"), epochs=1)
    assert "found" not in capsys.readouterr().out, "a complete configuration is repeated as it is"


def test_a_fresh_engine_with_the_rate_learns_better_than_far_from_it():
    lr = find.rate(engine(epochs=4, optimizer="sgd"))
    losses = []
    for factor in (1, 1e-2):
        trained = engine(epochs=4, optimizer="sgd", lr=lr * factor, schedule="constant")
        trained.fit()
        losses.append(float(trained.method.loss(trained.feed.batch(0, 0), "model").detach()))
    assert losses[0] < 0.5 * losses[1]


def test_where_it_cannot_be_found_it_says_so(monkeypatch):
    two = SimpleNamespace(players={"a": None, "b": None})
    with pytest.raises(DeepenError, match=r"train.find: lr. Expected one network that learns by gradients"):
        find.rate(two)
    with pytest.raises(DeepenError, match=r"train.find: got \['speed'\]. Expected a list of one of batch_size, lr"):
        configs.parse({"data": {"name": "blobs"}, "train": {"find": ["speed"]}})
