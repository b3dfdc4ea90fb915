"""The Open Inference Protocol, version 2, over REST: bodies to encoded tensors, and outputs to bodies.

A body is JSON, with numbers in it or, by the binary tensor extension, with the tensors' bytes behind it in the order of
the inputs; the header `inference-header-content-length` then says where the JSON ends, counted after decompression.
The tensors are the encoded inputs of the bundle's signature and the outputs of its graph.

Protocol  https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, extensions as Triton has them:
          binary_tensor_data, classification, statistics, model_configuration, model_repository
Differs   no sequences and no shared memory; a `timeout` is in microseconds, as Triton's
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from deepen.serving.bodies import MOST_ITEMS, unique
from deepen.serving.refusal import SHOWN, Refusal
from deepen.serving.tally import Tally
from deepen.signature import Signature
from deepen.tensors import Arrays, Tensor

HEADER = "inference-header-content-length"
MOST_TENSORS = 64
MOST_KNOWN, LONGEST_KNOWN = 256, 2000  # JSON of requests remembered, and its bytes
TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
DTYPES = {theirs: np.dtype(ours).newbyteorder("<") for ours, theirs in TYPES.items()}


class Given(msgspec.Struct):
    """An input of a request. `data` is read once its type is known."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: msgspec.Raw = msgspec.Raw()


class Wanted(msgspec.Struct):
    """An output that a request names."""

    name: str
    parameters: dict[str, Any] = {}


class Body(msgspec.Struct):
    """The JSON of a request."""

    inputs: list[Given]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


class Asked(msgspec.Struct):
    """What a request asks for: encoded items, and how the outputs are to be written.

    outputs  name -> classes to name per item; 0: the numbers themselves
    binary   names of the outputs wanted as bytes
    timeout  seconds; 0: not said
    """

    arrays: Arrays
    items: int
    outputs: dict[str, int]
    binary: frozenset[str] = frozenset()
    id: str = ""
    timeout: float = 0.0
    frames: dict[tuple[Any, ...], bytes] = {}  # JSON of answers in bytes to the same question, by their outputs' shapes


class Plan(NamedTuple):
    """What the JSON of a request in bytes says: the same for every request that begins with the same bytes."""

    asked: Asked
    parts: tuple[tuple[str, np.dtype[Any], tuple[int, ...], int, int], ...]  # name, type, shape, from, to
    size: int


decode = msgspec.json.Decoder(Body).decode
numbers = msgspec.json.Decoder(list[float]).decode
integers = msgspec.json.Decoder(list[int]).decode
look_twice = json.JSONDecoder(object_pairs_hook=unique).decode
booleans = msgspec.json.Decoder(list[bool]).decode


def bad(text: str, code: str = "request.tensor") -> Refusal:
    return Refusal(400, code, text)


# ---------------------------------------------------------------- requests


