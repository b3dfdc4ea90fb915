"""Accuracy as promised: `python -m benchmarks.figures NAME ... --seeds 3` trains a recipe and holds it against a bar.

Data lies in $DEEPEN_DATA. One thread. The split stays the same, the seed of weights and order changes. With --write
the row goes into docs/results.md, between its markers, in place of the row of that name. A figure that misses its bar
is written down like any other, and the exit code is 3.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import datetime
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import communities, generated, recommend, spoken, strategies, things

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = (
    "| name | what | test items | figure | n | mean | spread (least to most) | bar | met | CPU s per training | peer | weights | measured with |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass
class Figure:
    """A recipe (or nothing: what `deepen train DATA` does by itself), its data, and what it must reach."""

    what: str
    recipe: str
    data: dict[str, str]  # setting -> file below $DEEPEN_DATA
    metric: str
    bar: float
    settings: dict[str, Any] = field(default_factory=dict)
    peer: bool = False  # gradient boosting on the same rows
    others: Callable[[Any], dict[str, float]] | None = None  # further figures of a run, and of what it is held against
    made: Callable[[Path, Path, int], dict[str, str]] | None = None  # writes `data`, from data sets into a folder
    against: dict[str, Any] = field(default_factory=dict)  # settings of another training: what is gained over it
    before: dict[str, Any] = field(default_factory=dict)  # of one that it goes on from: what is gained over none
    more: Callable[[Any], dict[str, float]] | None = None  # further figures of the run, of which one may be the metric
    also: dict[str, float] = field(default_factory=dict)  # further figures of the run with the bars of their means
    turn: str = "seed"  # what changes from one training to the next: the seed, or the fold that is tested with


GRADIENT = {
    "model": "{name: mlp, hidden: [256], dropout: 0}",
    "epochs": 8,
    "optimizer": {"name": "sgd", "momentum": 0.9},
    "lr": 0.05,
    "weight_decay": 0.0,
}
DENSE_CODE = {"name": "autoencoder", "form": "dense", "hidden": [500], "code": 500}
DEEP_CODE = {"name": "autoencoder", "form": "dense", "hidden": [800, 800], "code": 800}
ALL_OF_MNIST = {"split.val": 0.0833, "augment": [], "batch_size": 128}
FILL_IN = {"method": {"name": "reconstruct", "masking": 0.25}, "epochs": 20}
BESIDE = ("accuracy", "ece")  # told too of what is held against another
RATINGS = {
    "data.path": "tabular/movielens100k_ratings.csv.gz",
    "data.users": "tabular/movielens100k_users.csv.gz",
}
COLUMNS = {"user": "user", "item": "item", "time": "timestamp"}
FIGURES = {
    "mnist_lenet": Figure(
        "MNIST, LeNet-5, 6 epochs", "mnist_lenet", {"data.path": "images/mnist.npz"}, "accuracy", 0.990
    ),
    "fashion_lenet": Figure(
        "Fashion-MNIST, LeNet-5", "fashion_lenet", {"data.path": "images/fashion_mnist.npz"}, "accuracy", 0.905
    ),
    "fashion_cnn": Figure(
        "Fashion-MNIST, small CNN", "fashion_cnn", {"data.path": "images/fashion_mnist.npz"}, "accuracy", 0.925
    ),
    "adult": Figure(
        "Adult income, tabular net", "adult",
        {"data.path": "tabular/adult_train.csv.gz", "data.test": "tabular/adult_test.csv.gz"}, "accuracy", 0.852,
        peer=True,
    ),
    "adult_deep_cross": Figure(
        "Adult income, deep and cross", "adult_deep_cross",
        {"data.path": "tabular/adult_train.csv.gz", "data.test": "tabular/adult_test.csv.gz"}, "accuracy", 0.852,
        peer=True,
    ),
    "adult_resample": Figure(
        "Adult income, tabular net: what drawing both classes alike adds", "adult",
        {"data.path": "tabular/adult_train.csv.gz", "data.test": "tabular/adult_test.csv.gz"}, "balanced_accuracy", 0.02,
        settings={"resample": 1}, against={"resample": 0},
    ),
    "adult_hard_examples": Figure(
        "Adult income, tabular net: what drawing half of the items by their loss adds", "adult",
        {"data.path": "tabular/adult_train.csv.gz", "data.test": "tabular/adult_test.csv.gz"}, "balanced_accuracy", 0.0,
        settings={"method.hard_examples": 0.5}, against={"method.hard_examples": 0.0},
    ),
    "mnist_pca_start": Figure(
        "MNIST, dense net after 60 steps: what starting from principal components gains over He's start", "",
        {"data.path": "images/mnist.npz"}, "accuracy", 0.0,
        settings={"model": "{name: mlp, hidden: [256], dropout: 0}", "steps": 60, "batch_size": 128, "init": "pca"},
        against={"init": "he"},
    ),
    "mnist_smoothing": Figure(
        "MNIST, dense net, 4 epochs: calibration error that label smoothing of 0.1 adds to none", "",
        {"data.path": "images/mnist.npz"}, "ece", 0.0,
        settings={"model": "{name: mlp, hidden: [256], dropout: 0}", "epochs": 4, "method.label_smoothing": 0.1},
        against={"method.label_smoothing": 0.0},
    ),
    "fashion_smoothing": Figure(
        "Fashion-MNIST, dense net, 15 epochs: calibration error that label smoothing of 0.1 adds to none", "",
        {"data.path": "images/fashion_mnist.npz"}, "ece", 0.0,
        settings={"model": "{name: mlp, hidden: [256, 256], dropout: 0}", "epochs": 15, "method.label_smoothing": 0.1},
        against={"method.label_smoothing": 0.0},
    ),
    "fashion_overfit_smoothing": Figure(
        "Fashion-MNIST, dense net too sure of itself (2 x 512, nothing augmented, 20 epochs): calibration error that label "
        "smoothing of 0.1 adds", "", {"data.path": "images/fashion_mnist.npz"}, "ece", 0.0,
        settings={
            "model": "{name: mlp, hidden: [512, 512], dropout: 0}", "epochs": 20, "augment": [], "precision": "bf16",
            "method.label_smoothing": 0.1,
        },
        against={"method.label_smoothing": 0.0},
    ),
    "cifar_noisy_smoothing": Figure(
        "CIFAR-10, 8,000 pictures labelled by people (9 % wrong), 10 epochs: what label smoothing of 0.1 adds", "", {},
        "accuracy", 0.0, made=strategies.people("aggre"),
        settings={"epochs": 10, "method.label_smoothing": 0.1, "precision": "bf16"},
        against={"method.label_smoothing": 0.0},
    ),
    "cifar_noisier_smoothing": Figure(
        "CIFAR-10, 8,000 pictures labelled by people (40 % wrong), 10 epochs: what label smoothing of 0.1 adds", "", {},
        "accuracy", 0.0, made=strategies.people("worse"),
        settings={"epochs": 10, "method.label_smoothing": 0.1, "precision": "bf16"},
        against={"method.label_smoothing": 0.0},
    ),
    "mnist_l1_weak": Figure(
        "MNIST, dense net, SGD, 8 epochs: accuracy that a proximal L1 of 3e-4 takes", "", {"data.path": "images/mnist.npz"},
        "accuracy", -0.003, settings={**GRADIENT, "l1": 3e-4},
        against={"l1": 0.0},
        others=strategies.zeros,
    ),
    "mnist_l1_middle": Figure(
        "MNIST, dense net, SGD, 8 epochs: accuracy that a proximal L1 of 1e-3 takes", "", {"data.path": "images/mnist.npz"},
        "accuracy", -0.005, settings={**GRADIENT, "l1": 1e-3},
        against={"l1": 0.0},
        others=strategies.zeros,
    ),
    "mnist_l1_strong": Figure(
        "MNIST, dense net, SGD, 8 epochs: accuracy that a proximal L1 of 3e-3 takes", "", {"data.path": "images/mnist.npz"},
        "accuracy", -0.01, settings={**GRADIENT, "l1": 3e-3},
        against={"l1": 0.0},
        others=strategies.zeros,
    ),
    "mnist_dropout": Figure(
        "MNIST, dense net of 2 x 1024 with dropout of a half, a fifth of the inputs, and max-norm 2: what they add to none, "
        "30 epochs", "", {"data.path": "images/mnist.npz"}, "accuracy", 0.0025,
        settings={
            "model": {"name": "mlp", "hidden": [1024, 1024], "dropout": 0.5, "input_dropout": 0.2}, "max_norm": 2.0,
            "optimizer": {"name": "sgd", "momentum": 0.95}, "lr": 0.02, "epochs": 30, "weight_decay": 0.0,
            "precision": "bf16", "batch_size": 128, "augment": [],
        },
        against={"model": {"name": "mlp", "hidden": [1024, 1024]}, "max_norm": None},
    ),
    "mnist_dense": Figure(
        "MNIST, dense net of 2 x 800 with dropout, 20 epochs, nothing augmented", "", {"data.path": "images/mnist.npz"},
        "accuracy", 0.983,
        settings={"model": "{name: mlp, hidden: [800, 800], dropout: 0.4}", **ALL_OF_MNIST, "epochs": 20},
    ),
    "fashion_dense": Figure(
        "Fashion-MNIST, dense net of 256-128-100, 15 epochs, nothing augmented", "",
        {"data.path": "images/fashion_mnist.npz"}, "accuracy", 0.885,
        settings={"model": "{name: mlp, hidden: [256, 128, 100], dropout: 0.1}", "epochs": 15, "augment": []},
    ),
    "mnist_dbn_all": Figure(
        "MNIST, belief net of 3 x 500, each layer pretrained for 10 epochs, fine-tuned for 20, nothing augmented", "",
        {"data.path": "images/mnist.npz"}, "accuracy", 0.984,
        settings={"model": {"name": "dbn", "hidden": [500, 500, 500], "pretrain": 10}, **ALL_OF_MNIST, "epochs": 20},
    ),
    "mnist_denoising_all": Figure(
        "MNIST, all labels, dense net of 3 x 800 that first learnt for 15 epochs to fill in a hidden quarter of each "
        "picture, 20 epochs: what that adds to a random start (and the accuracy itself)", "",
        {"data.path": "images/mnist.npz"}, "accuracy", 0.0,
        settings={"model": DEEP_CODE, "method": "supervised", **ALL_OF_MNIST, "epochs": 20},
        before={**FILL_IN, "epochs": 15}, also={"own": 0.986},
    ),
    "mnist_dbn": Figure(
        "MNIST, 1,000 labels among 20,000 digits, belief net of 2 x 500: what pretraining adds to a random start", "", {},
        "accuracy", 0.0, made=strategies.few_labels,
        settings={"model": {"name": "dbn", "hidden": [500, 500], "pretrain": 10}},
        against={"model": {"name": "dbn", "hidden": [500, 500], "pretrain": 0}},
    ),
    "mnist_denoising": Figure(
        "MNIST, 1,000 labels among 20,000 digits, dense net of 2 x 500: what learning to fill in a hidden quarter of each "
        "picture (20 epochs) adds to a random start", "", {}, "accuracy", 0.0, made=strategies.few_labels,
        settings={"model": DENSE_CODE, "method": "supervised"}, before=FILL_IN,
    ),
    "mnist_denoising_sigmoid": Figure(
        "The same with sigmoid units, as in the paper, nothing augmented", "", {}, "accuracy", 0.0,
        made=strategies.few_labels,
        settings={"model": {**DENSE_CODE, "activation": "sigmoid"}, "method": "supervised", "augment": []},
        before=FILL_IN,
    ),
    "flowers": Figure(
        "12 flowers, 720 photos, all defaults", "", {"data.path": "images/flowers12"}, "accuracy", 0.80
    ),
    "house_prices": Figure(
        "King County house prices, all defaults", "", {"data.path": "tabular/kc_house.csv.gz"}, "r2", 0.88,
        settings={"target": "price"}, peer=True,
    ),
    "sst": Figure(
        "SST, sentences good or bad, all defaults", "",
        {"data.path": "text/sst_binary_train.csv.gz", "data.test": "text/sst_binary_test.csv.gz"}, "accuracy", 0.80,
        settings={"target": "label"},
    ),
    "ag_news": Figure(
        "AG News, its 7,600 test items shared out, all defaults", "", {"data.path": "text/ag_news_test.csv.gz"},
        "accuracy", 0.85, settings={"target": "label"},
    ),
    "imdb_gru": Figure(
        "IMDB reviews, GRU of 64, 4 epochs", "imdb_gru",
        {"data.path": "text/imdb_train.csv.xz", "data.test": "text/imdb_test.csv.xz"}, "accuracy", 0.86,
    ),
    "etth1": Figure(
        "ETTh1, 24 hours ahead, usual split, all defaults", "", {"data.path": "timeseries/ETTh1.csv.gz"}, "skill", 0.20,
        settings={
            "target": "OT", "time": "date", "horizon": 24, "borders": ["2017-06-26", "2017-10-24", "2018-02-21"],
        },
    ),
    "spoken_digits": Figure(
        "Spoken digits, published split, all defaults", "", {}, "accuracy", 0.96, made=spoken.published
    ),
    "spoken_new_speaker": Figure(
        "Spoken digits, a speaker never heard (another one each time), each pitch relative to its mean", "", {},
        "accuracy", 0.70, made=spoken.new_speaker,
        settings={"model": {"name": "listener", "relative": "pitch", "dropout": 0.3}},
    ),
    "shakespeare_transformer": Figure(
        "Tiny Shakespeare by characters, 4 blocks of 128, 2,000 steps", "shakespeare_transformer",
        {"data.path": "text/tinyshakespeare.txt.gz"}, "nats", 1.90,
    ),
    "shakespeare_lstm": Figure(
        "Tiny Shakespeare by characters, LSTM of 2 x 256", "shakespeare_lstm",
        {"data.path": "text/tinyshakespeare.txt.gz"}, "nats", 1.60,
    ),
    "spoken_joined": Figure(
        "Spoken digits joined, one to four of them written down, one layer, 10 epochs", "", {}, "exact_match", 0.85,
        made=spoken.joined,
        settings={
            "target": "said", "kind": "transcript", "epochs": 10, "lr": 5e-3,
            "model": {
                "name": "listener", "stride": 4,
                "body": {"name": "rnn", "cell": "gru", "width": 64, "bidirectional": True},
            },
        },
    ),
    "movielens_two_tower": Figure(
        "MovieLens-100k in the order of time, two towers", "", RATINGS, "ndcg_10", 0.066,
        settings={**COLUMNS, "model": "two_tower"}, others=recommend.against,
    ),
    "movielens_sequence": Figure(
        "MovieLens-100k in the order of time, attention over the latest 30, 6 epochs", "", RATINGS, "ndcg_10", 0.066,
        settings={
            **COLUMNS, "model": {"name": "sequence_recommender", "latest": 30, "width": 48, "depth": 1}, "epochs": 6,
        },
        others=recommend.against,
    ),
    "movielens_content": Figure(
        "MovieLens-100k in the order of time, two towers, the films' own table beside the events", "",
        {**RATINGS, "data.items": "tabular/movielens100k_items.csv.gz"}, "ndcg_10", 0.066,
        settings={**COLUMNS, "model": "two_tower"}, others=recommend.against,
    ),
    "cora_gcn": Figure(
        "Cora, its own split, GCN", "cora_gcn", {"data.path": "graphs/cora.npz"}, "accuracy", 0.805
    ),
    "cora_gat": Figure(
        "Cora, its own split, GAT", "cora_gat", {"data.path": "graphs/cora.npz"}, "accuracy", 0.820
    ),
    "cora_links": Figure(
        "Cora, a tenth of its links held out (others each time), graph autoencoder", "cora_links",
        {"data.path": "graphs/cora.npz"}, "auc", 0.90, turn="data.seed",
    ),
    "community_graphs": Figure(
        "100 graphs of two communities, 20 of them held out, 20 made: MMD of degrees (GraphRNN's kernel)",
        "community_graphs", {}, "degree_mmd", 0.10, made=communities.made,
    ),
    "photo_defaults": Figure(
        "Amazon Photo, 160 labels, all defaults", "", {"data.path": "graphs/amazon_photo.npz"}, "accuracy", 0.88
    ),
    "mutag_sage": Figure(
        "MUTAG, GraphSAGE, published folds", "mutag_sage", {"data.path": "graphs/mutag.npz"}, "accuracy", 0.80,
        turn="fold",
    ),
    "proteins_sage": Figure(
        "PROTEINS, GraphSAGE, published folds", "proteins_sage", {"data.path": "graphs/proteins.npz"}, "accuracy", 0.70,
        turn="fold",
    ),
    "mnist_autoencoder": Figure(
        "MNIST told again from 32 numbers; the bar: 32 principal components (0.825)", "mnist_autoencoder",
        {"data.path": "images/mnist.npz"}, "r2", 0.85,
    ),
    "mnist_vae": Figure(
        "Binarised MNIST, variational autoencoder, 50 epochs: bound on -log p in nats, 5,000 draws, 1,000 test items",
        "mnist_vae", {"data.path": "images/mnist.npz"}, "nll_loss", 93.0, more=generated.bounds, also={"elbo_loss": 100.0},
    ),
    "fashion_dcgan": Figure(
        "Fashion-MNIST, pictures made by convolutions: Frechet distance on the features of a LeNet of our own (no FID), "
        "as a share of that of one normal distribution", "fashion_dcgan", {"data.path": "images/fashion_mnist.npz"},
        "relative_frechet_error", 0.25, more=generated.improving, also={"classes": 10, "gain_after_third": 1.0},
    ),
    "fashion_sagan": Figure(
        "Fashion-MNIST, pictures made with self-attention, 900 steps of 32 (half an epoch): the same", "fashion_sagan",
        {"data.path": "images/fashion_mnist.npz"}, "relative_frechet_error", 0.25, more=generated.pictures,
        also={"classes": 10},
    ),
    "blood_cells": Figure(
        "Blood cells, its own split, detector from nothing, 30 epochs", "blood_cells", {"data.path": "detection/bccd"},
        "ap50", 0.85,
    ),
    "cells_by_heart": Figure(
        "20 pictures of blood cells learnt by heart, detector from nothing: found in these same pictures", "", {},
        "train_ap50", 0.95, made=things.few, more=things.by_heart,
        settings={
            "size": 320, "epochs": 200, "batch_size": 10, "lr": 1e-3, "augment": [], "precision": "bf16",
            "monitor": "train_loss",
        },
    ),
    "shapes": Figure(
        "Discs, squares and crosses made up on noise, 350 pictures to train, detector from nothing, 25 epochs", "", {},
        "ap50", 0.90, made=things.shapes,
        settings={"size": 128, "epochs": 25, "batch_size": 16, "lr": 1e-3, "precision": "bf16"},
    ),
}  # fmt: skip


def place(figure: Figure, scratch: str, seed: int) -> tuple[str, dict[str, Any]]:
    """What to train and the settings that go with it."""
    data = Path(os.environ["DEEPEN_DATA"])
    paths = {key: str(data / name) for key, name in figure.data.items()}
    if figure.made:
        paths = figure.made(data, Path(scratch, "data"), seed)
    if figure.recipe:
        return str(ROOT / "examples" / "recipes" / f"{figure.recipe}.yaml"), {**paths, **figure.settings}
    return paths.pop("data.path"), {**paths, **figure.settings}


def once(figure: Figure, seed: int) -> dict[str, Any]:
    """One training: its figures on the test part, CPU seconds, weights; the peer's figure where there is one."""
    import deepen

    with tempfile.TemporaryDirectory() as scratch:
        what, settings = place(figure, scratch, seed)
        settings |= {figure.turn: seed, "threads": 1}
        start = time.process_time()
        earlier: Any = deepen.train(what, output=scratch, **settings | figure.before) if figure.before else None
        run: Any = deepen.train(what, output=scratch, **settings, parent=earlier and str(earlier.path))
        seconds = time.process_time() - start
        document: Any = deepen.evaluate(str(run.path))
        found = {name: values[0] for name, values in document["metrics"].items()}
        if figure.more:
            found |= figure.more(run)
        return {
            "items": document["items"], **found, "seconds": seconds, "weights": weights(run),
            "peer": boosted(run, seed, figure.metric) if figure.peer else None,
            "others": figure.others(run) if figure.others else {},
        }  # fmt: skip


