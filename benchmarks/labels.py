"""Labels needed for 95 % on MNIST's 10,000 test pictures: each query against labelling at random.

LeNet-5 with deepen's defaults (60 epochs), trained anew (cold start) after every round of 20 labels, from 20 at random
on, out of a pool of 5,000. Nothing else has a label: there is no validation set, the weights that fit the labelled
pictures best are kept. A pair is one seed: the pool, the first 20, the weights and every draw. The first round at 95 %
counts, for all alike.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks import work
from benchmarks.pairs import Row

FIRST, ROUND, POOL, MOST = 20, 20, 5_000, 1_500
GOAL = 0.95
QUERIES = ("margin", "entropy", "least_confidence", "badge", "core_set")


def rows(pairs: int) -> list[Row]:
    """The ratio of labels needed, query over random, a pair a seed."""
    place = work.real()
    if place is None:
        return []
    with np.load(place / "images" / "mnist.npz") as file:
        data = {name: file[name] for name in file.files}
    needed: dict[str, list[int]] = {name: [] for name in ("random", *QUERIES)}
    for seed in range(max(pairs, 3)):
        for name, counts in needed.items():
            counts.append(labels_needed(data, name, seed))
            print(f"  seed {seed} {name}: {counts[-1]}", file=sys.stderr, flush=True)
    return [
        Row(
            f"labels to {GOAL:.0%} by `{name}` over `random`", [a / b for a, b in zip(needed[name], needed["random"])],
            "x", "<= 0.7x" if name == "margin" else "", lambda v: v <= 0.7,
            f"labels {' '.join(map(str, needed[name]))}; random {' '.join(map(str, needed['random']))}",
        )
        for name in QUERIES
    ]  # fmt: skip


def labels_needed(data: dict[str, np.ndarray], query: str, seed: int) -> int:
    """Labels after which the test accuracy is first at the goal; MOST where it never is."""
    from deepen import registry
    from deepen.queries import Pool

    rng = np.random.default_rng(seed)
    pool = rng.permutation(len(data["x_train"]))[:POOL]
    x = np.concatenate([data["x_train"][pool], data["x_test"]])[..., None]
    y = np.concatenate([data["y_train"][pool], data["y_test"]])
    known, test = np.arange(FIRST), np.arange(POOL, len(x))
    ask = registry.load("queries", query)()
    while True:
        predictor = trained(x, y, known, test, seed)
        if accuracy(predictor, x[test], y[test]) >= GOAL or len(known) >= MOST:
            return len(known)
        rest = np.setdiff1d(np.arange(POOL), known)
        p = np.concatenate([arrays["probabilities"] for arrays in predictor.outputs(list(x[rest]), 500)])
        looks = [predictor.features(list(x[rows]), 500) if "features" in ask.needs else None for rows in (rest, known)]
        order = ask.order(Pool(len(rest), p, *looks), ROUND, seed * 1000 + len(known))
        known = np.concatenate([known, rest[order]])


def accuracy(predictor: Any, x: np.ndarray, y: np.ndarray) -> float:
    outputs = np.concatenate([arrays["probabilities"] for arrays in predictor.outputs(list(x), 500)])
    return float((outputs.argmax(1) == y).mean())


def trained(x: np.ndarray, y: np.ndarray, known: np.ndarray, test: np.ndarray, seed: int) -> Any:
    """A Predictor by the product's own training on the labelled pictures alone."""
    from deepen.config import Config, parse
    from deepen.data.items import Items
    from deepen.data.prepare import Prepared
    from deepen.kinds.classes import Classes
    from deepen.nn.packaged import TorchRuntime
    from deepen.predictor import Predictor
    from deepen.preprocess.image import Image
    from deepen.program import Program
    from deepen.signature import Signature
    from deepen.training import plan
    from deepen.training.assemble import build

    signature = Signature({"image": Image(28, 28, 1)}, {"label": Classes(tuple("0123456789"))})
    ids = [str(i) for i in range(len(x))]
    items = Items(ids, {"image": x}, {"image": ("image", {})}, y.tolist(), "classes")
    parts = {"train": known, "val": known, "test": test}
    prepared = Prepared(items, signature, {"image": x}, y.astype(np.int64), parts, np.array([], int))
    train = {"monitor": "val_log_loss", "seed": seed, "threads": 1}
    config: Config = parse({"data": "digits", "model": "lenet", "train": train})
    engine = build(plan.complete(config, prepared), prepared, None)
    engine.fit()
    runtime = TorchRuntime(engine.packaged, signature)
    return Predictor(signature, Program([{"do": "run", "graph": "torch"}], {"torch": runtime}))
