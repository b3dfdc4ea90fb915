"""Raw items in, answers out: the one way for evaluation, the gate, the server and the label queue. Torch-free.

predictor = deepen.load("runs/20261120-7f3a/exports/onnx")
predictor([open("cat.jpg", "rb").read()])        [{"label": "cat", "probability": 0.98, ...}]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from deepen.errors import Invalid, listed, nearest, typed
from deepen.preprocess.optional import Optional
from deepen.program import Program
from deepen.signature import Signature
from deepen.tensors import Arrays, join

BATCH = 64


@runtime_checkable
class Featured(Protocol):
    """A runtime that can look into its network."""

    def features(self, arrays: Arrays) -> np.ndarray | None:
        """The last hidden layer (B, d); None where the network does not tell it."""


@runtime_checkable
class Making(Protocol):
    """A runtime whose network may make items by itself."""

    def made(self, count: int) -> np.ndarray | None:
        """So many on the scale of training, the same ones every time; None where the network makes none."""


class Predictor:
    """Encode, run the program, decode."""

    def __init__(self, signature: Signature, program: Program) -> None:
        self.signature, self.program = signature, program

    def parse(self, value: Any) -> Any:
        """A raw item from what a client sent as JSON. Columns that training left out, and the answer's, are passed over; one
        that it never saw may be another misspelt: Invalid."""
        value = self._read(value)
        if len(self.signature.inputs) == 1:
            return next(iter(self.signature.inputs.values())).parse(value)
        return self._parse_several(value)

    def _read(self, value: Any) -> Any:
        """A row without the columns that are passed over; what is none stays as it is."""
        passed = self.signature.passed
        if not isinstance(value, dict) or passed.isdisjoint(value):
            return value
        return {name: cell for name, cell in value.items() if name not in passed}

    def _parse_several(self, value: Any) -> dict[str, Any]:
        """An object of inputs by name; a row's columns may stand among them, as they do in a table."""
        inputs = self.signature.inputs
        columns = {name: getattr(encoder, "columns", ()) for name, encoder in inputs.items()}
        known = {*inputs, *(column for names in columns.values() for column in names)}
        if not isinstance(value, dict):
            raise Invalid(f"got {typed(value)}", f"an object with {', '.join(inputs)}")
        if strange := [key for key in value if key not in known]:
            raise Invalid(f"unknown key {strange[0]!r}", nearest(strange[0], known) or f"keys: {listed(sorted(known))}")
        result = {}
        for name, encoder in inputs.items():
            if name in value:
                result[name] = encoder.parse(self._read(value[name]))
            elif isinstance(encoder, Optional):
                result[name] = None
            elif own := {column: value[column] for column in columns[name] if column in value}:
                result[name] = encoder.parse(own)
            else:
                raise Invalid(f"no {name!r}", f"an object with {', '.join(inputs)}")
        return result

    def encode(self, items: Sequence[Any]) -> Arrays:
        """One batch of tensors from raw items; Invalid names the row that cannot be read."""
        if len(self.signature.inputs) == 1:
            return next(iter(self.signature.inputs.values())).encode(items)
        return {
            f"{name}.{key}": array
            for name, encoder in self.signature.inputs.items()
            for key, array in encoder.encode([item[name] for item in items]).items()
        }

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        """One batch from several encoded ones."""
        return join(self.signature.tensors, parts)

    def run(self, arrays: Arrays) -> Arrays:
        """The program's arrays for a batch."""
        return self.program.run(arrays)

    def decode(self, outputs: Arrays) -> list[Any]:
        """One answer per item, of what `run` gave; with several outputs an object of them."""
        outputs = self.program.finish(outputs)
        if len(self.signature.outputs) == 1:
            return self.signature.answer.decode(outputs)
        each = []
        for name, kind in self.signature.outputs.items():
            own = {key.removeprefix(f"{name}."): value for key, value in outputs.items() if key.startswith(f"{name}.")}
            each.append([(name, answer) for answer in kind.decode(own)])
        return [dict(pairs) for pairs in zip(*each)]

    def gap(self, a: Sequence[Any], b: Sequence[Any]) -> float:
        """The largest difference between two lists of answers."""
        if len(a) != len(b):
            return float("inf")
        kinds = self.signature.outputs
        if len(kinds) == 1:
            return max((self.signature.answer.gap(x, y) for x, y in zip(a, b)), default=0.0)
        return max((kind.gap(x[name], y[name]) for name, kind in kinds.items() for x, y in zip(a, b)), default=0.0)

    def outputs(self, items: Sequence[Any], batch: int = BATCH) -> Iterator[Arrays]:
        """The program's arrays, batch by batch."""
        for start in range(0, len(items), batch):
            yield self.run(self.encode(items[start : start + batch]))

    def features(self, items: Sequence[Any], batch: int = BATCH) -> np.ndarray:
        """What the items look like to the model, float32 (n, d): the last hidden layer where the runtime has the network
        itself, else the encoded item."""
        rows = [self._features(self.encode(items[start : start + batch])) for start in range(0, len(items), batch)]
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    def _features(self, arrays: Arrays) -> np.ndarray:
        parts = [r.features(arrays) if isinstance(r, Featured) else None for r in self.program.runtimes.values()]
        known = [part for part in parts if part is not None]
        encoded = [np.nan_to_num(a.reshape(len(a), -1).astype(np.float32)) for a in arrays.values()]
        return np.concatenate(known if len(known) == len(parts) else encoded, axis=1)

    def made(self, count: int) -> np.ndarray | None:
        """Items of the network's own; None where it makes none, or is not at hand itself."""
        (runtime, *others) = self.program.runtimes.values()
        return None if others or not isinstance(runtime, Making) else runtime.made(count)

    def __call__(self, items: Sequence[Any], batch: int = BATCH) -> list[Any]:
        """Answers for raw items, in order."""
        return [answer for arrays in self.outputs(items, batch) for answer in self.decode(arrays)]
