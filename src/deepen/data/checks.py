"""What the data check says of items that are split: classes, copies, groups, leaks. Torch-free, vectorised.

Each check gives sentences for the plan; `check.leaks=stop` makes an error of those that make figures too good.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from deepen.config import Check, Split
from deepen.data.columns import GROUP
from deepen.data.items import Bad, Items
from deepen.errors import DeepenError, counted, listed
from deepen.preprocess.row import shown
from deepen.signature import Signature
from deepen.tensors import Columns

HELD_OUT = ("val", "test")
UNEVEN = 10  # a class this many times as frequent as another is worth a word
MOST_SHOWN = 5
CHUNK = 4096  # items looked at together
THUMB = 16  # pixels a side of what near-copies are compared by
TOGETHER = 32  # pictures made small in one call
# Correlation of two thumbnails above which one picture is a re-encoded or resized copy of the other: different flowers
# (460,000 pairs) reach 0.96, CIFAR-10 pictures (8 million pairs) 0.95, copies of both stay above 0.997.
ALIKE = 0.99
MOST_PAIRS = 60_000_000  # compared; above that an even sample of the held-out pictures stands for all


def stop_if_bad(bad: list[Bad], total: int, check: Check) -> None:
    """More bad items than allowed: the data is not what the user thinks it is."""
    if len(bad) > check.max_bad * total:
        raise DeepenError(
            "data.bad",
            "data",
            f"{len(bad)} of {total} items are bad ({_reasons(bad)}; first: {bad[0].id})",
            f"at most {check.max_bad:.0%}",
            f"mend them, or allow more: check.max_bad={-(-100 * len(bad) // total) / 100:g}",
        )


def quarantine(bad: list[Bad], total: int) -> list[str]:
    """What was set aside and why, in one sentence."""
    return [f"{len(bad)} of {total} items set aside: {_reasons(bad)} (first: {bad[0].id})"] if bad else []


def _reasons(bad: list[Bad]) -> str:
    found = reasons_of(one.reason for one in bad)
    more = f"; {counted(len(found) - 3, 'other reason')}" if len(found) > 3 else ""
    return "; ".join(f"{n} x {reason}" for reason, n in found[:3]) + more


def reasons_of(reasons: Iterable[str]) -> list[tuple[str, int]]:
    """Reasons and how often each was given, the most frequent first; those that differ only in their numbers as one."""
    alike: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for reason in reasons:
        alike[re.sub(r"\d[\d,.]*", "0", reason)][reason] += 1
    told = (("such as " * (len(g) > 1) + g.most_common(1)[0][0], g.total()) for g in alike.values())
    return sorted(told, key=lambda pair: -pair[1])


def values(signature: Signature, columns: Columns, train: np.ndarray) -> None:
    """Places in which no training item has a number: nothing is learnt there, and the data is not what it seems."""
    names = iter(signature.tensors)
    for encoder in signature.inputs.values():
        for _ in encoder.tensors:
            array = columns[next(names).name]
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                continue
            some = np.zeros(array.shape[1:], bool)
            for start in range(0, len(train), CHUNK):
                some |= np.isfinite(array[train[start : start + CHUNK]]).any(0)
                if some.all():
                    break
            empty = np.argwhere(~some).tolist()
            if empty:
                more = f" (nor in {counted(len(empty) - 1, 'further place')})" if len(empty) > 1 else ""
                raise DeepenError(
                    "data.values",
                    encoder.place(empty[0]),
                    f"none of the {counted(len(train), 'training item')} has a number there{more}",
                    "finite numbers of at most 3.4e38",
                    "mend the data, or leave it out (of a table: data.drop=[...])",
                )


def remarks(signature: Signature, columns: Columns, parts: dict[str, np.ndarray], items: Items) -> list[str]:
    """What the encoders themselves have to say of the encoded items."""
    notes = []
    names = iter(signature.tensors)
    held = np.concatenate([parts[part] for part in HELD_OUT])
    for name, encoder in signature.inputs.items():
        own = {tensor.name: columns[next(names).name] for tensor in encoder.tensors}
        if hasattr(encoder, "remarks"):
            notes += [f"{name}: {remark}" for remark in encoder.remarks(own, held, items.inputs[name])]
    return notes


def classes(
    names: tuple[str, ...],
    counts: dict[str, np.ndarray],
    declared: bool = False,
    guessed: bool = True,
    fold: bool = False,
) -> list[str]:
    """Classes that cannot be learnt or measured, and how even they are.

    counts   (K,) in each part
    declared whether the data says which part an item is of
    guessed  whether an answer can be given without a look at the item: then what that reaches is said
    fold     whether it is one of several, each item of a class being tested on in one: a class of one item is then unknown there
    """
    total = np.sum(list(counts.values()), axis=0)
    notes = []
    unlearnt = np.flatnonzero(counts["train"] == 0)
    where = [
        " and ".join(f"{counts[p][i]} in {p}" for p in HELD_OUT if counts[p][i]) or "none is good" for i in unlearnt
    ]
    if len(unlearnt) and fold:
        some = listed([f"{shown(names[i])} ({there})" for i, there in zip(unlearnt, where)], MOST_SHOWN)
        notes.append(f"{len(unlearnt)} of {len(names)} classes without an item to learn from in this fold: {some}")
    elif len(unlearnt):
        raise DeepenError(
            "data.class",
            f"class {shown(names[unlearnt[0]])}",
            f"no item in the training part ({where[0]})",
            "at least one",
            "move some of them to the training part" if declared else "another split.seed, or more items",
        )
    for part in reversed(HELD_OUT):
        lacking = [f"{shown(names[i])} ({total[i]})" for i in np.flatnonzero(counts[part] == 0)]
        if lacking:
            what = "measured" if part == "test" else "watched while training"
            some = listed(lacking, MOST_SHOWN)
            notes.append(f"{len(lacking)} of {len(names)} classes without an item in {part}, so not {what}: {some}")
    most, least = int(total.argmax()), int(total.argmin())
    if total[most] >= UNEVEN * total[least]:
        share = total[most] / total.sum()
        guess = f"always answering {shown(names[most])} scores {share:.3f} accuracy: " if guessed else ""
        notes.append(
            f"uneven classes: {shown(names[most])} {share:.1%}, {shown(names[least])} {total[least] / total.sum():.1%}; "
            f"{guess}look at the figures per class too"
        )
    return notes


def copies(items: Items, parts: dict[str, np.ndarray], target: np.ndarray) -> tuple[list[str], list[str]]:
    """(leaks, notes): the same content in two parts makes figures too good; with two labels one of them is wrong."""
    hashes = np.array(items.content())
    order = parts["train"]
    seen = dict(zip(hashes[order].tolist(), order.tolist()))
    leaks = []
    for part in HELD_OUT:
        twins = [(row, seen[content]) for row, content in _at(hashes, parts[part]) if content in seen]
        if twins:
            row, twin = twins[0]
            leaks.append(
                f"{len(twins)} of {len(parts[part])} items in {part} stand in train too "
                f"(first: {items.ids[row]} = {items.ids[twin]})"
            )
    rows = np.concatenate(list(parts.values()))
    answers: dict[str, set[Any]] = defaultdict(set)
    if target.dtype.kind == "i":
        for content, label in zip(hashes[rows].tolist(), target[rows]):
            answers[content].add(label.tobytes())
    notes = []
    extra = len(rows) - len(np.unique(hashes[rows]))
    if extra and not leaks:
        notes.append(
            f"{counted(extra, 'exact copy', 'exact copies')} of another item: kept in the same part of the split"
        )
    torn = {content for content, labels in answers.items() if len(labels) > 1}
    if torn:
        first = [items.ids[row] for row, content in _at(hashes, rows) if content in torn]
        notes.append(f"{counted(len(first), 'item')} with the content of another but not its label (first: {first[0]})")
    return leaks, notes


def _at(hashes: np.ndarray, rows: np.ndarray) -> Iterable[tuple[int, str]]:
    return zip(rows.tolist(), hashes[rows].tolist())


def near_copies(items: Items, pictures: np.ndarray, parts: dict[str, np.ndarray]) -> list[str]:
    """Held-out pictures that are a training picture re-encoded, resized or slightly changed.

    pictures  uint8 (N, height, width, channels)
    """
    train = parts["train"]
    hashes = np.array(items.content())
    against = _thumbnails(pictures, train)
    leaks = []
    for part in HELD_OUT:
        rows = parts[part][~np.isin(hashes[parts[part]], hashes[train])]
        step = max(1, -(-len(rows) * len(train) // MOST_PAIRS))
        looked = rows[::step]
        best, twin = _nearest(_thumbnails(pictures, looked), against)
        hits = np.flatnonzero(best > ALIKE)
        if len(hits):
            some = f"about {min(len(hits) * step, len(rows))}" if step > 1 else str(len(hits))
            leaks.append(
                f"{some} of {len(parts[part])} pictures in {part} are nearly the same as one in train "
                f"(first: {items.ids[looked[hits[0]]]} ~ {items.ids[train[twin[hits[0]]]]})"
            )
    return leaks


def _thumbnails(pictures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float32 (n, THUMB * THUMB): grey box averages, mean 0 and length 1; zero where a picture is plain."""
    height, width, channels = pictures.shape[1:]
    down, across = _averages(height), np.repeat(_averages(width), channels, axis=1) / channels
    result = np.empty((len(rows), THUMB * THUMB), np.float32)
    for start in range(0, len(rows), TOGETHER):
        some = pictures[rows[start : start + TOGETHER]]
        lines = some.reshape(-1, width * channels).astype(np.float32)  # (n * H, W * C)
        small = down @ (lines @ across.T).reshape(-1, height, THUMB)
        result[start : start + TOGETHER] = small.reshape(len(some), -1)
    result -= result.mean(1, keepdims=True)
    length = np.linalg.norm(result, axis=1, keepdims=True)
    return np.where(length > 2 * THUMB, result / np.maximum(length, 1e-9), 0).astype(np.float32)


