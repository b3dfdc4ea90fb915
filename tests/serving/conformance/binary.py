"""What is asked over HTTP with tensors as bytes behind the JSON."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.serving.conformance.check import OK, REFUSED, Check
from tests.serving.conformance.client import HEADER, KEY, Target, Told, same
from tests.serving.conformance.rest import names

WHERE = "Binary Tensor Data Extension"
BINARY = {"parameters": {"binary_data_output": True}}


def ask(t: Target, items: int = 1, **more: Any) -> Told:
    inputs, tail = t.bytes(items)
    return t.infer({"inputs": inputs, **more}, tail)


def outputs(t: Target, **parameters: Any) -> dict[str, Any]:
    return {"outputs": [{**one, "parameters": parameters} for one in names(t)]}


def right(t: Target, told: Told, items: int = 1) -> bool:
    """Whether an answer has the numbers that JSON alone gets."""
    return told.status == 200 and same(t.outputs(told), t.outputs(t.infer({"inputs": t.inputs(items)})))


def sizes(told: Told) -> list[int]:
    return [one["parameters"]["binary_data_size"] for one in told.json["outputs"]]


def written(told: Told) -> bool:
    """Whether the numbers stand in the JSON."""
    return all("data" in one for one in told.json["outputs"]) and not told.tail


def squeezed(t: Target, how: str) -> Told:
    inputs, tail = t.bytes()
    text = json.dumps({"inputs": inputs}).encode()
    data = {"gzip": gzip.compress, "deflate": zlib.compress}[how](text + tail)
    return t.call(f"{t.model}/infer", data, content_encoding=how, **{KEY: str(len(text))})


def binary() -> Iterator[Check]:
    rows: list[tuple[str, str, Callable[[Target], Any]]] = [
        ("bytes in, no word of outputs", "as of JSON", lambda t: right(t, ask(t))),
        ("bytes in, no word of outputs", f"no {HEADER}", lambda t: HEADER not in ask(t).headers),
        ("bytes in, binary_data_output: true", "as of JSON", lambda t: right(t, ask(t, **BINARY))),
        ("bytes in, binary_data_output: true", "the length of the JSON in a header", lambda t: ask(t, **BINARY).json),
        ("bytes in, binary_data_output: true", "sizes that add up", lambda t: sum(sizes(told := ask(t, **BINARY))) == len(told.tail)),
        ("bytes in, binary_data_output: true", "no data in JSON", lambda t: all("data" not in o for o in ask(t, **BINARY).json["outputs"])),
        ("bytes in, binary_data_output: false", "data in JSON", lambda t: written(ask(t, parameters={"binary_data_output": False}))),
        ("bytes in, binary_data: true of outputs", "as of JSON", lambda t: right(t, ask(t, **outputs(t, binary_data=True)))),
        ("bytes in, binary_data: true of outputs", "bytes", lambda t: bool(ask(t, **outputs(t, binary_data=True)).tail)),
        ("bytes in, binary_data: false of outputs", "data in JSON", lambda t: written(ask(t, **outputs(t, binary_data=False)))),
        ("binary_data: false, binary_data_output: true", "data in JSON", lambda t: written(ask(t, **outputs(t, binary_data=False), **BINARY))),
        ("binary_data: true, binary_data_output: false", "bytes", lambda t: bool(ask(
            t, **outputs(t, binary_data=True), parameters={"binary_data_output": False}).tail)),
        ("JSON in, binary_data_output: true", "as of JSON", lambda t: right(t, t.infer({"inputs": t.inputs(), **BINARY}))),
        ("JSON in, binary_data_output: true", "bytes", lambda t: bool(t.infer({"inputs": t.inputs(), **BINARY}).tail)),
        ("JSON in with the length of it all in the header", OK, lambda t: t.infer(
            text := json.dumps({"inputs": t.inputs()}).encode(), **{KEY: str(len(text))}).status == 200),
        ("bytes out", "the same id", lambda t: ask(t, id="7", **BINARY).json["id"] == "7"),
        ("bytes out", "model_name and outputs", lambda t: ask(t, **BINARY).json["model_name"] == t.name),
        ("bytes in by gzip", "as of JSON", lambda t: right(t, squeezed(t, "gzip"))),
        ("bytes in by deflate", "as of JSON", lambda t: right(t, squeezed(t, "deflate"))),
        ("bytes in, content type application/octet-stream", OK, lambda t: t.infer(
            {"inputs": t.bytes()[0]}, t.bytes()[1], content_type="application/octet-stream").status == 200),
        ("bytes in to a version", OK, lambda t: t.infer(
            {"inputs": t.bytes()[0]}, t.bytes()[1], f"{t.model}/versions/{t.version}/infer").status == 200),
    ]  # fmt: skip
    for sent, must, holds in rows:
        yield Check("binary", sent, must, WHERE, holds, "binary_tensor_data")
    for items in (2, 33):
        yield Check(
            "binary", f"{items} items, bytes in and out", "as of JSON", WHERE,
            lambda t, items=items: right(t, ask(t, items, **BINARY), items), "binary_tensor_data batches",
        )  # fmt: skip


def mistakes() -> Iterator[Check]:
    def refused(change: Callable[[list[dict[str, Any]], bytes], tuple[bytes, str]]) -> Callable[[Target], Any]:
        """Whether a body is refused that `change` makes of inputs and bytes; it gives the header's value too."""

        def holds(t: Target) -> Any:
            data, length = change(*t.bytes())
            return t.call(f"{t.model}/infer", data, **{KEY: length}).refused and ask(t).status == 200

        return holds

    def framed(inputs: list[dict[str, Any]], tail: bytes, off: int = 0) -> tuple[bytes, str]:
        text = json.dumps({"inputs": inputs}).encode()
        return text + tail, str(len(text) + off)

    def sized(size: Any) -> Callable[[list[dict[str, Any]], bytes], tuple[bytes, str]]:
        return lambda inputs, tail: framed([{**inputs[0], "parameters": {"binary_data_size": size}}, *inputs[1:]], tail)

    changes: dict[str, Callable[[list[dict[str, Any]], bytes], tuple[bytes, str]]] = {
        "binary_data_size: -1": sized(-1), "binary_data_size: 0": sized(0), "binary_data_size: 2**63": sized(2**63),
        "binary_data_size: a text": sized("8"), "binary_data_size: null": sized([]), "binary_data_size: 1.5": sized(1.5),
        "a byte too few": lambda inputs, tail: framed(inputs, tail[:-1]),
        "a byte too many": lambda inputs, tail: framed(inputs, tail + b"x"),
        "no bytes": lambda inputs, tail: framed(inputs, b""),
        "data and bytes": lambda inputs, tail: framed([{**inputs[0], "data": [1]}, *inputs[1:]], tail),
        "another shape": lambda inputs, tail: framed([{**inputs[0], "shape": [9, *inputs[0]["shape"][1:]]}, *inputs[1:]], tail),
        "another datatype": lambda inputs, tail: framed([{**inputs[0], "datatype": "BYTES"}, *inputs[1:]], tail),
        "a header of 0": lambda inputs, tail: (framed(inputs, tail)[0], "0"),
        "a header of -1": lambda inputs, tail: (framed(inputs, tail)[0], "-1"),
        "a header that is no number": lambda inputs, tail: (framed(inputs, tail)[0], "x"),
        "a header one too small": lambda inputs, tail: framed(inputs, tail, -1),
        "a header one too large": lambda inputs, tail: framed(inputs, tail, 1),
        "a header beyond the body": lambda inputs, tail: framed(inputs, tail, 10**6),
    }  # fmt: skip
    for sent, change in changes.items():
        yield Check("binary", sent, REFUSED, WHERE, refused(change), "binary_tensor_data")
    yield Check("binary", "bytes without the header", REFUSED, WHERE, lambda t: t.call(
        f"{t.model}/infer", framed(*t.bytes())[0]).refused, "binary_tensor_data")  # fmt: skip
    yield Check("binary", "gzip that is none", REFUSED, WHERE, lambda t: t.call(
        f"{t.model}/infer", b"x", content_encoding="gzip").refused, "binary_tensor_data")  # fmt: skip
