"""The Open Inference Protocol over gRPC: a thin adapter around the same core, in the same loop.

Outputs are always answered as raw_output_contents, which is what clients read. What the protocol file leaves out is
answered with UNIMPLEMENTED by gRPC itself. Who may not ask is told so before the message is read.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from deepen.serving import inventory, messages, oip_answers, oip_pb2, oip_tensors
from deepen.serving.access import authorise
from deepen.serving.arrivals import Arrivals
from deepen.serving.batcher import Full
from deepen.serving.core import Core
from deepen.serving.model import Model
from deepen.serving.oip_tensors import bad
from deepen.serving.refusal import Refusal, leaving
from deepen.serving.rest import LIGHT_NUMBERS, LIGHT_TENSORS
from deepen.serving.rpc_request import read
from deepen.serving.version import Version

pb: Any = oip_pb2  # its names are made when it is imported
SERVICE = "inference.GRPCInferenceService"
MOST_CALLS = 256  # answered at one time; more are told RESOURCE_EXHAUSTED before their message is read
OPEN = {"ServerLive", "ServerReady"}  # need no token
ADMIN = {"RepositoryModelLoad", "RepositoryModelUnload"}  # change what is served
CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED, 404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED, 409: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED, 500: grpc.StatusCode.INTERNAL, 503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip  # whatever else: INVALID_ARGUMENT


Refused = tuple[grpc.StatusCode, str]


class Call(NamedTuple):
    """A message (None: it cannot be read), its length in bytes as it came, and under which id it is answered."""

    message: Any
    size: int
    context: Any = None
    id: str = ""


class Methods(grpc.GenericRpcHandler):
    """The methods of a service by the name they are called by."""

    def __init__(self, service: Service) -> None:
        self.called = service
        names = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
        self.known = {f"/{SERVICE}/{name}": self._method(name) for name in names}

    def service(self, details: Any) -> Any:
        """What answers a call, chosen while its message is still on the way."""
        name = details.method.rpartition("/")[2]
        found = self.known.get(details.method)
        try:
            if found is not None:
                self.called.admit(details.invocation_metadata, name)
        except (Refusal, Full) as problem:
            refused = self.called.told(problem, _id(), self.called.core.errors)

            async def refuse(stream: Any, context: Any) -> None:
                await context.abort(*refused)

            return grpc.stream_unary_rpc_method_handler(refuse)  # a stream is not read before it is asked for
        return found

    def _method(self, name: str) -> Any:
        async def answer(stream: Any, context: Any) -> Any:
            return await self.called.answer(getattr(self.called, name), context)

        def read(data: bytes) -> Call:
            try:
                return Call(message.FromString(data), len(data))
            except DecodeError:
                return Call(None, len(data))

        message, write = getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response").SerializeToString
        return grpc.stream_unary_rpc_method_handler(answer, read, write)


class Service:
    """The methods of the protocol, under their own names."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.arrivals, self.calls = Arrivals(), 0

    def admit(self, metadata: Iterable[tuple[str, Any]] | None, name: str) -> None:
        """Raise a Refusal, or Full, unless a call of this method that brings this may be answered."""
        if name in OPEN:
            return
        if self.calls >= MOST_CALLS:
            raise Full
        if self.core.leaving:  # calls under way are answered; a client that hears this goes elsewhere
            raise leaving()
        headers = {k: v for k, v in metadata or () if isinstance(v, str)}
        authorise({"authorization": headers.get("authorization", "")}, self.core.tokens[name in ADMIN])

    async def answer(self, method: Callable[[Call], Awaitable[Any]], context: Any) -> Any:
        """What a method answers, or a status that says in one sentence what is wrong."""
        answer, refused = await self._answered(method, context)
        if refused is not None:
            # gRPC and the place this is said in know each other until garbage is looked for: no message is known here
            await context.abort(*refused)
        return answer

    async def _answered(self, method: Callable[[Call], Awaitable[Any]], context: Any) -> tuple[Any, Refused | None]:
        """An answer, or what is said instead."""
        call = Call(None, 0, context, _id())
        try:
            message = await self.arrivals.next(context)
            if message is grpc.aio.EOF:
                raise bad("no message", "request.message")
            call = message._replace(context=context, id=call.id)
            return self._leaves(await self._answer(method, call)), None
        except Exception as problem:
            infer = isinstance(call.message, pb.ModelInferRequest)
            counts = self.core.counts(call.message.model_name) if infer else self.core.errors
            return None, self.told(problem, call.id, counts)

    async def _answer(self, method: Callable[[Call], Awaitable[Any]], call: Call) -> Any:
        """What a method answers to a message that is here, which counts until then."""
        if not self.core.hold(call.size):
            raise Full
        self.calls += 1
        try:
            if call.message is None:
                raise bad("this is not a message of that method", "request.message")
            return await method(call)
        finally:
            self.calls -= 1
            self.core.release(call.size)

    def _leaves(self, answer: Any) -> Any:
        """An answer, in memory until its client has taken it: then the call's task ends."""
        size, task = answer.ByteSize(), asyncio.current_task()
        assert task
        if not self.core.hold(size):
            raise Full
        task.add_done_callback(lambda _: self.core.release(size))
        return answer

    def told(self, problem: Exception, name: str, counts: Counter[str]) -> Refused:
        """The end of a call of this id with what went wrong."""
        refusal = messages.told(problem, name)
        if not getattr(problem, "counted", False):
            counts[refusal.code] += 1
        text = f"{refusal.error[: messages.MOST_TEXT]} ({refusal.code}, request {name})"
        messages.forget(problem)
        return CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT), text

    async def ServerLive(self, call: Call) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, call: Call) -> Any:
        return pb.ServerReadyResponse(ready=self.core.ready)

    async def ModelReady(self, call: Call) -> Any:
        return pb.ModelReadyResponse(ready=inventory.model_ready(self.core, call.message.name, call.message.version))

    async def ServerMetadata(self, call: Call) -> Any:
        return pb.ServerMetadataResponse(**inventory.about())

    async def ModelMetadata(self, call: Call) -> Any:
        return pb.ModelMetadataResponse(**inventory.metadata(self.core, call.message.name, call.message.version))

    async def ModelConfig(self, call: Call) -> Any:
        return pb.ModelConfigResponse(config=inventory.config(self.core, call.message.name, call.message.version))

    async def ModelStatistics(self, call: Call) -> Any:
        return pb.ModelStatisticsResponse(**inventory.stats(self.core, call.message.name, call.message.version))

    async def RepositoryIndex(self, call: Call) -> Any:
        rows = inventory.index(self.core)
        return pb.RepositoryIndexResponse(
            models=[row for row in rows if row["state"] == "READY" or not call.message.ready]
        )

    async def RepositoryModelLoad(self, call: Call) -> Any:
        await self.core.load(call.message.model_name)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, call: Call) -> Any:
        await self.core.unload(call.message.model_name)
        return pb.RepositoryModelUnloadResponse()

    async def ModelInfer(self, call: Call) -> Any:
        model = self.core.model(call.message.model_name)
        left = call.context.time_remaining()
        limit = self.core.options.timeout
        deadline = time.monotonic() + (limit if left is None or not math.isfinite(left) else min(left, limit))
        return await self.core.answered(
            model, call.message.model_version, lambda version: self._infer(model, version, call, deadline)
        )

    async def _infer(self, model: Model, version: Version, call: Call, deadline: float) -> tuple[int, Any]:
        signature, request = version.predictor.signature, call.message
        light = call.size <= (LIGHT_TENSORS if request.raw_input_contents else LIGHT_NUMBERS)
        asked = await self.core.read(light, deadline, read, signature, request)
        outputs = await self.core.infer(model, version, asked, deadline, light, call.id)
        response = pb.ModelInferResponse(model_name=model.name, model_version=version.name, id=asked.id)
        for output, count in asked.outputs.items():
            array = outputs[output]
            if count:
                texts = oip_answers.top(array, count, oip_answers.names_of(signature, output))
                response.outputs.add(name=output, datatype="BYTES", shape=[len(texts), len(texts[0])])
                response.raw_output_contents.append(oip_answers.pack_texts(texts))
            else:
                response.outputs.add(name=output, datatype=oip_tensors.TYPES[array.dtype.name], shape=array.shape)
                response.raw_output_contents.append(oip_tensors.to_bytes(array))
        return asked.items, response


def _id() -> str:
    return secrets.token_hex(8)
