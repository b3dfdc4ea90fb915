"""How likely training items are drawn: by weights of the user's, so that classes are alike, and new items as often as old.

w_i = given_i * n_i^-resample        n_i: training items of i's class

Behind a parent the weights of the items it did not know are raised until they are `new_share` of all draws: few new items
among many old ones hardly move weights that already fit the old ones. Half new, half old learns the new and keeps the old.

Paper    Rolnick et al. 2019, "Experience replay for continual learning", arXiv:1811.11682.
Differs  old items are not a sample of what was seen: all of them are still there.
"""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

import numpy as np

from deepen.data.columns import Column
from deepen.data.prepare import Prepared
from deepen.errors import DeepenError, unknown
from deepen.preprocess.row import shown

SETTING = "train.item_weights"


def weights(
    prepared: Prepared,
    resample: float,
    given: str | dict[str, Any] | None,
    new_share: float = 0.0,
    known: Set[str] | None = None,
) -> np.ndarray | None:
    """float64 (N,) of all items, meant for the training ones; None where all of them are drawn alike.

    known  ids of the items a parent knew; without a parent none is new
    """
    found = np.ones(len(prepared.items))
    if isinstance(given, str):
        found *= _column(prepared, given)
    elif given is not None:
        found *= _classes(prepared, given)
    if resample:
        found *= _even(prepared, resample)
    if not found[prepared.parts["train"]].any():
        raise DeepenError("train.weights", SETTING, "every training item weighs 0", "some above 0")
    raised = known is not None and _raise(found, prepared, new_share, known)
    return found if resample or given is not None or raised else None


def _raise(found: np.ndarray, prepared: Prepared, share: float, known: Set[str]) -> bool:
    """Weigh new training items until they are that share of what all weigh; whether there was need."""
    train = prepared.parts["train"]
    new = train[[prepared.items.ids[int(row)] not in known for row in train]]
    fresh, whole = found[new].sum(), found[train].sum()
    if not 0 < fresh < share * whole:
        return False
    found[new] *= share / (1 - share) * (whole - fresh) / fresh
    return True


def _even(prepared: Prepared, resample: float) -> np.ndarray:
    """n^-resample for the items of a class of n; 1: every class is drawn equally often."""
    if not _one_of_several(prepared):
        raise DeepenError(
            "train.resample", "train.resample", "the answer is not one of several classes", "0", "leave it out"
        )
    target = prepared.target
    counts = np.bincount(target[prepared.parts["train"]], minlength=int(target.max()) + 1)
    return np.maximum(counts, 1)[np.maximum(target, 0)] ** -float(resample)


def _classes(prepared: Prepared, given: dict[str, Any]) -> np.ndarray:
    """The weight of each item's class; a class that is not named weighs 1."""
    if not _one_of_several(prepared):
        raise DeepenError(
            "train.weights", SETTING, "the answer is not one of several classes", "a column of weights", "leave it out"
        )
    classes = prepared.signature.answer.classes
    table = np.ones(len(classes))
    for name, weight in given.items():
        if str(name) not in classes:
            raise unknown("train.weights", SETTING, str(name), classes, what="class")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise DeepenError("train.weights", f"{SETTING}.{name}", f"got {weight!r}", "a number of at least 0")
        table[classes.index(str(name))] = weight
    return table[np.maximum(prepared.target, 0)]


def _column(prepared: Prepared, name: str) -> np.ndarray:
    """The numbers of a column; what is none of a training item is told by its id."""
    items = prepared.items
    if name not in items.columns.columns:
        if not items.columns.columns:
            raise DeepenError("train.weights", SETTING, f"got {name!r}", "weights of classes: this data has no columns")
        raise unknown("train.weights", SETTING, name, items.columns.columns, what="column")
    column = Column.of(name, items.columns.columns[name])
    values = column.numbers()[0][column.codes]
    good = np.isfinite(values) & (values >= 0)
    wrong = prepared.parts["train"][~good[prepared.parts["train"]]]
    if len(wrong):
        raise DeepenError(
            "train.weights", f"column {name!r} of {items.ids[int(wrong[0])]}",
            f"holds {shown(items.columns.columns[name][wrong[0]])}", "a number of at least 0 for each training item",
        )  # fmt: skip
    return np.where(good, values, 0.0)


def _one_of_several(prepared: Prepared) -> bool:
    kind = prepared.signature.answer if prepared.signature.outputs else None
    return hasattr(kind, "classes") and prepared.target.ndim == 1 and prepared.target.dtype.kind == "i"
