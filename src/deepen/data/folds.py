"""Cross-validation: which of k folds an item is tested in, by the rules scikit-learn has. Torch-free.

random      k folds whose sizes differ by one at most (KFold)
stratified  items sorted by class and dealt out in turn, so that each class differs by one at most (StratifiedKFold)
group       the largest group first, each into the fold that holds least (GroupKFold)
time        k + 1 equal stretches: each but the first is tested on after learning from all before it (TimeSeriesSplit)
"""

from __future__ import annotations

import numpy as np

from deepen.errors import DeepenError, counted


def even(count: int, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Folds (count,) in random order."""
    _enough(count, folds, "item")
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    return rng.permutation(np.repeat(np.arange(folds), sizes))


def stratified(strata: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Folds (n,); which items of a class go where is random, how many is not."""
    _enough(len(strata), folds, "item")
    found = np.empty(len(strata), np.int64)
    dealt = np.arange(len(strata)) % folds
    order = np.argsort(strata, kind="stable")
    for rows in np.split(np.arange(len(strata)), np.flatnonzero(np.diff(strata[order])) + 1):
        found[order[rows]] = rng.permutation(dealt[rows])
    return found


def grouped(group: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Folds (n,), the same for all of a group; among groups of one size the order is random."""
    sizes = np.bincount(group)
    _enough(len(sizes), folds, "group")
    shuffled = rng.permutation(len(sizes))
    held = np.zeros(folds, np.int64)
    fold_of = np.empty(len(sizes), np.int64)
    for name in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[name] = held.argmin()
        held[fold_of[name]] += sizes[name]
    return fold_of[group]


def stretch(count: int, folds: int, turn: int) -> slice:
    """Of items in the order of time those that are tested on; what stands before them is learnt from."""
    _enough(count, folds + 1, "item")
    size = count // (folds + 1)
    start = count - (folds - turn) * size
    return slice(start, start + size)


def _enough(count: int, folds: int, what: str) -> None:
    if count < folds:
        raise DeepenError("split.folds", "split.folds", counted(count, what), f"at least {folds}", "fewer folds")
