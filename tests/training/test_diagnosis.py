"""A fault planted in a training is named, with what to try; a sound training gets no word."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import deepen
from deepen.config import Train
from deepen.kinds.classes import Classes
from deepen.training import diagnosis
from deepen.training.diagnosis import FILE, inside
from tests.training.engines import NORMS, engine, new_run

DEEP = "{name: mlp, hidden: [32,32,32,32,32,32,32,32,32,32], activation: sigmoid, dropout: 0}"
FLAT = {"schedule": "constant", "warmup": 0.0}


def found(what: str, **settings: Any) -> dict[str, dict[str, str]]:
    run: Any = deepen.train(what, output="runs", threads=1, **settings)
    findings = {one["name"]: one for one in json.loads((run.path / FILE).read_text())}
    assert len(findings) <= 1 or "scaling" in findings, "one cause, one finding"
    return findings


@pytest.mark.parametrize(
    ("what", "settings", "name", "advice"),
    [
        ("digits", {"epochs": 3, "model": DEEP}, "vanishing_gradients", "relu in place of sigmoid"),
        pytest.param("digits", {"epochs": 3, "init": "zero"}, "vanishing_gradients", "train.init=he", marks=pytest.mark.slow),
        pytest.param("digits", {"epochs": 3, "init": "normal", "model": "{name: mlp, hidden: [128,128,128,128]}"}, "exploding_gradients", "train.clip=1", marks=pytest.mark.slow),
        pytest.param("digits", {"epochs": 6, "lr": 0.3, **FLAT}, "dead_units", "train.lr=0.03", marks=pytest.mark.slow),
        ("blobs", {"epochs": 40, "optimizer": "gradient_descent", "lr": 0.2, "kind": "number", "data.items": 200, **FLAT}, "rate_too_high", "train.lr=0.02"),
        pytest.param("digits", {"epochs": 12, "batch_size": 1200}, "cut_short", "train.batch_size=150", marks=pytest.mark.slow),
        ("digits", {"epochs": 6, "lr": 1e-6}, "underfit", "train.lr=3e-06"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_named(what, settings, name, advice):
    findings = found(what, **settings)
    assert [*findings] == [name]
    assert advice in findings[name]["advice"]
    assert findings[name]["says"].endswith(".")


@pytest.mark.parametrize(
    ("last", "losses", "names"),
    [
        ({}, [2.0, 1.0, 0.6, 0.5, 0.48], []),
        ({"dead": 0.79}, [], []),
        ({"dead": 0.81}, [], ["dead_units"]),
        ({"last": 29.0}, [], []),
        ({"last": 31.0}, [], ["exploding_gradients"]),
        ({}, [2.3, 2.0, 1.7, 1.4, 1.1], ["cut_short"]),
        ({"now": 0.5, "mean": 0.3}, [2.0, 1.0, 0.6, 0.5, 0.5], ["rate_too_high"]),
        ({"now": 0.5, "mean": 0.3, "noise": 6.0}, [2.0, 1.0, 0.6, 0.5, 0.5], ["noisy_gradient"]),
    ],
)
def test_what_the_probes_saw_is_named(last, losses, names):
    """Where each rule begins to speak; the same noise in both probes."""
    sound = {"first": 0.01, "last": 0.02, "dead": 0.1, "noise": last.get("noise", 1.0)}
    state = SimpleNamespace(probes=[sound, {**sound, **last}], rate=1.0, step=50, settled=False)
    training: Any = SimpleNamespace(state=state, train=Train(batch_size=32), lr=0.1, epoch_steps=10, total=50)
    found = inside(training, [{"train_loss": loss} for loss in losses])
    assert [one.name for one in found] == names
    assert not any("cosine" in one.advice for one in found), "it is what was set"


def arrays(path: str, x: np.ndarray, y: np.ndarray) -> str:
    np.savez(path, x=x.astype(np.float32), y=y)
    return path


def clouds(
    n: int, noise: float = 0.0, width: int = 6, apart: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Three classes; a share of the labels is another class."""
    rng = np.random.default_rng(seed)
    centres, y = rng.normal(scale=apart, size=(3, width)), rng.integers(3, size=n)
    x = centres[y] + rng.normal(size=(n, width))
    return x, np.where(rng.random(n) < noise, (y + rng.integers(1, 3, n)) % 3, y)


