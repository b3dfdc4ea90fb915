"""Tensors of the Open Inference Protocol: numbers and bytes of a request to arrays, checked, and arrays to bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.serving.bodies import MOST_ITEMS
from deepen.serving.refusal import SHOWN, Refusal
from deepen.signature import Signature
from deepen.tensors import Arrays, Tensor

TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
DTYPES = {theirs: np.dtype(ours).newbyteorder("<") for ours, theirs in TYPES.items()}

numbers = msgspec.json.Decoder(list[float]).decode
integers = msgspec.json.Decoder(list[int]).decode
booleans = msgspec.json.Decoder(list[bool]).decode


def bad(text: str, code: str = "request.tensor") -> Refusal:
    return Refusal(400, code, text)


def sizes_of(tensor: Tensor) -> tuple[int, ...]:
    """The shape as the protocol writes it: -1 where it differs from request to request."""
    return tuple(size if isinstance(size, int) else -1 for size in tensor.shape)


def shape_of(tensor: Tensor, datatype: str, shape: Sequence[int]) -> tuple[int, ...]:
    """A request's shape, if the tensor can have it."""
    wanted = TYPES[tensor.dtype]
    if datatype != wanted:
        raise bad(f"input {tensor.name!r} is {datatype[:20]}; expected {wanted}")
    right = len(shape) == len(tensor.shape) and all(
        0 <= size < 1 << 40 and (isinstance(fixed, str) or size == fixed) for size, fixed in zip(shape, tensor.shape)
    )
    if not right:
        found = str(list(shape[:9]))[:SHOWN]
        raise bad(f"input {tensor.name!r} has shape {found}; expected {list(sizes_of(tensor))}")
    return tuple(shape)


def from_json(tensor: Tensor, shape: tuple[int, ...], data: msgspec.Raw) -> np.ndarray:
    """The numbers of an input, flat or nested."""
    if not len(bytes(data)):
        raise bad(f"input {tensor.name!r} has no data")
    dtype = np.dtype(tensor.dtype)
    read_flat = {"f": numbers, "b": booleans}.get(dtype.kind, integers)
    try:
        try:
            values = np.asarray(read_flat(data))
        except msgspec.ValidationError:
            values = _nested(json.loads(bytes(data)), dtype.kind)
        if values.shape not in {shape, (math.prod(shape),)}:
            found = f"{values.size} values" if values.ndim == 1 else f"values of shape {list(values.shape)}"
            raise bad(f"input {tensor.name!r} has {found}; its shape says {list(shape)}")
        if dtype.kind in "iu" and values.size:
            values = values if values.dtype.kind in "iu" else values.astype(object)  # beyond 64 bits too
            if values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max:
                raise bad(f"input {tensor.name!r} holds a number that is no {TYPES[tensor.dtype]}")
        with np.errstate(over="ignore"):  # infinite numbers are refused below
            return values.astype(dtype).reshape(shape)
    except RecursionError:
        raise bad("nested too deeply", "request.json") from None
    except (ValueError, TypeError, OverflowError, msgspec.DecodeError) as problem:
        raise bad(f"input {tensor.name!r}: {problem}") from None


def _nested(values: Any, kind: str) -> np.ndarray:
    """Nested lists as an array; ValueError where they are no numbers of the kind, or of unequal length."""
    found = np.array(values, object)
    types = (bool,) if kind == "b" else (int, float) if kind == "f" else (int,)
    if not all(type(value) in types for value in found.flat):
        raise ValueError("not numbers of its type in lists of equal length")
    return found


def from_bytes(tensor: Tensor, shape: tuple[int, ...], data: memoryview | bytes) -> np.ndarray:
    """An input from its bytes, without a copy."""
    dtype = DTYPES[TYPES[tensor.dtype]]
    if len(data) != math.prod(shape) * dtype.itemsize:
        needed = math.prod(shape) * dtype.itemsize
        raise bad(f"input {tensor.name!r} has {len(data)} bytes; shape {list(shape)} of {dtype.name} has {needed}")
    if dtype.kind == "b":
        raw = np.frombuffer(data, np.uint8)
        if raw.size and raw.max() > 1:
            raise bad(f"input {tensor.name!r} holds a byte that is neither 0 nor 1")
    return np.frombuffer(data, dtype).reshape(shape)


def checked(signature: Signature, arrays: Arrays) -> int:
    """The items of a request whose tensors fit each other; a Refusal where they do not.

    Whatever a graph would trip over, or read its neighbours' rows by, is told here.
    """
    known: dict[str, int] = {}
    missing = [tensor.name for tensor in signature.tensors if tensor.name not in arrays]
    if missing:
        raise bad(f"input {missing[0]!r} is missing")
    for tensor in signature.tensors:
        array = arrays[tensor.name]
        for name, size in zip(tensor.shape, array.shape):
            if isinstance(name, str) and known.setdefault(name, size) != size:
                raise bad(f"input {tensor.name!r} has {size} {name} where another input has {known[name]}")
    no_infinite(arrays)
    items = known["batch"] if "batch" in known else _counted(signature, arrays)
    if items < 1 or not all(
        size for t in signature.tensors if t.join in {"stack", "pad"} for size in arrays[t.name].shape
    ):
        raise Refusal(400, "request.empty", "no items: every dimension must be at least 1")
    if items > MOST_ITEMS:
        raise Refusal(413, "request.items", f"{items} items, at most {MOST_ITEMS} in a request")
    for tensor in signature.tensors:
        if tensor.join == "shift":
            array, most = arrays[tensor.name], known.get(tensor.of, items)
            if array.size and not (array.min() >= 0 and array.max() < most):
                raise bad(f"input {tensor.name!r} names a place outside 0 to {most - 1}")
    return items


def no_infinite(arrays: Arrays) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isinf(array).any():
            raise bad(f"input {name!r} holds a number that is infinite")


def _counted(signature: Signature, arrays: Arrays) -> int:
    """The items where no shape counts them: the numbers that name them do, and every one occurs."""
    for tensor in signature.tensors:
        if tensor.join == "shift" and tensor.of == "batch":
            found = np.unique(arrays[tensor.name])
            if len(found) and (found[0] != 0 or found[-1] != len(found) - 1):
                raise bad(f"input {tensor.name!r} leaves out an item: expected 0, 1, ... without a gap")
            return len(found)
    return 1


def to_bytes(array: np.ndarray) -> bytes:
    """A tensor's bytes, little-endian, row by row."""
    little = array if array.dtype.str[0] in "<|" else array.astype(array.dtype.newbyteorder("<"))
    return little.tobytes()


def finite(outputs: Arrays) -> None:
    """A Refusal where an output is no number: nothing stands between the client's values and the graph."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Refusal(422, "request.values", f"output {name!r} for these values is not a finite number")