class Reader:
    """Reads the requests to one version. The JSON of requests in bytes repeats: it is read once and remembered."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.known: dict[bytes, Plan] = {}
        # what depends on values other than numbers that are finite is looked at anew in each request
        self.plain = all(t.join in {"stack", "pad"} and t.dtype != "bool" for t in signature.tensors)

    def read(self, headers: Mapping[str, str], body: bytes) -> Asked:
        """As `read` below."""
        length = headers.get(HEADER, "")
        if not (length.isascii() and length.isdecimal() and len(length) < 8 and self.plain):
            return read(self.signature, headers, body)
        end = int(length)
        plan = self.known.get(body[:end])
        if plan is None or len(body) - end != plan.size:
            asked = read(self.signature, headers, body)
            self._remember(body[:end], asked, len(body) - end)
            return asked
        tail = memoryview(body)[end:]
        arrays = {name: np.frombuffer(tail[a:b], dtype).reshape(shape) for name, dtype, shape, a, b in plan.parts}
        _no_infinite(arrays)
        return msgspec.structs.replace(plan.asked, arrays=arrays)

    def _remember(self, head: bytes, asked: Asked, size: int) -> None:
        if asked.id or len(head) > LONGEST_KNOWN or len(self.known) >= MOST_KNOWN:
            return
        parts, at = [], 0
        for one in decode(head).inputs:
            if "binary_data_size" not in one.parameters:
                return
            array, start = asked.arrays[one.name], at
            at += array.nbytes
            parts.append((one.name, array.dtype, array.shape, start, at))
        self.known[head] = Plan(msgspec.structs.replace(asked, arrays={}, frames={}), tuple(parts), size)


def read(signature: Signature, headers: Mapping[str, str], body: bytes) -> Asked:
    """What an uncompressed body asks for; a Refusal says what is wrong with it."""
    head, tail = _split(headers.get(HEADER), body)
    at = 0

    def take(one: Given, tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """An input's numbers, from its JSON or off the front of what is left behind it."""
        nonlocal at
        size = one.parameters.get("binary_data_size")
        if size is None:
            return _from_json(tensor, shape, one.data)
        if type(size) is not int or not 0 <= size <= len(tail) - at:
            raise bad(f"input {one.name!r}: binary_data_size {str(size)[:20]} of {len(tail) - at} bytes that are left")
        if len(bytes(one.data)):
            raise bad(f"input {one.name!r} has both data and binary_data_size")
        at += size
        return from_bytes(tensor, shape, tail[at - size : at])

    given = _document(head)
    arrays = taken(signature, given, take)
    if at != len(tail):
        raise bad(f"{len(tail) - at} bytes more than the inputs name")
    return asked(signature, given, arrays)


def taken(signature: Signature, given: Body, take: Callable[[Given, Tensor, tuple[int, ...]], np.ndarray]) -> Arrays:
    """The inputs of a request by name; `take` finds the numbers of one."""
    if not 1 <= len(given.inputs) <= MOST_TENSORS or len(given.outputs) > MOST_TENSORS:
        found = f"{len(given.inputs)} inputs and {len(given.outputs)} outputs"
        raise bad(f"{found}: expected 1 to {MOST_TENSORS} inputs")
    tensors = {tensor.name: tensor for tensor in signature.tensors}
    arrays: Arrays = {}
    for one in given.inputs:
        tensor = _expected(tensors, one.name, arrays)
        if "shared_memory_region" in one.parameters:
            raise bad(f"input {one.name!r}: shared memory is not offered; send the tensor's bytes")
        arrays[one.name] = take(one, tensor, _shape(tensor, one.datatype, one.shape))
    return arrays


def asked(signature: Signature, given: Body, arrays: Arrays) -> Asked:
    """A request whose inputs were taken, checked."""
    items = checked(signature, arrays)
    outputs, binary = _outputs(signature, given)
    return Asked(arrays, items, outputs, binary, given.id, seconds(given.parameters.get("timeout", 0)))


def _split(length: str | None, body: bytes) -> tuple[bytes | memoryview, memoryview]:
    """The JSON of a body and what stands behind it."""
    view = memoryview(body)
    if length is None:
        return body, view[:0]
    size = int(length) if length.isascii() and length.isdecimal() and len(length) < 20 else -1
    if not 0 < size <= len(body):
        text = f"{HEADER} is {length[:SHOWN]!r} where the body has {len(body)} bytes"
        raise bad(text, "request.header")
    return view[:size], view[size:]


def _document(head: bytes | memoryview) -> Body:
    """The JSON, typed. No key may stand twice in an object: the reader would silently take the last."""
    try:
        body = decode(head)
        text = bytes(head)
        for one in body.inputs:  # what may be megabytes of numbers is not looked at
            data = bytes(one.data)
            text = text.replace(data, b"0", 1) if data else text
        look_twice(text.decode())
    except RecursionError:
        raise bad("nested too deeply", "request.json") from None
    except (ValueError, msgspec.DecodeError) as problem:  # UnicodeDecodeError is a ValueError
        raise bad(f"not an inference request: {problem}", "request.json") from None
    return body


def _expected(tensors: Mapping[str, Tensor], name: str, arrays: Arrays) -> Tensor:
    if name not in tensors:
        raise bad(f"unknown input {name[:SHOWN]!r}; this model takes {', '.join(tensors)}")
    if name in arrays:
        raise bad(f"input {name!r} is given twice")
    return tensors[name]


