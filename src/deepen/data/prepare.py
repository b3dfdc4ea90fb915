"""From raw items to encoded arrays with a signature: checked, split, fitted on the training rows. Torch-free.

Nothing is dropped in silence: every item ends in a part of the split, among the unlabelled, or in quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepen import registry
from deepen.config import Config
from deepen.data import checks, itself
from deepen.data.encoding import of_feature, taken
from deepen.data.items import Bad, Items
from deepen.data.known import Strata, kept, subset
from deepen.data.split import PARTS, split
from deepen.errors import DeepenError, Invalid, counted
from deepen.preprocess.optional import Optional
from deepen.preprocess.row import Rows, text_or_none
from deepen.signature import Signature
from deepen.tensors import Columns, Ragged, Windows

STEPWISE = "listener"  # the network that is taken where each step is answered


@dataclass
class Prepared:
    """Encoded items. `columns` follow signature.tensors, `target` the kind; `parts` hold row numbers of `items`."""

    items: Items
    signature: Signature
    columns: Columns
    target: np.ndarray
    parts: dict[str, np.ndarray]
    unlabelled: np.ndarray
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def outside(self) -> int:
        """Items that a border of the split cuts through: they are in no part."""
        placed = sum(map(len, self.parts.values())) + len(self.unlabelled)
        return len(self.items) + len(self.items.bad) - placed - len(self.bad)

    def report(self) -> dict[str, Any]:
        """The data check's account: the counts add up to the total."""
        return {
            "items": len(self.items) + len(self.items.bad),
            **{part: len(rows) for part, rows in self.parts.items()},
            "unlabelled": len(self.unlabelled),
            "outside": self.outside,
            "bad": len(self.bad),
            "quarantine": [bad._asdict() for bad in self.bad],
            "notes": self.notes,
        }


def prepare(items: Items, config: Config, before: Mapping[str, Sequence[str]] | None = None) -> Prepared:
    """Check, split, fit and encode; `before`: ids of each part of an earlier split that is kept to."""
    bad = list(items.bad)
    total = len(items) + len(bad)
    checks.stop_if_bad(bad, total, config.check)  # before what is left of the data is found wanting
    if not len(items):
        raise DeepenError("data.empty", _place(config), "no items", "at least a few")
    config = itself.alone(config, items)
    labelled = _labelled(items, config)
    if items.missing is not None and labelled:
        raise items.missing
    _foldable(items, config)
    outputs: dict[str, Any] = {}
    rows, strata = np.arange(len(items)), np.zeros(len(items), int)
    if items.kind and labelled:
        if all(text_or_none(value) is None for value in items.target):
            raise _no_label(items, config)
        kind_class = registry.load("kinds", str(items.kind))
        kind = kind_class.fit(items.target, items.target_name, **items.options)
        target = kind.encode(items.target, items.target_name)
        rows = np.flatnonzero(kind.labelled(target))
        if not len(rows):
            raise _no_label(items, config)
        strata = kind.strata(target[rows])
    if before is None:
        parts = {part: rows[index] for part, index in split(subset(items, rows), strata, config.split).items()}
    else:
        if not {name for part in PARTS for name in before[part]} & {*items.ids}:
            raise DeepenError(
                "split.like", str(config.split.like), "none of its items is in this data", "a run on the same data"
            )
        of = dict(zip(rows.tolist(), strata))
        parts = kept(items, rows, before, lambda some: np.array([of[row] for row in some.tolist()]), config.split)
    train = parts["train"]
    if items.kind and labelled:
        # numbers are scaled by what training saw; class names belong to the whole data
        again = kind_class.fitted == "train"
        outputs[items.target_name] = (
            kind_class.fit(taken(items.target, train), items.target_name, **items.options) if again else kind
        )
    asked = getattr(next(iter(outputs.values()), None) or itself.kind_of(config), "asks", {})  # of the answer's inputs
    try:
        encoders = {
            name: _fitted(taken(items.inputs[name], train), encoder, {**options, **asked.get(encoder, {})})
            for name, (encoder, options) in items.encoders.items()
        }
    except Invalid as problem:  # about all of them, not about one
        raise DeepenError("data.bad", _place(config), problem.reason, problem.wanted) from problem
    unlabelled = np.setdiff1d(np.arange(len(items)), rows)
    return encode(items, Signature(encoders, outputs, items.unread(encoders)), parts, unlabelled, bad, config)


def _fitted(values: Any, encoder: str, options: dict[str, Any]) -> Any:
    """The encoder fitted to training values; where some items have none, they need none later on either."""
    known = values if isinstance(values, (Rows, Windows)) else [value for value in values if value is not None]
    if not len(known):
        raise Invalid("no training item has it", "at least one that has")
    whole = len(known) == len(values)
    fitted = registry.load("preprocess", encoder).fit(values if whole else known, **options)
    return fitted if whole else Optional(fitted)


