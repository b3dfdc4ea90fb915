"""The Open Inference Protocol, version 2, over REST: bodies to encoded tensors (answers: oip_answers.py).

A body is JSON, with numbers in it or, by the binary tensor extension, with the tensors' bytes behind it in the order of
the inputs; the header `inference-header-content-length` then says where the JSON ends, counted after decompression.
The tensors are the encoded inputs of the bundle's signature and the outputs of its graph.

Protocol  https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, extensions as Triton has them:
          binary_tensor_data, classification, statistics, model_configuration, model_repository
Differs   no sequences and no shared memory; a `timeout` is in microseconds, as Triton's
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from deepen.serving.bodies import unique
from deepen.serving.oip_tensors import bad, checked, from_bytes, from_json, no_infinite, shape_of
from deepen.serving.refusal import SHOWN
from deepen.signature import Signature
from deepen.tensors import Arrays, Tensor

HEADER = "inference-header-content-length"
MOST_TENSORS = 64
MOST_KNOWN, LONGEST_KNOWN = 256, 2000  # JSON of requests remembered, and its bytes


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
look_twice = json.JSONDecoder(object_pairs_hook=unique).decode


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
        no_infinite(arrays)
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
            return from_json(tensor, shape, one.data)
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
        arrays[one.name] = take(one, tensor, shape_of(tensor, one.datatype, one.shape))
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