def _shape(tensor: Tensor, datatype: str, shape: Sequence[int]) -> tuple[int, ...]:
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


def _from_json(tensor: Tensor, shape: tuple[int, ...], data: msgspec.Raw) -> np.ndarray:
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
    _no_infinite(arrays)
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


def _no_infinite(arrays: Arrays) -> None:
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


def seconds(timeout: Any) -> float:
    """A timeout parameter, in microseconds, as seconds; 0 where there is none."""
    if type(timeout) not in (int, float) or not 0 <= timeout < 1e15:
        raise bad(f"timeout {str(timeout)[:20]}: expected microseconds", "request.timeout")
    return timeout / 1e6


def _outputs(signature: Signature, given: Body) -> tuple[dict[str, int], frozenset[str]]:
    """Which outputs, as numbers or as classes, in JSON or as bytes."""
    names = [tensor.name for tensor in signature.output_tensors]
    default = given.parameters.get("binary_data_output", False) is True
    wanted: dict[str, int] = {}
    binary = set()
    for one in given.outputs or [Wanted(name) for name in names]:
        if "shared_memory_region" in one.parameters:
            raise bad(f"output {one.name[:SHOWN]!r}: shared memory is not offered")
        wanted[one.name] = _wanted(names, wanted, one)
        if one.parameters.get("binary_data", default) is True:
            binary.add(one.name)
    return wanted, frozenset(binary)


def _wanted(names: Sequence[str], wanted: Mapping[str, int], one: Wanted) -> int:
    count = one.parameters.get("classification", 0)
    if one.name not in names:
        raise bad(f"unknown output {one.name[:SHOWN]!r}; this model gives {', '.join(names)}")
    if one.name in wanted:
        raise bad(f"output {one.name!r} is named twice")
    if type(count) is not int or not 0 <= count < 1 << 31:
        raise bad(f"output {one.name!r}: classification {str(count)[:20]}: expected a whole number")
    return count


# ---------------------------------------------------------------- answers


def write(
    model: str, version: str, signature: Signature, asked: Asked, outputs: Arrays
) -> tuple[bytes, dict[str, str]]:
    """The body of an answer, and its headers."""
    if len(asked.binary) == len(asked.outputs) and not any(asked.outputs.values()):
        shapes = tuple(outputs[name].shape for name in asked.outputs)
        tail = [to_bytes(outputs[name]) for name in asked.outputs]
        text = asked.frames.get(shapes)
        if text is None:
            text, _ = _described(model, version, signature, asked, outputs)
            if len(asked.frames) < MOST_KNOWN:
                asked.frames[shapes] = text
        return b"".join([text, *tail]), {HEADER: str(len(text)), "content-type": "application/octet-stream"}
    text, tail = _described(model, version, signature, asked, outputs)
    if not tail:
        return text, {}
    return b"".join([text, *tail]), {HEADER: str(len(text)), "content-type": "application/octet-stream"}


