"""What a source reads: raw items in columns, their labels, what is known of the split. Torch-free."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from deepen.preprocess.row import Rows


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
    kind      file in kinds/
    split     "train", "val", "test" or None per item where the data says it
    columns   further columns to group or order by
    hashes    content hash per item, for duplicates and the fingerprint
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

    def __len__(self) -> int:
        return len(self.ids)

    def raw(self, rows: Sequence[int]) -> list[Any]:
        """The raw items of some rows as the Predictor takes them: a value, or a mapping of several features."""
        if len(self.inputs) == 1:
            values = next(iter(self.inputs.values()))
            return [values[int(r)] for r in rows]
        return [{name: values[int(r)] for name, values in self.inputs.items()} for r in rows]

    def content(self) -> list[str]:
        """A hash of each item's content; computed here where the source has not done it."""
        if not self.hashes:
            self.hashes = [hash_of(*(values[i] for values in self.inputs.values())) for i in range(len(self))]
        return self.hashes

    def fingerprint(self) -> str:
        """One hash of all items and labels, independent of where they lie."""
        whole = hashlib.blake2b(digest_size=16)
        for name, content, label in zip(self.ids, self.content(), self.target):
            whole.update(f"{name}\0{content}\0{label}\n".encode())
        return whole.hexdigest()


def hash_of(*values: Any) -> str:
    """A hash of raw values."""
    whole = hashlib.blake2b(digest_size=16)
    for value in values:
        whole.update(
            value.tobytes()
            if isinstance(value, np.ndarray)
            else value
            if isinstance(value, bytes)
            else repr(value).encode()
        )
    return whole.hexdigest()