def weights(run: Any) -> int:
    """Trained numbers of the network."""
    from deepen.training.finished import load_model

    return sum(p.numel() for p in load_model(run).parameters())


def boosted(run: Any, seed: int, metric: str) -> float:
    """scikit-learn's histogram gradient boosting with its defaults, on the same encoded rows and the same split."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import accuracy_score, r2_score

    from deepen.training.finished import data_of

    data = data_of(run)
    rows = np.concatenate([data.columns[t.name].astype(np.float64) for t in data.signature.tensors], 1)
    # it takes at most 255 categories a column; a column with more goes in as a number
    codes = [len(known) + 2 <= 255 for known in data.signature.inputs["row"].categories.values()]
    categorical = np.array([False] * (rows.shape[1] - len(codes)) + codes)
    cls, score = (
        (HistGradientBoostingClassifier, accuracy_score)
        if metric == "accuracy"
        else (HistGradientBoostingRegressor, r2_score)
    )
    learn = np.concatenate([data.parts["train"], data.parts["val"]])  # it holds out its own
    model = cls(random_state=seed, categorical_features=categorical).fit(rows[learn], data.target[learn])
    test = data.parts["test"]
    return float(score(data.target[test], model.predict(rows[test])))


def measure(name: str, seeds: int) -> Iterator[tuple[str, bool]]:
    """After each seed: the figure's row so far, and whether it meets its bar."""
    figure = FIGURES[name]
    results: list[dict[str, Any]] = []
    for seed in range(seeds):
        results.append(once(figure, seed))
        if figure.against or figure.before:
            other = once(replace(figure, settings={**figure.settings, **figure.against}, before={}), seed)
            results[-1]["own"], results[-1]["other"] = (one[figure.metric] for one in (results[-1], other))
            results[-1]["beside"] = {n: (results[-1][n], other[n]) for n in BESIDE if n in other and n != figure.metric}
            results[-1][figure.metric] = results[-1]["own"] - results[-1]["other"]
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in results[-1].items()}
        print(f"{name} seed {seed}: {shown}", file=sys.stderr, flush=True)
        means = {key: statistics.mean(r[key] for r in results) for key in (figure.metric, *figure.also)}
        yield row_of(name, results, means), met(figure, means)


