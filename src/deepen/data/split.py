"""Sharing items out to train, validation and test. Torch-free; a function of the seed alone."""

from __future__ import annotations

import numpy as np

from deepen.config import Split
from deepen.data.items import Items
from deepen.errors import DeepenError

PARTS = ("train", "val", "test")


def split(items: Items, strata: np.ndarray, config: Split) -> dict[str, np.ndarray]:
    """Row numbers of each part, sorted. What the data declares stays; the rest of `train` is shared out as configured."""
    declared = np.array([s or "" for s in items.split]) if items.split else np.full(len(items), "")
    found = {part: np.flatnonzero(declared == part) for part in PARTS}
    free = np.flatnonzero((declared == "") | (declared == "train"))
    shares = {part: 0.0 if len(found[part]) else getattr(config, part) for part in ("val", "test")}
    if sum(shares.values()) >= 1:
        raise DeepenError(
            "split.shares", "split", f"val {shares['val']} and test {shares['test']}", "together less than 1"
        )
    rng = np.random.default_rng([config.seed, 20])
    taken = _draw(items, free, strata, shares, config, rng)
    result = {part: np.sort(taken[part]) if shares[part] else found[part] for part in ("val", "test")}
    result["train"] = np.sort(taken["train"])
    for part in PARTS:
        if not len(result[part]):
            raise DeepenError(
                "split.empty",
                f"split.{part}",
                f"no item of {len(items)} falls into it",
                "at least one",
                "more data, or other shares",
            )
    return {part: result[part] for part in PARTS}


def _draw(
    items: Items,
    free: np.ndarray,
    strata: np.ndarray,
    shares: dict[str, float],
    config: Split,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    if config.how == "time":
        order = free[np.argsort(_by(items, config, free), kind="stable")]
        return _cut(order, shares)
    if config.how == "group":
        names, group = np.unique(_by(items, config, free).astype(str), return_inverse=True)
        sizes = np.bincount(group)
        order = rng.permutation(len(names))
        ends = np.cumsum(sizes[order]) / len(free)
        part_of = np.empty(len(names), object)
        part_of[order] = np.where(
            ends <= shares["test"] + 1e-9,
            "test",
            np.where(ends <= shares["test"] + shares["val"] + 1e-9, "val", "train"),
        )
        return {part: free[part_of[group] == part] for part in PARTS}
    if config.how == "random":
        return _cut(rng.permutation(free), shares)
    chosen: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    carry = dict.fromkeys(shares, 0.0)
    for stratum in np.unique(strata[free]):  # each class in proportion; fractions are carried on to the next class
        rows = rng.permutation(free[strata[free] == stratum])
        for part, share in shares.items():
            carry[part] += share * len(rows)
        at = 0
        for part in shares:
            # a class of two or more items always keeps one for training
            count = min(int(carry[part] + 1e-9), len(rows) - at - 1) if len(rows) > 1 else 0
            chosen[part].append(rows[at : at + count])
            carry[part] -= count
            at += count
        chosen["train"].append(rows[at:])
    return {part: np.concatenate(rows) if rows else np.empty(0, int) for part, rows in chosen.items()}


def _cut(order: np.ndarray, shares: dict[str, float]) -> dict[str, np.ndarray]:
    """Oldest to training, newest to test."""
    n_test, n_val = round(shares["test"] * len(order)), round(shares["val"] * len(order))
    n_train = len(order) - n_val - n_test
    return {"train": order[:n_train], "val": order[n_train : n_train + n_val], "test": order[n_train + n_val :]}


def _by(items: Items, config: Split, rows: np.ndarray) -> np.ndarray:
    known = items.columns.columns
    if config.by is None or config.by not in known:
        raise DeepenError(
            "split.by",
            "split.by",
            f"got {config.by!r}",
            f"a column to {config.how} by: {', '.join(known) or 'this data has none'}",
        )
    return known[config.by][rows]
