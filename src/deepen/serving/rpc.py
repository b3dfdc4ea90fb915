"""The Open Inference Protocol over gRPC: a thin adapter around the same core, in the same loop.

Outputs are always answered as raw_output_contents, which is what clients read. What the protocol file leaves out is
answered with UNIMPLEMENTED by gRPC itself.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from deepen.serving import messages, oip, oip_pb2
from deepen.serving.access import authorise
from deepen.serving.bodies import LARGEST_BODY
from deepen.serving.core import LIGHT_NUMBERS, LIGHT_TENSORS, Core
from deepen.serving.model import Model
from deepen.serving.version import Version
from deepen.tensors import Tensor

pb: Any = oip_pb2  # its names are made when it is imported
SERVICE = "inference.GRPCInferenceService"
GRACE = 8  # seconds for requests under way once it stops
OPTIONS = [
    ("grpc.max_receive_message_length", LARGEST_BODY),
    ("grpc.max_send_message_length", LARGEST_BODY),
    ("grpc.so_reuseport", 1),
    ("grpc.max_concurrent_streams", 1024),
    ("grpc.keepalive_permit_without_calls", 1),
]
CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED, 404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION, 429: grpc.StatusCode.RESOURCE_EXHAUSTED, 500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE, 504: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip  # whatever else: INVALID_ARGUMENT
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip


async def serve(core: Core, bound: socket.socket, cert: str | None = None, key: str | None = None) -> None:
    """Answer at the address of a socket that keeps the port, until cancelled; requests under way are finished."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((handlers(Service(core)),))
    host, port = bound.getsockname()[:2]
    address = f"{f'[{host}]' if ':' in host else host}:{port}"
    if cert is not None and key is not None:
        pair = (Path(key).read_bytes(), Path(cert).read_bytes())
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    await server.start()
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop(GRACE)


def handlers(service: Service) -> Any:
    """The methods by name, with their messages."""

    def one(name: str) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            return await service.answer(getattr(service, name), request, context)

        response = getattr(pb, f"{name}Response")
        return grpc.unary_unary_rpc_method_handler(
            answer, getattr(pb, f"{name}Request").FromString, response.SerializeToString
        )

    names = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    return grpc.method_handlers_generic_handler(SERVICE, {name: one(name) for name in names})


