"""What is asked over HTTP in JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.serving.conformance.check import OK, REFUSED, Check
from tests.serving.conformance.client import TYPES, Target, Told, same


def tensors(found: Any) -> bool:
    """Whether a list describes tensors as the protocol does."""
    return bool(found) and all(
        isinstance(one["name"], str)
        and one["datatype"] in TYPES
        and all(type(size) is int and size >= -1 for size in one["shape"])
        for one in found
    )


def get(path: str, at: Callable[[Told, Target], Any] = lambda told, _: told.status == 200) -> Callable[[Target], Any]:
    """What `at` says of the answer to a GET; M and V in the path stand for the model and its version."""
    return lambda t: at(t.call(path.replace("V", t.version).replace("M", t.name)), t)


def told(at: Callable[[Any, Target], Any]) -> Callable[[Target], Any]:
    """What `at` says of the plainest answer."""
    return lambda t: at(t.plain(), t)


def body(make: Callable[[Target], Any]) -> Callable[[Target], Any]:
    """Whether a body is refused, and the next plain request answered."""
    return lambda t: t.infer(make(t)).refused and t.infer({"inputs": t.inputs()}).status == 200


def first(**changes: Any) -> Callable[[Target], Any]:
    """The same of a request whose first input is changed."""
    return body(lambda t: {"inputs": t.inputs(**changes)})


def described(one: dict[str, Any], t: Target) -> bool:
    about = {each["name"]: each for each in t.metadata["outputs"]}[one["name"]]
    fits = all(size in (-1, found) for size, found in zip(about["shape"], one["shape"]))
    return one["datatype"] == about["datatype"] and len(about["shape"]) == len(one["shape"]) and fits


def rest() -> Iterator[Check]:
    """Over HTTP, in JSON."""
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/M/ready", "/v2/models/M/versions/V/ready"):
        yield Check("REST", f"GET {path}", OK, "V2 Health", get(path))
    missing = lambda answer, _: 400 <= answer.status < 500
    for path in ("/v2/models/no-such/ready", "/v2/models/M/versions/no-such/ready"):
        yield Check("REST", f"GET {path}", "4xx", "V2 Health", get(path, missing))
    for what, kind in (("name", str), ("version", str), ("extensions", list)):
        yield Check(
            "REST", "GET /v2", f"{what}: {kind.__name__}", "V2 Server Metadata",
            get("/v2", lambda answer, _, what=what, kind=kind: isinstance(answer.json[what], kind)),
        )  # fmt: skip
    yield Check("REST", "GET /v2", "every extension a text", "V2 Server Metadata",
                get("/v2", lambda answer, _: all(isinstance(one, str) for one in answer.json["extensions"])))  # fmt: skip
    yield Check("REST", "GET /v2", "JSON", "V2 Server Metadata",
                get("/v2", lambda answer, _: answer.headers["content-type"].startswith("application/json")))  # fmt: skip
    about: dict[str, Callable[[Told, Target], Any]] = {
        "name: as asked": lambda answer, t: answer.json["name"] == t.name,
        "versions: texts, if any": lambda answer, _: all(isinstance(v, str) for v in answer.json.get("versions", [])),
        "platform: text": lambda answer, _: isinstance(answer.json["platform"], str),
        "inputs: name, datatype, shape": lambda answer, _: tensors(answer.json["inputs"]),
        "outputs: name, datatype, shape": lambda answer, _: tensors(answer.json["outputs"]),
        "no name twice": lambda answer, _: all(
            len({one["name"] for one in answer.json[side]}) == len(answer.json[side]) for side in ("inputs", "outputs")
        ),
    }
    for path in ("/v2/models/M", "/v2/models/M/versions/V"):
        for must, at in about.items():
            yield Check("REST", f"GET {path}", must, "V2 Model Metadata", get(path, at))
    for path in ("/v2/models/no-such", "/v2/models/M/versions/no-such"):
        yield Check("REST", f"GET {path}", REFUSED, "V2 Model Metadata", get(path, lambda answer, _: answer.refused))
    answers: dict[str, Callable[[Any, Target], Any]] = {
        "model_name: as asked": lambda found, t: found["model_name"] == t.name,
        "model_version: text, if any": lambda found, _: isinstance(found.get("model_version", ""), str),
        "all outputs, as none is named": lambda found, t: (
            {o["name"] for o in found["outputs"]} == {o["name"] for o in t.metadata["outputs"]}
        ),
        "datatypes and shapes as in the metadata": lambda found, t: all(described(o, t) for o in found["outputs"]),
        "as many numbers as the shape says": lambda found, _: all(
            np.size(o["data"]) == math.prod(o["shape"]) for o in found["outputs"]
        ),
        "no id, as none was sent": lambda found, _: not found.get("id"),
        "no binary_data_size": lambda found, _: all("binary_data_size" not in str(o) for o in found["outputs"]),
    }
    for must, of in answers.items():
        yield Check("REST", "inference", must, "V2 Inference Response JSON Object", told(of))
    where = "V2 Inference Request JSON Object"
    same_as = lambda t, more, items=1: same(
        t.outputs(t.infer({"inputs": t.inputs(items), **more})), t.outputs(t.infer({"inputs": t.inputs(items)}))
    )
    yield Check("REST", "an id", "the same id", where,
                lambda t: t.infer({"id": "id-Ł-7", "inputs": t.inputs()}).json["id"] == "id-Ł-7")  # fmt: skip
    yield Check("REST", "the same twice", "the same numbers", where, lambda t: same_as(t, {}))
    yield Check(
        "REST", "empty parameters", "the same numbers", "V2 Parameters", lambda t: same_as(t, {"parameters": {}})
    )
    yield Check("REST", "empty outputs", "all of them", where, lambda t: same_as(t, {"outputs": []}))
    yield Check("REST", "every output by name", "those, in that order", where, lambda t: [
        one["name"] for one in t.infer({"inputs": t.inputs(), "outputs": names(t)[::-1]}).json["outputs"]
    ] == [one["name"] for one in names(t)[::-1]])  # fmt: skip
    yield Check("REST", "one output by name", "that one", where, lambda t: [
        one["name"] for one in t.infer({"inputs": t.inputs(), "outputs": names(t)[:1]}).json["outputs"]
    ] == [names(t)[0]["name"]])  # fmt: skip
    yield Check("REST", "empty parameters of an output", OK, "V2 Parameters", lambda t: t.infer(
        {"inputs": t.inputs(), "outputs": [{**names(t)[0], "parameters": {}}]}).status == 200)  # fmt: skip
    yield Check("REST", "empty parameters of an input", OK, "V2 Parameters",
                lambda t: t.infer({"inputs": t.inputs(parameters={})}).status == 200)  # fmt: skip
    yield Check("REST", "to a version by name", "that version", "V2 Inference", lambda t: t.infer(
        {"inputs": t.inputs()}, path=f"{t.model}/versions/{t.version}/infer").json.get("model_version") == t.version)  # fmt: skip
    yield Check("REST", "nested lists", "as of flat ones", "V2 Tensor Data", lambda t: same(
        t.outputs(t.infer({"inputs": t.inputs(data=next(iter(t.arrays().values())).tolist())})),
        t.outputs(t.infer({"inputs": t.inputs()}))))  # fmt: skip
    yield Check("REST", "JSON with spaces and lines", OK, "V2 Inference",
                lambda t: t.infer(json.dumps({"inputs": t.inputs()}, indent=4).encode()).status == 200)  # fmt: skip
    yield Check("REST", "names in \\u escapes", OK, "V2 Inference", lambda t: t.infer(json.dumps(
        {"inputs": t.inputs()}).replace(t.first["name"], "".join(f"\\u{ord(c):04x}" for c in t.first["name"])).encode()).status == 200)  # fmt: skip
    for header in ("application/json", "application/json; charset=utf-8"):
        yield Check("REST", f"content type {header}", OK, "V2 HTTP/REST",
                    lambda t, header=header: t.infer({"inputs": t.inputs()}, content_type=header).status == 200)  # fmt: skip
    yield Check("REST", "an inference", "content type JSON", "V2 HTTP/REST", lambda t: t.infer(
        {"inputs": t.inputs()}).headers["content-type"].startswith("application/json"))  # fmt: skip
    for items in (2, 7, 64):
        yield Check("REST", f"{items} items", f"{items} rows", "V2 Tensor Data", lambda t, items=items: all(
            one["shape"][0] == items for one in t.plain(items)["outputs"]), "batches")  # fmt: skip
    yield Check("REST", "two items", "each as alone, to rounding", "V2 Tensor Data", lambda t: all(np.allclose(
        one["data"][: len(one["data"]) // 2], alone["data"], atol=1e-5)
        for one, alone in zip(t.plain(2)["outputs"], t.plain(1)["outputs"])), "batches")  # fmt: skip


def names(t: Target) -> list[dict[str, Any]]:
    return [{"name": one["name"]} for one in t.metadata["outputs"]]


def mistakes() -> Iterator[Check]:
    """What is no request, over HTTP."""
    where = "V2 Inference Response JSON Error Object"
    bodies: dict[str, Callable[[Target], Any]] = {
        "nothing": lambda t: b"",
        "no JSON": lambda t: b"inputs",
        "JSON that is cut off": lambda t: json.dumps({"inputs": t.inputs()}).encode()[:-3],
        "JSON that goes on": lambda t: json.dumps({"inputs": t.inputs()}).encode() + b"}",
        "no UTF-8": lambda t: b'{"id": "\xff"}',
        "a list": lambda t: [],
        "null": lambda t: None,
        "no inputs": lambda t: {},
        "null for inputs": lambda t: {"inputs": None},
        "an object for inputs": lambda t: {"inputs": t.inputs()[0]},
        "empty inputs": lambda t: {"inputs": []},
        "a number for an input": lambda t: {"inputs": [7]},
        "an input twice": lambda t: {"inputs": t.inputs() + t.inputs()},
        "an unknown output": lambda t: {"inputs": t.inputs(), "outputs": [{"name": "no-such"}]},
        "an output without a name": lambda t: {"inputs": t.inputs(), "outputs": [{}]},
        "a number for an id": lambda t: {"inputs": t.inputs(), "id": 7},
        "a list for parameters": lambda t: {"inputs": t.inputs(), "parameters": [1]},
        "NaN": lambda t: json.dumps({"inputs": t.inputs()}).encode().replace(b"[", b"[NaN, ", 2),
        "one number too many": lambda t: {"inputs": t.inputs(data=[*t.inputs()[0]["data"], 1])},
        "one number too few": lambda t: {"inputs": t.inputs(data=t.inputs()[0]["data"][1:])},
        "texts for numbers": lambda t: {"inputs": t.inputs(data=[str(v) for v in t.inputs()[0]["data"]])},
        "null for a number": lambda t: {"inputs": t.inputs(data=[None, *t.inputs()[0]["data"][1:]])},
        "nested lists of unequal length": lambda t: {"inputs": t.inputs(data=[[1], t.inputs()[0]["data"][1:]])},
        "a dimension too many": lambda t: {"inputs": t.inputs(shape=[*t.inputs()[0]["shape"], 1])},
        "a dimension too few": lambda t: {"inputs": t.inputs(shape=t.inputs()[0]["shape"][1:])},
        "a larger shape": lambda t: {"inputs": t.inputs(shape=[9, *t.inputs()[0]["shape"][1:]])},
        "a negative shape": lambda t: {"inputs": t.inputs(shape=[-1, *t.inputs()[0]["shape"][1:]])},
        "a shape no memory holds": lambda t: {"inputs": t.inputs(shape=[2**62, *t.inputs()[0]["shape"][1:]])},
        "halves in a shape": lambda t: {"inputs": t.inputs(shape=[1.5, *t.inputs()[0]["shape"][1:]])},
    }  # fmt: skip
    for sent, make in bodies.items():
        yield Check("REST", sent, REFUSED, where, body(make))
    changes: dict[str, dict[str, Any]] = {
        "an unknown input": {"name": "no-such"}, "no name": {"name": None}, "no shape": {"shape": None},
        "no datatype": {"datatype": None}, "no data": {"data": None}, "another datatype": {"datatype": "BYTES"},
        "an unknown datatype": {"datatype": "FP31"}, "a datatype in small letters": {"datatype": "fp32"},
        "a text for a shape": {"shape": "[1]"}, "a text for data": {"data": "1"}, "an object for data": {"data": {}},
    }  # fmt: skip
    for sent, change in changes.items():
        yield Check("REST", sent, REFUSED, where, first(**change))
    for path in ("/v2/models/no-such/infer", "/v2/models/M/versions/no-such/infer"):
        yield Check("REST", f"inference at {path}", REFUSED, where, lambda t, path=path: t.infer(
            {"inputs": t.inputs()}, path=path.replace("M", t.name)).refused)  # fmt: skip
    yield Check("REST", "GET of inference", "4xx", "V2 HTTP/REST",
                lambda t: 400 <= t.call(f"{t.model}/infer").status < 500)  # fmt: skip
    yield Check("REST", "an unknown path", "4xx", "V2 HTTP/REST", lambda t: 400 <= t.call("/v2/no-such").status < 500)