def _averages(size: int) -> np.ndarray:
    """float32 (THUMB, size): row i averages the pixels from i / THUMB to (i + 1) / THUMB of the side."""
    edges = np.linspace(0, size, THUMB + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) / (size / THUMB)).astype(np.float32)


def _nearest(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `a` the largest product with a row of `b`, and which."""
    best, twin = np.empty(len(a), np.float32), np.empty(len(a), np.int64)
    for start in range(0, len(a), 512):
        product = a[start : start + 512] @ b.T
        twin[start : start + 512] = product.argmax(1)
        best[start : start + 512] = product.max(1)
    return best, twin


def groups(items: Items, parts: dict[str, np.ndarray], split: Split) -> list[str]:
    """Columns that look like groups (a patient, a session) whose members stand in several parts."""
    if split.how in {"group", "time"} or items.split or items.spans is not None:
        return []
    notes = []
    rows = np.concatenate(list(parts.values()))
    held = np.concatenate([parts[part] for part in HELD_OUT])
    for name, column in items.columns.columns.items():
        if not (GROUP.search(name) or name.lower().endswith("id") or name == "series"):
            continue
        values = column[rows].astype(str)
        distinct = len(set(values))
        if not 10 <= distinct <= len(rows) - max(10, len(rows) // 200) or distinct < len(rows) / 100:
            continue
        shared = np.isin(column[held].astype(str), column[parts["train"]].astype(str)).mean()
        if shared > 0.001:
            notes.append(
                f"{name!r} has {distinct} values in {len(rows)} items, and {shared:.0%} of the held-out items share theirs "
                f"with train: if they belong together, split.how=group split.by={name}"
            )
    return notes


def outside(count: int, items: Items, split: Split) -> list[str]:
    """What the split had to leave out."""
    kept = min(count, (items.split or []).count("test")) if split.folds else 0
    notes = [f"{counted(kept, 'item')} that the data keeps for the test: in no fold"] if kept else []
    across = "with an answer on both sides of a border of the split"
    if split.folds and split.how != "group" and (split.how == "time" or items.spans is not None):
        across = f"newer than what this fold is tested on{f', or {across}' if items.spans is not None else ''},"
    return [*notes, f"{counted(count - kept, 'item')} {across} left out"] if count > kept else notes


def batch(size: int | None, count: int) -> list[str]:
    """A batch larger than the data holds all of it."""
    if size is None or size <= count:
        return []
    return [f"train.batch_size {size:,} is more than there is to train on: every batch holds all {count:,} items"]


def refuse(leaks: list[str], check: Check) -> list[str]:
    """The leaks as notes, or as an error where the user asked for one."""
    if leaks and check.leaks == "stop":
        raise DeepenError(
            "data.leak",
            "data",
            "; ".join(leaks),
            "nothing that makes the figures too good",
            "remove the copies, drop the columns (data.drop=[...]), or check.leaks=warn",
        )
    return leaks
