"""A bare client of the Open Inference Protocol, which makes what it sends from what a server says of its model."""

from __future__ import annotations

import http.client
import json
import math
import urllib.parse
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

TYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BYTES": "O",
}  # fmt: skip
FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip
HEADER = "inference-header-content-length"
KEY = HEADER.replace("-", "_")


class Told(NamedTuple):
    """An answer. `json` reads what stands before the bytes of tensors, if there are any."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data[: int(self.headers.get(HEADER, len(self.data)))])

    @property
    def tail(self) -> bytes:
        return self.data[int(self.headers.get(HEADER, len(self.data))) :]

    @property
    def refused(self) -> bool:
        """Whether it is an error as the protocol writes it, and the client's."""
        return 400 <= self.status < 500 and isinstance(self.json["error"], str) and bool(self.json["error"])


class Target:
    """A server and one of its models: `url` may end in /v2/models/NAME, else the first of its repository is taken."""

    def __init__(self, url: str, grpc: str = "") -> None:
        split = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        kind = http.client.HTTPSConnection if split.scheme == "https" else http.client.HTTPConnection
        self.link = kind(split.netloc, timeout=20)
        base, _, self.name = split.path.partition("/v2/models/")
        self.base = base.rstrip("/")
        self.name = self.name.strip("/") or self.call("/v2/repository/index", b"{}").json[0]["name"]
        self.model = f"/v2/models/{self.name}"
        self.about = self.call("/v2").json
        self.metadata = self.call(self.model).json
        self.version = (self.metadata.get("versions") or ["1"])[-1]
        self.grpc = grpc.removeprefix("grpc://")
        self.offers = {*self.about.get("extensions", []), *(["grpc"] if grpc else [])}
        shapes = [one["shape"] for one in (*self.metadata["inputs"], *self.metadata["outputs"])]
        if all(shape[:1] == [-1] for shape in shapes):
            self.offers.add("batches")

    def call(self, path: str, body: bytes | None = None, method: str = "", **headers: str) -> Told:
        """One request; names of headers with _ for -."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.link.request(method or ("GET" if body is None else "POST"), self.base + path, body, given)
        answer = self.link.getresponse()
        return Told(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def infer(self, document: Any, tail: bytes = b"", path: str = "", **headers: str) -> Told:
        """An inference request, with its tensors' bytes behind it where there are any."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        if tail and KEY not in headers:
            headers[KEY] = str(len(text))
        return self.call(path or f"{self.model}/infer", text + tail, **headers)

    @cached_property
    def first(self) -> dict[str, Any]:
        """What the model says of its first input."""
        return self.metadata["inputs"][0]

    def arrays(self, items: int = 1) -> dict[str, np.ndarray]:
        """Numbers for every input."""
        rng = np.random.default_rng(0)
        found = {}
        for one in self.metadata["inputs"]:
            shape = [size if size != -1 else (items if at == 0 else 1) for at, size in enumerate(one["shape"])]
            found[one["name"]] = rng.integers(0, 2, (64, *shape[1:]))[: shape[0]].astype(TYPES[one["datatype"]])
        return found

    def inputs(self, items: int = 1, **changes: Any) -> list[dict[str, Any]]:
        """Every input with its numbers in JSON; `changes` to the first of them (None: left out)."""
        types = {one["name"]: one["datatype"] for one in self.metadata["inputs"]}
        found = [
            {"name": name, "shape": list(array.shape), "datatype": types[name], "data": array.ravel().tolist()}
            for name, array in self.arrays(items).items()
        ]
        found[0] = {name: value for name, value in {**found[0], **changes}.items() if value is not None}
        return found

    def bytes(self, items: int = 1, **changes: Any) -> tuple[list[dict[str, Any]], bytes]:
        """The same as bytes."""
        arrays = self.arrays(items)
        found = [{name: value for name, value in one.items() if name != "data"} for one in self.inputs(items)]
        for one in found:
            one["parameters"] = {"binary_data_size": arrays[one["name"]].nbytes}
        found[0] = {**found[0], **changes}
        return found, b"".join(array.tobytes() for array in arrays.values())

    def plain(self, items: int = 1) -> dict[str, Any]:
        """The answer in JSON to the plainest request."""
        return self.infer({"inputs": self.inputs(items)}).json

    def outputs(self, told: Told) -> dict[str, np.ndarray]:
        """The tensors of an answer, however they are written."""
        at, found = 0, {}
        for one in told.json["outputs"]:
            dtype = np.dtype(TYPES[one["datatype"]])
            if "data" in one:
                array = np.array(one["data"], dtype)
            else:
                size = one["parameters"]["binary_data_size"]
                raw, at = told.tail[at : at + size], at + size
                array = np.array(texts(raw), object) if dtype.kind == "O" else np.frombuffer(raw, dtype)
            assert array.size == math.prod(one["shape"])
            found[one["name"]] = array.reshape(one["shape"])
        assert at == len(told.tail)
        return found

    # ---------------------------------------------------------------- gRPC

    @cached_property
    def channel(self) -> Any:
        import grpc

        most = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        return grpc.insecure_channel(self.grpc, options=most)

    def rpc(self, method: str, request: Any = None, **fields: Any) -> Any:
        """The answer of a method, or the name of the status it failed with. A request may be bytes, whatever they are."""
        import grpc

        from deepen.serving import oip_pb2 as pb

        made = getattr(pb, f"{method}Request")(**fields) if request is None else request
        ask = self.channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            bytes if isinstance(made, bytes) else type(made).SerializeToString,
            getattr(pb, f"{method}Response", pb.ServerLiveResponse).FromString,
        )
        try:
            return ask(made, timeout=20, wait_for_ready=True)
        except grpc.RpcError as problem:
            return problem.code().name

    def message(self, items: int = 1, typed: bool = False, **changes: Any) -> Any:
        """An inference request; `changes` to its first input."""
        from deepen.serving import oip_pb2 as pb

        request = pb.ModelInferRequest(model_name=self.name)
        for at, (one, array) in enumerate(zip(self.inputs(items), self.arrays(items).values())):
            given = {"name": one["name"], "datatype": one["datatype"], "shape": one["shape"]}
            tensor = request.inputs.add(**{**given, **(changes if at == 0 else {})})
            if typed:
                getattr(tensor.contents, FIELDS[one["datatype"]]).extend(array.ravel().tolist())
            else:
                request.raw_input_contents.append(array.tobytes())
        return request

    def raw(self, answer: Any) -> dict[str, np.ndarray]:
        """The tensors of an answer over gRPC."""
        found = {}
        for one, data in zip(answer.outputs, answer.raw_output_contents):
            dtype = np.dtype(TYPES[one.datatype])
            array = np.array(texts(data), object) if dtype.kind == "O" else np.frombuffer(data, dtype)
            found[one.name] = array.reshape(one.shape)
        return found


def texts(data: bytes) -> list[str]:
    """BYTES elements: each with its length before it."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "little")
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return found


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether two answers are equal bit for bit."""
    return a.keys() == b.keys() and all(
        a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes() for name in a
    )