class Service:
    """The methods of the protocol, under their own names."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def answer(self, method: Callable[..., Awaitable[Any]], request: Any, context: Any) -> Any:
        """What a method answers, or a status that says in one sentence what is wrong."""
        name = secrets.token_hex(8)
        try:
            if method.__name__ not in {"ServerLive", "ServerReady"}:
                headers = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
                authorise({"authorization": headers.get("authorization", "")}, self.core.options.token)
            return await method(request, context, name)
        except Exception as problem:
            refusal = messages.told(problem, name)
            if not getattr(problem, "counted", False):
                self.core.errors[refusal.code] += 1
            text = f"{refusal.error[: messages.MOST_TEXT]} ({refusal.code}, request {name})"
            await context.abort(CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT), text)

    async def ServerLive(self, request: Any, context: Any, name: str) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any, name: str) -> Any:
        return pb.ServerReadyResponse(ready=self.core.ready)

    async def ModelReady(self, request: Any, context: Any, name: str) -> Any:
        return pb.ModelReadyResponse(ready=self.core.model_ready(request.name, request.version))

    async def ServerMetadata(self, request: Any, context: Any, name: str) -> Any:
        return pb.ServerMetadataResponse(**self.core.about())

    async def ModelMetadata(self, request: Any, context: Any, name: str) -> Any:
        return pb.ModelMetadataResponse(**self.core.metadata(request.name, request.version))

    async def ModelConfig(self, request: Any, context: Any, name: str) -> Any:
        return pb.ModelConfigResponse(config=self.core.config(request.name, request.version))

    async def ModelStatistics(self, request: Any, context: Any, name: str) -> Any:
        return pb.ModelStatisticsResponse(**self.core.stats(request.name, request.version))

    async def RepositoryIndex(self, request: Any, context: Any, name: str) -> Any:
        rows = self.core.index()
        return pb.RepositoryIndexResponse(models=[row for row in rows if row["state"] == "READY" or not request.ready])

    async def RepositoryModelLoad(self, request: Any, context: Any, name: str) -> Any:
        await self.core.load(request.model_name)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, context: Any, name: str) -> Any:
        await self.core.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    async def ModelInfer(self, request: Any, context: Any, name: str) -> Any:
        model = self.core.model(request.model_name)
        left = context.time_remaining()
        limit = self.core.options.timeout
        deadline = time.monotonic() + (limit if left is None or not math.isfinite(left) else min(left, limit))
        return await self.core.answered(
            model, request.model_version, lambda version: self._infer(model, version, request, deadline, name)
        )

    async def _infer(self, model: Model, version: Version, request: Any, deadline: float, name: str) -> tuple[int, Any]:
        signature = version.predictor.signature
        light = request.ByteSize() <= (LIGHT_TENSORS if request.raw_input_contents else LIGHT_NUMBERS)
        asked = await self.core.read(light, read, signature, request)
        outputs = await self.core.infer(model, version, asked, deadline, light, name)
        response = pb.ModelInferResponse(model_name=model.name, model_version=version.name, id=asked.id)
        for output, count in asked.outputs.items():
            array = outputs[output]
            if count:
                texts = oip.top(array, count, oip.names_of(signature, output))
                response.outputs.add(name=output, datatype="BYTES", shape=[len(texts), len(texts[0])])
                response.raw_output_contents.append(oip.pack_texts(texts))
            else:
                response.outputs.add(name=output, datatype=oip.TYPES[array.dtype.name], shape=array.shape)
                response.raw_output_contents.append(oip.to_bytes(array))
        return asked.items, response


def read(signature: Any, request: Any) -> oip.Asked:
    """What a request asks for, its numbers raw or typed."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise oip.bad(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    if raw and any(one.HasField("contents") for one in request.inputs):
        raise oip.bad("raw_input_contents and contents are both set")
    given = oip.Body(
        inputs=[oip.Given(t.name, list(t.shape), t.datatype, _plain(t.parameters)) for t in request.inputs],
        id=request.id,
        parameters=_plain(request.parameters),
        outputs=[oip.Wanted(t.name, _plain(t.parameters)) for t in request.outputs],
    )
    order = iter(range(len(request.inputs)))

    def take(one: oip.Given, tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        at = next(order)
        return oip.from_bytes(tensor, shape, raw[at]) if raw else _typed(tensor, shape, request.inputs[at].contents)

    return oip.asked(signature, given, oip.taken(signature, given, take))


def _typed(tensor: Tensor, shape: tuple[int, ...], contents: Any) -> np.ndarray:
    """An input's numbers from the field for its type."""
    datatype = oip.TYPES[tensor.dtype]
    field = CONTENTS.get(datatype)
    if field is None:
        raise oip.bad(f"input {tensor.name!r}: {datatype} goes as raw_input_contents")
    given = getattr(contents, field)
    if len(given) != math.prod(shape):  # before anything is made of them
        raise oip.bad(f"input {tensor.name!r} has {len(given)} values in {field}; its shape says {list(shape)}")
    values = np.array(given)
    array = values.astype(tensor.dtype)
    if values.dtype.kind in "iu" and (array != values).any():
        raise oip.bad(f"input {tensor.name!r} holds a number that is no {datatype}")
    return array.reshape(shape)


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the JSON form has them."""
    kinds = {name: one.WhichOneof("parameter_choice") for name, one in parameters.items()}
    return {name: getattr(parameters[name], kind) for name, kind in kinds.items() if kind}
