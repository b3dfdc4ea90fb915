"""Answers of the Open Inference Protocol: outputs of a graph to bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from deepen.serving.oip import HEADER, MOST_KNOWN, Asked
from deepen.serving.oip_tensors import TYPES, to_bytes
from deepen.signature import Signature
from deepen.tensors import Arrays


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