def sign(metric: str) -> str:
    """Whether more of a figure is better, or less."""
    from deepen.metrics import higher_is_better

    return ">=" if higher_is_better(metric) else "<="


def met(figure: Figure, means: dict[str, float]) -> bool:
    """Whether every bar is met."""
    bars = {figure.metric: figure.bar, **figure.also}
    return all(means[name] >= bar if sign(name) == ">=" else means[name] <= bar for name, bar in bars.items())


def row_of(name: str, results: list[dict[str, Any]], means: dict[str, float]) -> str:
    """The table's row for the trainings so far."""
    figure = FIGURES[name]
    values = [r[figure.metric] for r in results]
    extra = [f"{key} {statistics.mean(r[key] for r in results):,.0f}" for key in ("rmse", "mae") if key in results[0]]
    extra += [f"{key} {means[key]:.4g} ({sign(key)} {bar:g})" for key, bar in figure.also.items()]
    peer = f"boosting {statistics.mean(r['peer'] for r in results):.4f}" if figure.peer else ""
    if figure.against or figure.before:
        own, other = (statistics.mean(r[key] for r in results) for key in ("own", "other"))
        extra.append(f"{own:.4f} less {other:.4f}, paired by seed")
        for key in results[0]["beside"]:
            pairs = [r["beside"][key] for r in results]
            extra.append(
                f"{key} {statistics.mean(a for a, _ in pairs):.4f} and {statistics.mean(b for _, b in pairs):.4f}"
            )
    peer += ", ".join(f"{key} {statistics.mean(r['others'][key] for r in results):.4g}" for key in results[0]["others"])
    cells = [
        name, figure.what, str(results[0]["items"]), ", ".join([figure.metric, *extra]), str(len(results)),
        f"{means[figure.metric]:.4f}", f"{min(values):.4f} to {max(values):.4f}", f"{sign(figure.metric)} {figure.bar}",
        "yes" if met(figure, means) else "**no**", f"{statistics.mean(r['seconds'] for r in results):.0f}", peer,
        f"{results[0]['weights']:,}", versions(),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def versions() -> str:
    """When, on what, with what."""
    import torch

    import deepen

    return (
        f"{datetime.date.today()}, {processor()}, 1 thread, Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}, deepen {deepen.__version__}"
    )


def processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.is_file() else None
    return f"{found.group(1).strip() if found else platform.machine()} ({os.cpu_count()} cores)"


def write(row: str) -> None:
    """The row into the table, in place of the one of its name; order as in FIGURES."""
    text = RESULTS.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = {line.split("|")[1].strip(): line for line in table.strip().splitlines()[2:]}
    rows[row.split("|")[1].strip()] = row
    ordered = [rows[name] for name in FIGURES if name in rows]
    RESULTS.write_text("\n".join([before + BEGIN, *HEAD, *ordered, END]) + after, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}; none: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="into docs/results.md")
    given = parser.parse_args()
    unknown = set(given.names) - set(FIGURES)
    if unknown or "DEEPEN_DATA" not in os.environ:
        parser.error(f"no figure {sorted(unknown)[0]!r}" if unknown else "DEEPEN_DATA names no folder of data sets")
    all_met = True
    for name in given.names or FIGURES:
        reached = False
        for row, fine in measure(name, given.seeds):
            reached = fine
            print(row, flush=True)
            if given.write:
                write(row)
        all_met &= reached
    return 0 if all_met else 3


if __name__ == "__main__":
    sys.exit(main())
