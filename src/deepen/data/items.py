"""What a source reads: raw items in columns, their labels, what is known of the split. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from deepen.errors import DeepenError, counted
from deepen.preprocess.row import Rows
from deepen.tensors import Arrays


class Bad(NamedTuple):
    """An item set aside, and why."""

    id: str
    reason: str


@dataclass
class Items:
    """N raw items.

    ids       stable names: a path below the folder, a row number
    inputs    feature -> N raw values (paths, an array, Rows)
    encoders  feature -> (file in preprocess/, options for its fit)
    target    N raw labels, None or NaN where there is none
    kind      file in kinds/; of several targets by name
    options   for the kind's fit
    split     "train", "val", "test" or None per item where the data says it
    columns   further columns to group or order by
    hashes    content hash per item, for duplicates and the fingerprint
    bad       items set aside, with the reason
    notes     what was assumed or passed over
    wanted    how the source has labels, told where there are none
    leaks     columns that give the answer away
    spans     float64 (N, 2): the first and the last moment that an item's answer is about; such items are split by time
    missing   why there are no labels at all, raised where some are needed
    votes     float32 (N, K): shares of the K classes where people did not agree; `target` has what most of them said
    crossed   False: the source holds out by a rule of its own, which folds would break
    shared    feature -> arrays that belong to all of its items, such as the graph whose nodes they are
    """

    ids: list[str]
    inputs: dict[str, Any]
    encoders: dict[str, tuple[str, dict[str, Any]]]
    target: Sequence[Any]
    kind: str
    target_name: str = "label"
    split: list[str | None] | None = None
    columns: Rows = field(default_factory=lambda: Rows({}))
    hashes: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wanted: str = ""
    leaks: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    spans: np.ndarray | None = None
    missing: DeepenError | None = None
    votes: np.ndarray | None = None
    crossed: bool = True
    shared: dict[str, Arrays] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def whole(self) -> Items:
        """These items, if each column of them is about all of them; asked of those a user's own code made."""
        columns = {**self.inputs, "target": self.target, "split": self.split, "hashes": self.hashes or None}
        for name, values in columns.items():
            if values is not None and len(values) != len(self):
                raise DeepenError(
                    "data.own", f"items {name}", f"{len(values)} for {counted(len(self), 'id')}", "one per id"
                )
        if missing := {*self.encoders} ^ {*self.inputs}:
            raise DeepenError("data.own", f"items {min(missing)}", "in only one of inputs and encoders", "both")
        return self

    def unread(self, inputs: dict[str, Any]) -> set[str]:
        """Columns that stand beside those that encoders read: left out, kept to group by, or the answers."""
        if len(inputs) == 1 and not any(hasattr(encoder, "columns") for encoder in inputs.values()):
            return set()  # no rows
        read = {*inputs, *(column for encoder in inputs.values() for column in getattr(encoder, "columns", ()))}
        return {*self.columns.columns, self.target_name, *self.options.get("kinds", ())} - read

    def raw(self, rows: Sequence[int]) -> list[Any]:
        """The raw items of some rows as the Predictor takes them: a value, or a mapping of several features."""
        if len(self.inputs) == 1:
            values = next(iter(self.inputs.values()))
            return [values[int(r)] for r in rows]
        return [{name: values[int(r)] for name, values in self.inputs.items()} for r in rows]

    def content(self) -> list[str]:
        """A hash of each item's content; computed here where the source has not done it."""
        if not self.hashes and len(self):
            columns = [words(values) for values in self.inputs.values()]
            table = np.ascontiguousarray(np.concatenate(columns, axis=1))
            self.hashes = [hashlib.blake2b(row, digest_size=16).hexdigest() for row in table]
        return self.hashes

    def fingerprint(self) -> str:
        """One hash of all items and labels, independent of where they lie."""
        whole = hashlib.blake2b(digest_size=16)
        for name, content, label in zip(self.ids, self.content(), self.target):
            label = label.tobytes().hex() if isinstance(label, np.ndarray) else label
            whole.update(f"{name}\0{content}\0{label}\n".encode())
        if self.votes is not None:
            whole.update(self.votes.tobytes())
        return whole.hexdigest()


def words(values: Any) -> np.ndarray:
    """The content of N raw values as uint8 (N, bytes): equal rows mean equal content."""
    if isinstance(values, Rows):
        return np.concatenate([words(column) for column in values.columns.values()], axis=1)
    if isinstance(values, np.ndarray) and values.dtype != object:
        return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
    seen: dict[Any, int] = {}
    try:  # cells repeat themselves: hash each once
        codes = np.fromiter((seen.setdefault((type(v), v), len(seen)) for v in values), np.int64, len(values))
    except TypeError:  # arrays and the like cannot be looked up
        return np.stack([_digest(value) for value in values])
    return np.stack([_digest(value) for _, value in seen])[codes]


def _digest(value: Any) -> np.ndarray:
    return np.frombuffer(hashlib.blake2b(_bytes(value), digest_size=16).digest(), np.uint8)


def _bytes(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        return str(value.shape).encode() + value.tobytes()
    return value if isinstance(value, bytes) else repr(value).encode()
