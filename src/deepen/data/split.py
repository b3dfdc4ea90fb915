"""Sharing items out to train, validation and test. Torch-free; a function of the seed alone."""

from __future__ import annotations

import numpy as np

from deepen.config import Split
from deepen.content.cells import seconds_of, shown
from deepen.data import folds
from deepen.data.columns import Column, infer
from deepen.data.items import Items
from deepen.errors import DeepenError, counted

PARTS = ("train", "val", "test")
USE = {"val": "validation decides which weights are kept", "test": "figures and the gate stand on the test part"}
COINCIDENCE = 0.01  # content that makes up more than this share of a table repeats by nature and is no copy


def split(items: Items, strata: np.ndarray, config: Split) -> dict[str, np.ndarray]:
    """Row numbers of each part, sorted. What the data declares stays; the rest of `train` is shared out as configured."""
    declared = np.array([s or "" for s in items.split]) if items.split else np.full(len(items), "")
    found = {part: np.flatnonzero(declared == part) for part in PARTS}
    free = np.flatnonzero((declared == "") | (declared == "train"))
    if config.folds is not None:
        return _checked(_in_turn(items, found, free, strata, config), len(items))
    shares = {part: 0.0 if len(found[part]) else getattr(config, part) for part in ("val", "test")}
    for part, use in USE.items():
        if not len(found[part]) and not shares[part]:
            raise DeepenError(
                "split.shares", f"split.{part}", "is 0", f"a share above 0: {use}", f"leave it out, or split.{part}=0.1"
            )
    if sum(shares.values()) >= 1:
        raise DeepenError(
            "split.shares", "split", f"val {shares['val']} and test {shares['test']}", "together less than 1"
        )
    rng = np.random.default_rng([config.seed, 20])
    taken = _draw(items, free, strata, shares, config, rng)
    result = {part: np.sort(taken[part]) if shares[part] else found[part] for part in ("val", "test")}
    result["train"] = np.sort(taken["train"])
    return _checked(result, len(items))