def _no_label(items: Items, config: Config) -> DeepenError:
    return DeepenError(
        "data.target",
        _place(config),
        f"none of {len(items)} items has a label",
        items.wanted or "labels to learn from",
        f"label some: deepen label {_place(config)}",
    )


def _foldable(items: Items, config: Config) -> None:
    """Whether folds are what the rest of `split` and the data can be."""
    name, none = "split.folds", "leave one of them out"
    if config.split.folds is None and config.split.turn is not None:
        raise DeepenError("split.folds", "split.turn", "no split.folds", "the number of folds beside it", "folds=5")
    if config.split.folds is not None and config.split.like is not None:
        raise DeepenError("split.folds", name, "split.like beside it", "either folds or the parts of a run", none)
    if config.split.folds is not None and not items.crossed:
        found = f"{_place(config)} is held out by a rule of its own"
        raise DeepenError("split.folds", name, found, "items that can be shared out freely", "leave it out")
    if config.split.folds is not None and getattr(itself.kind_of(config), "apart", False):
        found = "answers whose bins and categories are those of a fold's own training rows"
        raise DeepenError(
            "split.folds", name, found, "answers that can be put together", "one held-out part: leave it out"
        )


def _labelled(items: Items, config: Config) -> bool:
    """Whether the method learns from labels, or they are known without a labeller."""
    name = config.method["name"]
    known = bool(items.kind) and registry.constant("kinds", items.kind, "known", False)
    return known or ":" in name or registry.constant("methods", name, "labelled", True)


def encode(
    items: Items,
    signature: Signature,
    parts: dict[str, np.ndarray],
    unlabelled: np.ndarray,
    bad: list[Bad],
    config: Config,
) -> Prepared:
    """Encode with a signature that is already fitted (a resumed or evaluated run: nothing is fitted again)."""
    known, signature = signature, itself.read_by(signature)
    target = np.zeros(len(items), np.int64)
    if signature.outputs:
        target = signature.answer.encode(items.target, items.target_name)
    columns: Columns = {}
    failures: dict[int, str] = {}
    for name, encoder in signature.inputs.items():
        found, wrong = of_feature(items, name, encoder)
        prefix = "" if len(signature.inputs) == 1 else f"{name}."
        columns.update({f"{prefix}{key}": column for key, column in found.items()})
        failures.update(wrong)
    failures |= {row: why for row, why in _too_short(signature, columns, target, config).items() if row not in failures}
    bad = bad + [Bad(items.ids[row], reason) for row, reason in sorted(failures.items())]
    gone = np.fromiter(failures, int, len(failures))
    parts = {part: np.setdiff1d(rows, gone) for part, rows in parts.items()}
    unlabelled = np.setdiff1d(unlabelled, gone)
    checks.stop_if_bad(bad, len(items) + len(items.bad), config.check)
    for part in PARTS:
        if not len(parts[part]):
            raise DeepenError("data.empty", f"split.{part}", "every item of it is bad", "at least one good item")
    prepared = Prepared(items, signature, columns, target, parts, unlabelled, bad, list(items.notes))
    _check(prepared, config)
    return itself.answered(prepared, known, config)


