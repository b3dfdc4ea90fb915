"""What a gRPC message of inference asks for, its numbers raw or typed, looked at before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from deepen.serving import oip, oip_tensors
from deepen.serving.oip_tensors import bad
from deepen.tensors import Tensor

MOST_SIZES = 16  # dimensions of a tensor
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip


def read(signature: Any, request: Any) -> oip.Asked:
    """What a request asks for, its numbers raw or typed."""
    _few(request)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise bad(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    if raw and any(one.HasField("contents") for one in request.inputs):
        raise bad("raw_input_contents and contents are both set")
    given = oip.Body(
        inputs=[oip.Given(t.name, list(t.shape), t.datatype, _plain(t.parameters)) for t in request.inputs],
        id=request.id,
        parameters=_plain(request.parameters),
        outputs=[oip.Wanted(t.name, _plain(t.parameters)) for t in request.outputs],
    )
    order = iter(range(len(request.inputs)))

    def take(one: oip.Given, tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        at = next(order)
        return (
            oip_tensors.from_bytes(tensor, shape, raw[at])
            if raw
            else _typed(tensor, shape, request.inputs[at].contents)
        )

    return oip.asked(signature, given, oip.taken(signature, given, take))


def _few(request: Any) -> None:
    """A Refusal where there are more parts than any request has, before anything is made of them."""
    if max(len(request.inputs), len(request.outputs)) > oip.MOST_TENSORS:
        raise bad(f"{len(request.inputs)} inputs and {len(request.outputs)} outputs, at most {oip.MOST_TENSORS}")
    if any(len(one.shape) > MOST_SIZES for one in request.inputs):
        raise bad(f"a shape of more than {MOST_SIZES} dimensions")
    if max(len(one.parameters) for one in (request, *request.inputs, *request.outputs)) > oip.MOST_TENSORS:
        raise bad(f"more than {oip.MOST_TENSORS} parameters")


def _typed(tensor: Tensor, shape: tuple[int, ...], contents: Any) -> np.ndarray:
    """An input's numbers from the field for its type."""
    datatype = oip_tensors.TYPES[tensor.dtype]
    field = CONTENTS.get(datatype)
    if field is None:
        raise bad(f"input {tensor.name!r}: {datatype} goes as raw_input_contents")
    given = getattr(contents, field)
    if len(given) != math.prod(shape):  # before anything is made of them
        raise bad(f"input {tensor.name!r} has {len(given)} values in {field}; its shape says {list(shape)}")
    values = np.array(given)
    array = values.astype(tensor.dtype)
    if values.dtype.kind in "iu" and (array != values).any():
        raise bad(f"input {tensor.name!r} holds a number that is no {datatype}")
    return array.reshape(shape)


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the JSON form has them."""
    kinds = {name: one.WhichOneof("parameter_choice") for name, one in parameters.items()}
    return {name: getattr(parameters[name], kind) for name, kind in kinds.items() if kind}