def _checked(result: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    for part in PARTS:
        if not len(result[part]):
            raise DeepenError(
                "split.empty",
                f"split.{part}",
                f"no item of {count} falls into it",
                "at least one",
                "more data, or other shares",
            )
    return {part: result[part] for part in PARTS}


def _in_turn(
    items: Items, found: dict[str, np.ndarray], free: np.ndarray, strata: np.ndarray, config: Split
) -> dict[str, np.ndarray]:
    """Tested on one fold; validation is drawn from the others. What the data itself keeps for the test is in no part."""
    assert config.folds
    turn, val = config.turn or 0, 0.0 if len(found["val"]) else config.val
    if turn >= config.folds:
        raise DeepenError("split.folds", "split.turn", str(turn), f"0 to {config.folds - 1}")
    if val + 1 / config.folds >= 1 or not (val or len(found["val"])):
        wanted = f"above 0 and below {1 - 1 / config.folds:.3g}: validation decides which weights are kept"
        raise DeepenError("split.shares", "split.val", f"{config.val} beside {config.folds} folds", wanted)
    test, rest = _held_out(items, free, strata, config, turn)
    shares = {"val": val / (1 - 1 / config.folds), "test": 0.0}
    if items.spans is not None and config.how != "group":
        both = np.concatenate([rest, test])
        shares = {"val": shares["val"] * len(rest) / len(both), "test": len(test) / len(both)}
        taken = _by_span(both, items.spans[both], shares)
    else:
        taken = {
            **_draw(items, rest, strata, shares, config, np.random.default_rng([config.seed, 20])),
            "test": test,
        }
    return {part: np.sort(taken[part]) for part in PARTS} | ({} if val else {"val": found["val"]})


def _held_out(
    items: Items, free: np.ndarray, strata: np.ndarray, config: Split, turn: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a fold, and those that are learnt from."""
    assert config.folds
    rng = np.random.default_rng([config.seed, 21])  # the same in every turn
    if config.how == "time" or (items.spans is not None and config.how != "group"):
        when = items.spans[free, 1] if items.spans is not None else _moments(items, config, free)
        order = free[np.argsort(when, kind="stable")]
        tested = folds.stretch(len(order), config.folds, turn)
        return order[tested], order[: tested.start]
    if config.how == "group":
        fold_of = folds.grouped(_groups(items, config, free), config.folds, rng)
    else:
        first, follows = _one_of_each(items, free)
        if config.how == "random":
            fold_of = folds.even(len(first), config.folds, rng)[follows]
        else:
            fold_of = folds.stratified(strata[free[first]], config.folds, rng)[follows]
    return free[fold_of == turn], free[fold_of != turn]


def _draw(
    items: Items,
    free: np.ndarray,
    strata: np.ndarray,
    shares: dict[str, float],
    config: Split,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    if items.spans is not None and config.how != "group":
        return _by_span(free, items.spans[free], shares)
    if config.how == "time":
        return _cut(free[np.argsort(_moments(items, config, free), kind="stable")], shares)
    if config.how == "group":
        return _by_group(free, _groups(items, config, free), shares, rng)
    first, follows = _one_of_each(items, free)
    if config.how == "random":
        drawn = _cut(rng.permutation(len(first)), shares)
    else:
        drawn = _stratified(strata[free[first]], shares, rng)
    part_of = np.empty(len(first), np.int64)
    for i, part in enumerate(PARTS):
        part_of[drawn[part]] = i
    return {part: free[part_of[follows] == i] for i, part in enumerate(PARTS)}


def _one_of_each(items: Items, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of each content, and for each row which of those it follows: copies stay in one part."""
    everyone = np.arange(len(free))
    if not items.hashes:
        return everyone, everyone
    _, content, count = np.unique(np.array(items.hashes)[free], return_inverse=True, return_counts=True)
    common = count[content] > max(2, COINCIDENCE * len(free))
    unit = np.where(common, content.max() + 1 + everyone, content)
    _, first, follows = np.unique(unit, return_index=True, return_inverse=True)
    order = np.argsort(first)  # in the order of the rows, so that hashes do not decide who is drawn
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[follows]


def _stratified(strata: np.ndarray, shares: dict[str, float], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Each class in proportion to within one item; fractions are carried on to the next class."""
    chosen: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    carry = dict.fromkeys(shares, 0.0)
    order = np.argsort(strata, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(strata[order])) + 1):
        rows = rng.permutation(rows)
        at = 0
        for part, share in shares.items():
            carry[part] += share * len(rows)
            # a class of two or more items always keeps one for training
            count = max(0, min(int(carry[part] + 1e-9), len(rows) - at - 1))
            chosen[part].append(rows[at : at + count])
            carry[part] = min(carry[part] - count, 1.0)  # what tiny classes cannot give is not taken from a large one
            at += count
        chosen["train"].append(rows[at:])
    return {part: np.concatenate(rows) if rows else np.empty(0, int) for part, rows in chosen.items()}


def _by_group(
    free: np.ndarray, group: np.ndarray, shares: dict[str, float], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Whole groups, drawn in random order into the part that still lacks most."""
    sizes = np.bincount(group)
    room = {part: shares[part] * len(free) + 1e-9 for part in ("test", "val")}
    part_of = np.zeros(len(sizes), np.int64)
    order = rng.permutation(len(sizes))
    for name in order:
        part = max(room, key=room.__getitem__)
        if sizes[name] <= room[part]:
            part_of[name] = PARTS.index(part)
            room[part] -= sizes[name]
    for part in room:  # every group is larger than the share: the smallest one that train can spare
        if shares[part] and not (part_of == PARTS.index(part)).any() and (part_of == 0).sum() > 1:
            spare = np.flatnonzero(part_of == 0)
            part_of[spare[sizes[spare].argmin()]] = PARTS.index(part)
    return {part: free[part_of[group] == i] for i, part in enumerate(PARTS)}


def _cut(order: np.ndarray, shares: dict[str, float]) -> dict[str, np.ndarray]:
    """Oldest to training, newest to test."""
    n_test, n_val = round(shares["test"] * len(order)), round(shares["val"] * len(order))
    n_train = len(order) - n_val - n_test
    return {"train": order[:n_train], "val": order[n_train : n_train + n_val], "test": order[n_train + n_val :]}


def _by_span(free: np.ndarray, spans: np.ndarray, shares: dict[str, float]) -> dict[str, np.ndarray]:
    """Oldest to training, newest to test, by what items are about; one that a border cuts through is in no part.

    spans  float64 (n, 2): first and last moment
    """
    parts = _cut(np.argsort(spans[:, 1], kind="stable"), shares)
    edge = -np.inf
    found = {}
    for part in PARTS:
        last = spans[parts[part], 1].max(initial=edge)
        found[part] = free[(spans[:, 0] > edge) & (spans[:, 1] > edge) & (spans[:, 1] <= last)]
        edge = last
    return found


def _groups(items: Items, config: Split, rows: np.ndarray) -> np.ndarray:
    """A number per row; a row without a value is a group of its own."""
    column = _by(items, config, rows)
    alone = ~column.there[column.codes]
    codes = np.where(alone, len(column.texts) + np.arange(len(rows)), column.codes)
    return np.unique(codes, return_inverse=True)[1]


def _moments(items: Items, config: Split, rows: np.ndarray) -> np.ndarray:
    """float64 (n,): numbers as they are, dates as seconds."""
    column = _by(items, config, rows)
    if not column.there.all():
        missing = int(column.counts[~column.there].sum())
        raise DeepenError(
            "split.by", f"column {config.by!r}", f"no value in {counted(missing, 'item')}", "a time for each item"
        )
    values, wrong = column.numbers()
    if not wrong.any():
        return values[column.codes]
    form = infer(column, "date").form
    wrong = column.dates(form)
    if wrong.any():
        odd = next(text for text, w in zip(column.texts, wrong) if w)
        raise DeepenError("split.by", f"column {config.by!r}", f"holds {shown(odd)}", "numbers or dates to order by")
    return np.array([seconds_of(text, form) for text in column.texts])[column.codes]


def _by(items: Items, config: Split, rows: np.ndarray) -> Column:
    known = items.columns.columns
    if config.by is None or config.by not in known:
        raise DeepenError(
            "split.by",
            "split.by",
            f"got {config.by!r}",
            f"a column to {config.how} by: {', '.join(known) or 'this data has none'}",
        )
    return Column.of(config.by, known[config.by][rows])
