"""From raw items to encoded arrays with a signature: checked, split, fitted on the training rows. Torch-free.

Nothing is dropped in silence: every item ends in a part of the split, among the unlabelled, or in quarantine.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepen import registry
from deepen.config import Check, Config
from deepen.data import cache
from deepen.data.items import Bad, Items
from deepen.data.split import PARTS, split
from deepen.errors import DeepenError, Invalid
from deepen.machine import cores
from deepen.signature import Signature
from deepen.tensors import Arrays

CHUNK = 256  # items encoded in one call


@dataclass
class Prepared:
    """Encoded items. `arrays` follow signature.tensors, `target` the kind; `parts` hold row numbers of `items`."""

    items: Items
    signature: Signature
    arrays: Arrays
    target: np.ndarray
    parts: dict[str, np.ndarray]
    unlabelled: np.ndarray
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """The data check's account: the counts add up to the total."""
        return {
            "items": len(self.items) + len(self.items.bad),
            **{part: len(rows) for part, rows in self.parts.items()},
            "unlabelled": len(self.unlabelled),
            "bad": len(self.bad),
            "quarantine": [bad._asdict() for bad in self.bad],
            "notes": self.notes,
        }


def prepare(items: Items, config: Config) -> Prepared:
    """Check, split, fit and encode."""
    bad = list(items.bad)
    total = len(items) + len(bad)
    if not len(items):
        _stop_if_bad(bad, total, config.check)
        raise DeepenError("data.empty", _place(config), "no items", "at least a few")
    outputs: dict[str, Any] = {}
    rows, strata = np.arange(len(items)), np.zeros(len(items), int)
    if items.kind and _labelled(config):
        kind_class = registry.load("kinds", items.kind)
        kind = kind_class.fit(items.target, items.target_name)
        target = kind.encode(items.target, items.target_name)
        rows = np.flatnonzero(kind.labelled(target))
        strata = kind.strata(target[rows])
    parts = {part: rows[index] for part, index in split(_subset(items, rows), strata, config.split).items()}
    train = parts["train"]
    if items.kind and _labelled(config):
        # numbers are scaled by what training saw; class names belong to the whole data
        again = kind_class.fitted == "train"
        outputs[items.target_name] = (
            kind_class.fit([items.target[i] for i in train], items.target_name) if again else kind
        )
    encoders = {
        name: registry.load("preprocess", encoder).fit(_take(items.inputs[name], train), **options)
        for name, (encoder, options) in items.encoders.items()
    }
    unlabelled = np.setdiff1d(np.arange(len(items)), rows)
    return encode(items, Signature(encoders, outputs), parts, unlabelled, bad, config)


def _labelled(config: Config) -> bool:
    """Whether the method learns from labels."""
    name = config.method["name"]
    return ":" in name or registry.constant("methods", name, "labelled", True)


def encode(
    items: Items,
    signature: Signature,
    parts: dict[str, np.ndarray],
    unlabelled: np.ndarray,
    bad: list[Bad],
    config: Config,
) -> Prepared:
    """Encode with a signature that is already fitted (a resumed or evaluated run: nothing is fitted again)."""
    target = np.zeros(len(items), np.int64)
    if signature.outputs:
        target = signature.answer.encode(items.target, items.target_name)
    arrays: Arrays = {}
    failures: dict[int, str] = {}
    for name, encoder in signature.inputs.items():
        columns, wrong = cache.through(items, name, encoder, lambda e=encoder, n=name: encode_all(e, items.inputs[n]))
        prefix = "" if len(signature.inputs) == 1 else f"{name}."
        arrays.update({f"{prefix}{key}": array for key, array in columns.items()})
        failures.update(wrong)
    bad = bad + [Bad(items.ids[row], reason) for row, reason in sorted(failures.items())]
    gone = np.fromiter(failures, int, len(failures))
    parts = {part: np.setdiff1d(rows, gone) for part, rows in parts.items()}
    unlabelled = np.setdiff1d(unlabelled, gone)
    _stop_if_bad(bad, len(items) + len(items.bad), config.check)
    for part in PARTS:
        if not len(parts[part]):
            raise DeepenError("data.empty", f"split.{part}", "every item of it is bad", "at least one good item")
    prepared = Prepared(items, signature, arrays, target, parts, unlabelled, bad, list(items.notes))
    _note_classes(prepared)
    _note_leaks(prepared, config.check)
    return prepared