def _too_short(signature: Signature, columns: Columns, target: np.ndarray, config: Config) -> dict[int, str]:
    """Items that are too short for the answer they are said to have: nothing can be learnt from them."""
    kind: Any = signature.answer if signature.outputs else None
    if not hasattr(kind, "least"):
        return {}
    column = columns[signature.tensors[0].name]
    assert isinstance(column, Ragged)
    stride = _stride(config)
    steps, least = -(-np.diff(column.starts) // stride), kind.least(target)
    said = f" (model.stride={stride})" if stride > 1 else ""
    return {
        int(row): f"its text takes {least[row]} steps, it has {steps[row]}{said}"
        for row in np.flatnonzero((steps < least) & (steps > 0))
    }


def _stride(config: Config) -> int:
    """Frames of an item that are one step to the network, as far as the configuration tells."""
    spec = config.model or {"name": STEPWISE}
    if not registry.says_all("models", spec["name"]):
        return 1
    known = {field.name: field.default for field in registry.fields("models", spec["name"])}
    return int(spec.get("stride", known.get("stride", 1)))


def _check(prepared: Prepared, config: Config) -> None:
    """What there is to say about the data before it is trained on."""
    items, parts = prepared.items, prepared.parts
    checks.values(prepared.signature, prepared.columns, parts["train"])
    prepared.notes += checks.remarks(prepared.signature, prepared.columns, parts, items)
    leaks, torn = checks.copies(items, parts, prepared.target)
    pictures = [name for name, values in items.inputs.items() if isinstance(values, list)]
    for name, tensor in zip(prepared.signature.inputs, prepared.signature.tensors):
        column = prepared.columns[tensor.name]
        if name in pictures and isinstance(column, np.ndarray) and column.dtype == np.uint8 and column.ndim == 4:
            leaks += checks.near_copies(items, column, parts)
    kind: Any = prepared.signature.answer if prepared.signature.outputs else None
    names = getattr(kind, "classes", ())
    prepared.notes += checks.refuse(items.leaks + leaks, config.check) + torn
    if names:
        counts = {part: kind.counts(prepared.target[rows]) for part, rows in parts.items()}
        prepared.notes += checks.classes(
            names, counts, bool(items.split), hasattr(kind, "baseline"), config.split.folds is not None
        )
    target = config.data.get("target")
    if isinstance(target, str) and not _labelled(items, config):
        name = config.method["name"]
        prepared.notes.append(
            f"column {target!r} is left out: {name} needs no target; without target= it would go in too"
        )
    prepared.notes += checks.groups(items, parts, config.split)
    prepared.notes += checks.outside(prepared.outside, items, config.split)
    prepared.notes += checks.batch(config.train.batch_size, len(parts["train"]))
    prepared.notes += checks.quarantine(prepared.bad, len(items) + len(items.bad))


def restore(items: Items, signature: Signature, split_ids: dict[str, list[str]], config: Config) -> Prepared:
    """The same split again for a run that exists; items that came since are left out, missing ones are an error."""
    row = {name: i for i, name in enumerate(items.ids)}
    missing = [name for part in PARTS for name in split_ids[part] if name not in row]
    if missing:
        raise DeepenError(
            "data.changed",
            _place(config),
            f"{counted(len(missing), 'item')} of this run gone, first {missing[0]!r}",
            "the data this run was trained on",
            "put it back, or train again",
        )
    parts = {part: np.array(sorted(row[name] for name in split_ids[part]), int) for part in PARTS}
    unlabelled = np.array(sorted(row[name] for name in split_ids.get("unlabelled", []) if name in row), int)
    return encode(items, signature, parts, unlabelled, list(items.bad), config)


def continued(items: Items, before: Signature, split_ids: dict[str, list[str]], config: Config) -> Prepared:
    """The split of an earlier run for its items; those labelled since are shared out as configured, copies join theirs.

    What goes in is encoded as then, so that weights go on meaning the same, and what is new in it behind what was
    known; what comes out too, unless a class is new. Of a run on other things only weights are of use: all is as if new.
    """
    if itself.read_by(before).inputs.keys() != items.encoders.keys():
        return prepare(items, config)
    kind, target = _kind_again(items, before, config)
    rows = np.arange(len(items)) if kind is None else np.flatnonzero(kind.labelled(target))
    strata: Strata = lambda some: np.zeros(len(some), int) if kind is None else kind.strata(target[some])
    parts = kept(items, rows, split_ids, strata, config.split)
    unlabelled = np.setdiff1d(np.arange(len(items)), rows)
    inputs = itself.read_by(before).inputs
    if not getattr(kind, "each", False):  # what is foretold is of the vocabulary that goes in
        inputs = _grown(items, inputs, parts["train"])
    outputs = {} if kind is None else {items.target_name: kind}
    signature = Signature(inputs, outputs, before.passed | items.unread(inputs))
    return encode(items, signature, parts, unlabelled, list(items.bad), config)


def _kind_again(items: Items, before: Signature, config: Config) -> tuple[Any, np.ndarray]:
    """The kind of the labels with its targets: the one before, unless that no longer fits; None without labels."""
    if not _labelled(items, config):
        return None, np.zeros(0)
    if items.missing is not None:
        raise items.missing
    labels = items.target_name
    kind_class = registry.load("kinds", str(items.kind))
    kind = before.answer if before.outputs else None
    if isinstance(kind, kind_class):
        try:
            return kind, kind.encode(items.target, labels)
        except DeepenError as problem:
            if problem.code != "data.label":
                raise
    kind = kind_class.fit(items.target, labels, **items.options)
    return kind, kind.encode(items.target, labels)


def _grown(items: Items, encoders: dict[str, Any], train: np.ndarray) -> dict[str, Any]:
    """The encoders with what the training rows hold that they do not know, such as new words."""
    found = {}
    for name, encoder in encoders.items():
        kind, options = items.encoders[name]
        grows = registry.defines("preprocess", kind, "grow")
        found[name] = encoder.grow(taken(items.inputs[name], train), **options) if grows else encoder
    return found


def _place(config: Config) -> str:
    return str(config.data.get("path", config.data["name"]))
