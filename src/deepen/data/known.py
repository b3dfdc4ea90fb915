"""Items that were shared out before keep their part; those that came since are shared out as configured. Torch-free."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deepen.config import Split
from deepen.data.items import Items
from deepen.data.split import PARTS, split

Strata = Callable[[np.ndarray], np.ndarray]


def kept(
    items: Items, rows: np.ndarray, before: Mapping[str, Sequence[str]], strata: Strata, config: Split
) -> dict[str, np.ndarray]:
    """Rows of each part.

    rows    of the items that can be shared out
    before  ids of each part then; copies of those items join them
    strata  of rows
    """
    part_of = {name: part for part in PARTS for name in before[part]}
    content = items.content()
    same = {content[row]: part_of[items.ids[row]] for row in rows if items.ids[row] in part_of}
    known = [part_of.get(items.ids[row]) or same.get(content[row], "") for row in rows]
    parts = {part: rows[[found == part for found in known]] for part in PARTS}
    new = rows[[found == "" for found in known]]
    if items.spans is not None and len(new) < len(rows):  # what lies across the borders then stays left out
        new = new[items.spans[new, 0] > items.spans[np.setdiff1d(rows, new), 1].max()]
    for part, index in _shared_out(items, new, strata(new), config).items():
        parts[part] = np.sort(np.concatenate([parts[part], new[index]]))
    return parts


def _shared_out(items: Items, rows: np.ndarray, strata: np.ndarray, config: Split) -> dict[str, np.ndarray]:
    """Places among `rows` for each part; where they are too few for every part, all of them train."""
    if len(rows) * min(config.val, config.test) < 1:
        return {"train": np.arange(len(rows))}
    how = "random" if config.how == "stratified" else config.how  # classes of a few items each would all train
    return split(subset(items, rows), strata, dataclasses.replace(config, how=how))


def subset(items: Items, rows: np.ndarray) -> Items:
    """Only what a split looks at."""
    declared = [items.split[i] for i in rows] if items.split else None
    content = items.content()
    return Items(
        [items.ids[i] for i in rows],
        {},
        {},
        [],
        items.kind,
        split=declared,
        columns=items.columns[rows],
        spans=None if items.spans is None else items.spans[rows],
        hashes=[content[i] for i in rows],
    )