def _described(
    model: str, version: str, signature: Signature, asked: Asked, outputs: Arrays
) -> tuple[bytes, list[bytes]]:
    """The JSON of an answer, and the bytes behind it."""
    head: dict[str, Any] = {"model_name": model, "model_version": version}
    if asked.id:
        head["id"] = asked.id
    described, tail = [], []
    for name, count in asked.outputs.items():
        array = outputs[name]
        texts = top(array, count, names_of(signature, name)) if count else None
        shape = list(array.shape) if texts is None else [len(texts), len(texts[0])]
        one: dict[str, Any] = {"name": name, "datatype": "BYTES" if texts else TYPES[array.dtype.name], "shape": shape}
        if name in asked.binary:
            data = to_bytes(array) if texts is None else pack_texts(texts)
            one["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            one["data"] = array.ravel().tolist() if texts is None else [t.decode() for row in texts for t in row]
        described.append(one)
    head["outputs"] = described
    return msgspec.json.encode(head), tail


def to_bytes(array: np.ndarray) -> bytes:
    """A tensor's bytes, little-endian, row by row."""
    little = array if array.dtype.str[0] in "<|" else array.astype(array.dtype.newbyteorder("<"))
    return little.tobytes()


def pack_texts(texts: Sequence[Sequence[bytes]]) -> bytes:
    """BYTES elements: each with its length before it, 4 bytes, little-endian."""
    return b"".join(len(text).to_bytes(4, "little") + text for row in texts for text in row)


def top(array: np.ndarray, count: int, names: Sequence[str]) -> list[list[bytes]]:
    """The largest `count` values of each item as "value:index:name"."""
    flat = array.reshape(len(array), -1)
    order = np.argsort(-flat.astype(np.float64), axis=1, kind="stable")[:, :count]
    ends = [f":{name}" for name in names] if len(names) == flat.shape[1] else [""] * flat.shape[1]
    return [
        [f"{flat[row, index]:f}:{index}{ends[index]}".encode() for index in indices.tolist()]
        for row, indices in enumerate(order)
    ]


def names_of(signature: Signature, output: str) -> Sequence[str]:
    """The class names behind the numbers of an output; none where the kind has none."""
    for name, kind in signature.outputs.items():
        if len(signature.outputs) == 1 or output.startswith(f"{name}."):
            return getattr(kind, "classes", ())
    return ()


# ---------------------------------------------------------------- what a model is


def sizes_of(tensor: Tensor) -> tuple[int, ...]:
    """The shape as the protocol writes it: -1 where it differs from request to request."""
    return tuple(size if isinstance(size, int) else -1 for size in tensor.shape)


def metadata(name: str, versions: Sequence[str], platform: str, signature: Signature) -> dict[str, Any]:
    """GET /v2/models/NAME."""

    def tensors(found: Sequence[Tensor]) -> list[dict[str, Any]]:
        return [{"name": t.name, "datatype": TYPES[t.dtype], "shape": list(sizes_of(t))} for t in found]

    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": tensors(signature.tensors),
        "outputs": tensors(signature.output_tensors),
    }


def configuration(name: str, platform: str, signature: Signature, largest: int, wait: float) -> dict[str, Any]:
    """GET /v2/models/NAME/config, in the form of Triton's. Where items are rows, the batch dimension is left out."""
    stacked = all(t.shape[:1] == ("batch",) for t in (*signature.tensors, *signature.output_tensors))

    def tensors(found: Sequence[Tensor]) -> list[dict[str, Any]]:
        return [
            {
                "name": t.name,
                "data_type": f"TYPE_{TYPES[t.dtype]}",
                "dims": list(sizes_of(t)[1 if stacked else 0 :]) or [1],
            }
            for t in found
        ]

    return {
        "name": name,
        "platform": platform,
        "max_batch_size": MOST_ITEMS if stacked else 0,
        "input": tensors(signature.tensors),
        "output": tensors(signature.output_tensors),
        "dynamic_batching": {"preferred_batch_size": [largest], "max_queue_delay_microseconds": round(wait * 1e6)},
    }


def statistics(name: str, version: str, tally: Tally) -> dict[str, Any]:
    """One entry of GET /v2/models/NAME/stats, in the form of Triton's; times in nanoseconds."""

    def span(count: int, seconds: float) -> dict[str, int]:
        return {"count": count, "ns": round(seconds * 1e9)}

    failed = sum(tally.errors.values())
    batches = tally.batches.count
    return {
        "name": name,
        "version": version,
        "last_inference": round(tally.last * 1e3),
        "inference_count": tally.items,
        "execution_count": batches,
        "inference_stats": {
            "success": span(tally.latency.count, tally.latency.sum),
            "fail": span(failed, tally.failed),
            "queue": span(tally.jobs, tally.waited),
            "compute_input": span(0, 0),
            "compute_infer": span(batches, tally.model),
            "compute_output": span(0, 0),
        },
        "batch_stats": [],
    }


def finite(outputs: Arrays) -> None:
    """A Refusal where an output is no number: nothing stands between the client's values and the graph."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Refusal(422, "request.values", f"output {name!r} for these values is not a finite number")