def restore(items: Items, signature: Signature, split_ids: dict[str, list[str]], config: Config) -> Prepared:
    """The same split again for a run that exists; items that came since are left out, missing ones are an error."""
    row = {name: i for i, name in enumerate(items.ids)}
    missing = [name for part in PARTS for name in split_ids[part] if name not in row]
    if missing:
        raise DeepenError(
            "data.changed",
            _place(config),
            f"{len(missing)} items of this run are gone, first {missing[0]!r}",
            "the data this run was trained on",
            "put it back, or train again",
        )
    parts = {part: np.array(sorted(row[name] for name in split_ids[part]), int) for part in PARTS}
    unlabelled = np.array(sorted(row[name] for name in split_ids.get("unlabelled", []) if name in row), int)
    return encode(items, signature, parts, unlabelled, list(items.bad), config)


def encode_all(encoder: Any, values: Any) -> tuple[Arrays, dict[int, str]]:
    """All values in chunks, on all cores; what cannot be encoded is left zero and named by row."""
    chunks = [
        (start, _take(values, np.arange(start, min(start + CHUNK, len(values)))))
        for start in range(0, len(values), CHUNK)
    ]
    with ThreadPoolExecutor(cores()) as pool:
        try:
            done = list(pool.map(lambda c: _encode_chunk(encoder, *c), chunks))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Ctrl-C: do not wait for the chunks that have not begun
            raise
    failures = {row: reason for _, wrong in done for row, reason in wrong.items()}
    return {t.name: np.concatenate([arrays[t.name] for arrays, _ in done]) for t in encoder.tensors}, failures


def _encode_chunk(encoder: Any, start: int, values: Any) -> tuple[Arrays, dict[int, str]]:
    try:
        return encoder.encode(values), {}
    except Invalid:
        pass  # find the bad ones one by one
    wrong: dict[int, str] = {}
    blank = {t.name: np.zeros((1, *t.shape[1:]), t.dtype) for t in encoder.tensors}
    parts = []
    for row in range(len(values)):
        try:
            parts.append(encoder.encode(_take(values, np.array([row]))))
        except Invalid as problem:
            wrong[start + row] = problem.reason
            parts.append(blank)
    return {name: np.concatenate([p[name] for p in parts]) for name in blank}, wrong


def _take(values: Any, rows: np.ndarray) -> Any:
    return [values[int(i)] for i in rows] if isinstance(values, list) else values[rows]


def _subset(items: Items, rows: np.ndarray) -> Items:
    """Only what a split looks at."""
    declared = [items.split[i] for i in rows] if items.split else None
    return Items([items.ids[i] for i in rows], {}, {}, [], items.kind, split=declared, columns=items.columns[rows])


def _stop_if_bad(bad: list[Bad], total: int, check: Check) -> None:
    if len(bad) > check.max_bad * total:
        reasons = Counter(b.reason for b in bad).most_common(3)
        shown = "; ".join(f"{n} x {reason}" for reason, n in reasons)
        raise DeepenError(
            "data.bad",
            "data",
            f"{len(bad)} of {total} items are bad ({shown}; first: {bad[0].id})",
            f"at most {check.max_bad:.0%}",
            "mend them, or allow more: check.max_bad=...",
        )


def _note_classes(prepared: Prepared) -> None:
    """Classes that cannot be learnt or measured."""
    classes = getattr(prepared.signature.answer, "classes", ()) if prepared.signature.outputs else ()
    counts = (
        {part: np.bincount(prepared.target[rows], minlength=len(classes)) for part, rows in prepared.parts.items()}
        if classes
        else {}
    )
    for i, name in enumerate(classes):
        total = sum(int(c[i]) for c in counts.values())
        if total == 1:
            prepared.notes.append(f"class {name!r} has one item: it can be trained on but not measured")
        elif not counts["train"][i]:
            raise DeepenError(
                "data.class",
                f"class {name!r}",
                "no item in the training part",
                "at least one",
                "another split.seed, or more items",
            )


def _note_leaks(prepared: Prepared, check: Check) -> None:
    """The same content in two parts of the split makes the figures too good."""
    hashes = prepared.items.content()
    seen = {hashes[row]: prepared.items.ids[row] for row in prepared.parts["train"]}
    for part in ("val", "test"):
        twins = [(prepared.items.ids[row], seen[hashes[row]]) for row in prepared.parts[part] if hashes[row] in seen]
        if twins:
            text = f"{len(twins)} of {len(prepared.parts[part])} items in {part} stand in train too (first: {twins[0][0]} = {twins[0][1]})"
            if check.leaks == "stop":
                raise DeepenError(
                    "data.leak", f"split.{part}", text, "no item in two parts", "remove the copies, or check.leaks=warn"
                )
            prepared.notes.append(text)


def _place(config: Config) -> str:
    return str(config.data.get("path", config.data["name"]))
