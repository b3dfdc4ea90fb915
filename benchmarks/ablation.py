"""What each choice in LeNet-5's recipe is worth: one thing at a time is changed, test accuracy against the recipe's.

MNIST, 6,000 digits drawn by the seed, the 10,000 test digits, six epochs; a pair is one seed: the digits, the weights, the
order. `digits` rows show what less data costs, with and without random crops; `rare` rows have a tenth of the digits 0 to 4
and are held against that same data with nothing done about it, by the mean recall of all classes.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks import work
from benchmarks.pairs import Row

ITEMS = 6_000
RECIPE = Path(__file__).parents[1] / "examples" / "recipes" / "mnist_lenet.yaml"
RARE, SHARE = 5, 10  # the first so many classes have one digit in so many


class Change(NamedTuple):
    """Settings that differ from the recipe; how many digits, and whether some are rare; the change it is held against."""

    name: str
    settings: dict[str, Any] = {}  # noqa: RUF012  (never written to)
    items: int = ITEMS
    rare: bool = False
    over: str = "the recipe"


PLAIN = {"augment": "[]"}
CHANGES = (
    Change("the recipe"),
    Change("batch_size 32", {"batch_size": 32}),
    Change("batch_size 512", {"batch_size": 512}),
    Change("lr 5e-4", {"lr": 5e-4}),
    Change("lr 8e-3", {"lr": 8e-3}),
    Change("weight_decay 0", {"weight_decay": 0.0}),
    Change("weight_decay 0.1", {"weight_decay": 0.1}),
    Change("dropout 0.25", {"model.dropout": 0.25}),
    Change("dropout 0.5", {"model.dropout": 0.5}),
    Change("no augmentation", PLAIN),
    Change("crop and rotate", {"augment": "[{name: crop, padding: 2}, {name: rotate, degrees: 10}]"}),
    Change("init xavier", {"init": "xavier"}),
    Change("init pca", {"init": "pca"}),
    Change("init orthogonal", {"init": "orthogonal"}),
    Change("init normal, sd 1", {"init": "{name: normal, sd: 1}"}),
    Change("30 epochs, patience 3", {"epochs": 30, "patience": 3, "schedule": "constant"}),
    Change("30 epochs, no early stopping", {"epochs": 30, "schedule": "constant"}),
    Change("average pooling", {"model.pool": "average"}),
    Change("tanh", {"model.activation": "tanh"}),
    Change("sigmoids in place of a softmax", {"method.one_vs_rest": True}),
    Change("600 digits", {}, 600),
    Change("600 digits, no augmentation", PLAIN, 600, over="600 digits"),
    Change("2,000 digits", {}, 2000),
    Change("2,000 digits, no augmentation", PLAIN, 2000, over="2,000 digits"),
    Change("rare", {}, rare=True),
    Change("rare, resample 1", {"resample": 1.0}, rare=True, over="rare"),
    Change("rare, balance 0.999", {"method.balance": 0.999}, rare=True, over="rare"),
)


def rows(pairs: int) -> list[Row]:
    """What every change adds, a pair a seed."""
    place = work.real()
    if place is None:
        return []
    with np.load(place / "images" / "mnist.npz") as file:
        data = {name: file[name] for name in file.files}
    found: dict[str, list[dict[str, float]]] = {change.name: [] for change in CHANGES}
    for seed in range(pairs):
        for change in CHANGES:
            found[change.name].append(once(change, data, seed))
            shown = {key: round(value, 4) for key, value in found[change.name][-1].items()}
            print(f"  seed {seed} {change.name}: {shown}", file=sys.stderr, flush=True)
    return [row(change, found) for change in CHANGES]


def once(change: Change, data: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """One training: accuracy and mean recall on the test digits, accuracy on its own, CPU seconds."""
    import deepen

    keep = np.random.default_rng(seed).permutation(len(data["x_train"]))[: change.items]
    if change.rare:
        rank = np.arange(len(keep))
        keep = keep[(data["y_train"][keep] >= RARE) | (rank % SHARE == 0)]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "digits.npz")
        np.savez(file, **{**data, "x_train": data["x_train"][keep], "y_train": data["y_train"][keep]})
        start = time.process_time()
        settings = {"data.path": str(file), **change.settings, "threads": 1, "train.seed": seed}
        run: Any = deepen.train(str(RECIPE), output=scratch, **settings)
        seconds = time.process_time() - start
        test: Any = deepen.evaluate(str(run.path))
        own: Any = deepen.evaluate(str(run.path), part="train")
        figures = {name: test["metrics"][name][0] for name in ("accuracy", "recall_macro")}
        return {**figures, "train": own["metrics"]["accuracy"][0], "seconds": seconds}


def row(change: Change, found: dict[str, list[dict[str, float]]]) -> Row:
    """What the change adds to what it is held against, in points of the figure."""
    key = "recall_macro" if change.rare else "accuracy"
    own = found[change.name]
    added = [100 * (one[key] - other[key]) for one, other in zip(own, found[change.over])]
    if change.name == change.over:
        added = [0.0 for _ in own]
    mean = {name: statistics.mean(one[name] for one in own) for name in own[0]}
    note = f"{key} {mean[key]:.4f}, train less test {100 * (mean['train'] - mean['accuracy']):.2f}, {mean['seconds']:.0f} CPU s"
    return Row(f"{change.name}, over {change.over}", added, "points", "", lambda _: True, note)