def test_what_has_no_epochs_is_told_of_none():
    rng = np.random.default_rng(0)
    with open("t.csv", "w") as file:
        file.write("\n".join(["a,y", *(f"{a},{'yes' if y else 'no'}" for a, y in rng.integers(2, size=(400, 2)))]))
    run: Any = deepen.train("t.csv", target="y", model="bayes_net", output="runs", threads=1)
    (finding,) = run.read_json(FILE)
    assert finding["name"] == "underfit"
    assert "epochs" not in finding["advice"]
    said = deepen.evaluate(str(run.path))["verdict"]
    assert said["word"] == "underfit"
    assert "Other settings of the model" in said["sentences"][0]


@pytest.mark.parametrize(
    ("size", "name", "advice"),
    [(1, "noisy_gradient", "train.batch_size=4"), pytest.param(64, None, "", marks=pytest.mark.slow)],
)
def test_a_gradient_that_is_all_noise_is_named(size, name, advice):
    """A target that is mostly chance, learnt item by item at a rate that is fine for whole batches."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    place = arrays("chance.npz", x, (x.sum(1) + rng.normal(size=400) * 2).astype(np.float32))
    model = "{name: mlp, hidden: [32], activation: tanh, dropout: 0}"
    findings = found(place, epochs=8, batch_size=size, optimizer="sgd", lr=0.05, model=model, **FLAT)
    assert [*findings] == ([name] if name else [])
    assert not name or advice in findings[name]["advice"]


def test_noise_in_the_labels_is_named():
    findings = found(arrays("noisy.npz", *clouds(1500, 0.25)), epochs=15)
    assert [*findings] == ["noisy_labels"]
    assert "method.label_smoothing" in findings["noisy_labels"]["advice"]


@pytest.mark.parametrize(("learnt", "names"), [(0.7, ["noisy_labels"]), (1.0, ["overfit"])])
def test_sureness_tells_of_labels_only_where_nothing_was_learnt_by_heart(learnt, names, monkeypatch):
    """Of 300 answers on others 0.3 are wrong, of those it is surest of as many."""
    kind, rows = Classes(("a", "b", "c")), torch.arange(300)
    right = {"train": np.arange(300) % 10 < 10 * learnt, "val": np.arange(300) % 10 < 7}
    sure = np.where(np.arange(300) < 150, 9.0, 4.0)
    truth = np.tile(np.arange(300) % 3, 2)
    said = {part: np.where(right[part], truth[:300], (truth[:300] + 1) % 3) for part in right}
    scores = {part: torch.from_numpy(np.eye(3)[said[part]] * sure[:, None]).float().softmax(1) for part in right}
    parts = {"train": rows, "val": rows + 300}
    monkeypatch.setattr(
        diagnosis, "outputs_of", lambda _, __, some: {"probabilities": scores["val" if some[0] else "train"].numpy()}
    )
    method: Any = SimpleNamespace(eval=lambda: None, product=nn.Identity)
    data = SimpleNamespace(parts=parts, truth=truth)
    training: Any = SimpleNamespace(kind=kind, data=data, method=method, packaged=None, lr=0.1)
    assert [one.name for one in diagnosis.answers(training)] == names


@pytest.mark.slow
def test_overfitting_is_named():
    x, y = clouds(900, width=200, apart=0.1)
    findings = found(arrays("few.npz", x, y), epochs=12, model="{name: mlp, hidden: [256], dropout: 0}", weight_decay=0)
    assert [*findings] == ["overfit"]


def test_numbers_that_scaling_cannot_mend_are_named_by_column():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 3)), rng.integers(2, size=600)
    huge = np.where(np.arange(600) % 150 == 3, 1e9, x[:, 0])
    rare = np.where(np.arange(600) % 150 == 7, 90.0, 0.0)  # nearly always 0: nothing is pressed together
    lines = [f"{a},{b},{c},{d},{'yes' if b > 0 else 'no'}" for a, b, c, d in zip(huge, x[:, 1], x[:, 2], rare)]
    with open("t.csv", "w") as file:
        file.write("\n".join(["income,age,size,fee,y", *lines]))
    findings = found("t.csv", target="y", epochs=8)
    assert findings["scaling"]["says"] == "column 'income' is pressed together by a few huge values."
    assert y.any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("what", "settings"),
    [
        ("blobs", {}),
        ("blobs", {"kind": "number"}),
        ("blobs", {"batch_size": 1, "epochs": 5, "optimizer": "sgd", "lr": 1e-3}),
        ("digits", {"epochs": 20}),
        ("digits", {"epochs": 20, "schedule": "constant"}),
        ("digits", {"epochs": 20, "optimizer": "sgd", "lr": 0.05, "schedule": "constant"}),
        ("digits", {"epochs": 12, "model": "{name: cnn, channels: [16,32]}", "lr": 5e-3}),
        ("digits", {"epochs": 20, "augment": "[rotate, noise, mixup]"}),
        ("digits", {"epochs": 20, "model": "{name: mlp, activation: tanh}"}),
        ("digits", {"epochs": 20, "batch_size": 256, "lr": 1e-2}),
        ("clouds", {"epochs": 20}),
        ("unsure", {"epochs": 20}),
    ],
)
def test_a_sound_training_gets_no_word(what, settings, seed):
    made = {"clouds": {}, "unsure": {"apart": 0.6}}
    target = arrays(f"{what}.npz", *clouds(1500, seed=seed, **made[what])) if what in made else what
    assert found(target, seed=seed, **settings) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("place", "settings"), [
    ("tabular/adult_train.csv.gz", {"target": "income", "epochs": 3}),
    ("tabular/kc_house.csv.gz", {"target": "price", "epochs": 8}),
    ("graphs/cora.npz", {"epochs": 100}),
    ("text/sst_binary_train.csv.gz", {"target": "label", "epochs": 4}),
])  # fmt: skip
def test_nor_does_one_on_real_data(real_data, place, settings):
    assert found(str(real_data / place), **settings) == {}


def test_looking_changes_nothing():
    """Weights, running statistics, order and draws are those of a training without a probe."""
    looked, blind = engine(model=NORMS), engine(model=NORMS)
    blind.probe.able = False
    looked.fit()
    blind.fit()
    assert len(looked.state.probes) > 2
    assert not blind.state.probes
    for name, tensor in looked.method.state_dict().items():
        assert torch.equal(tensor, blind.method.state_dict()[name]), name


def test_what_was_seen_is_kept_with_the_state(tmp_path):
    trained = engine(new_run(tmp_path), epochs=20)
    trained.fit()
    again = engine(trained.run, epochs=20)
    assert again.load()
    assert again.state.probes == trained.state.probes
    assert 5 <= len(trained.state.probes) <= 10, "now and then, not at every epoch"


def test_of_a_batch_in_more_parts_than_items_single_items_are_looked_at():
    split = engine(accumulate=100)
    split.probe.look()
    assert len(split.state.probes) == 1


def test_memory_that_does_not_suffice_for_a_look_is_no_fault():
    trained = engine()
    real = trained.method.loss
    trained.method.loss = lambda batch, player: (_ for _ in ()).throw(MemoryError("out of memory"))
    trained.probe.look()
    assert trained.state.probes == []
    trained.method.loss = real
    assert not any(module._forward_hooks for module in trained.method.modules())


def test_the_noise_of_gradients_is_that_of_the_paper():
    """Gradients known in advance: mean and variance as McCandlish's unbiased estimates have them."""
    trained = engine(batch_size=16)
    (_, weight), *_ = trained.probe.weights
    rng = np.random.default_rng(0)
    rows = [[torch.from_numpy(rng.normal(1, 2, p.shape)).float() for _, p in trained.probe.weights] for _ in range(4)]
    flat = np.stack([np.concatenate([g.numpy().ravel() for g in row]) for row in rows])
    variance = flat.var(0, ddof=1).sum()
    signal = (flat**2).sum(1).mean() - variance
    assert trained.probe._summed(rows)["noise"] == pytest.approx(variance / signal, rel=1e-4)
    assert trained.probe._summed(rows)["first"] == pytest.approx(
        float(torch.stack([row[0] for row in rows]).mean(0).norm() / weight.detach().norm()), rel=1e-4
    )


def test_layers_that_begin_at_0_are_not_pulled_at_without_end(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(100, 3)))
    settings = {"method": "max_likelihood", "couplings": 4, "epochs": 1, "threads": 1, "output": str(tmp_path)}
    run = deepen.train(str(tmp_path / "x.npz"), **settings)
    names = {finding["name"] for finding in json.loads((run.path / FILE).read_text())}
    assert not names & {"exploding_gradients", "vanishing_gradients"}
