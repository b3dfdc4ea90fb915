"""The one deterministic path from a raw item to tensors; training, evaluation, gate, server and labelling all use it.

An encoder is a frozen struct that travels in the signature. NumPy only, no torch:

    fit(values, **options)   the encoder fitted to the training items
    grow(values, **options)  the encoder with what is new in more training items, behind what it knows; left out where
                             nothing can be
    tensors                  what it gives, in the order the network takes it
    encode(values)           a batch of tensors; a raw item that cannot be read raises Invalid with its row
    parse(value), dump(raw)  a raw item from and to what JSON can carry
    restore(arrays)          the raw item of one encoded item; left out where that would not be all of it
    file(raw), cells(raw)    a raw item as the content of a file (`ending`: of its name), as a row of a table; each left out
                             where there is no such form
    together(rows)           which rows of a table are of each item, by name, where one item takes several rows
    remarks(arrays, held, values)  what there is to say of all encoded items, those held out, and the raw ones
    extremes(arrays)         encoded items changed to what it may also say: missing, rare; left out where there is nothing such
    statistics(arrays)       what is watched of each item in service: columns of numbers (NaN missing) or of texts

Scaling to well-behaved floats is the first step of the network itself (nn/normalise.py), under the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.errors import Invalid, typed

LARGEST_TEXT = 1 << 20  # characters
LOOKED_AT = 200  # items as long as can be, read once more to see whether they are longer


def cut(encoder: Any, lengths: np.ndarray, values: Sequence[Any]) -> float:
    """The share of items that go on behind the `longest` of their first tensor that an encoder reads."""
    full = np.flatnonzero(lengths >= encoder.longest)
    some = full[:: -(-len(full) // LOOKED_AT) or 1]
    more = msgspec.structs.replace(encoder, longest=encoder.longest + 1)
    name = encoder.tensors[0].name
    longer = sum(more.encode([values[int(row)]])[name].shape[1] > encoder.longest for row in some)
    return len(full) / len(lengths) * longer / max(len(some), 1)


def written(value: Any) -> str:
    """A text that holds something; anything else raises Invalid."""
    if not isinstance(value, str) or not value.strip():
        found = "no text" if isinstance(value, str) or value is None else f"no text but {typed(value)}"
        raise Invalid(found, "a text that is not empty")
    if len(value) > LARGEST_TEXT:
        raise Invalid(f"a text of {len(value):,} characters", f"at most {LARGEST_TEXT:,}")
    return value
