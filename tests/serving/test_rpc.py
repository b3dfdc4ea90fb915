"""gRPC: the same core, the same answers, a status and a sentence for what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import re
import socket
import threading
import time
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("google.protobuf")

from deepen.errors import DeepenError  # noqa: E402
from deepen.preprocess.array import Array  # noqa: E402
from deepen.preprocess.graph import Graph  # noqa: E402
from deepen.preprocess.image import Image  # noqa: E402
from deepen.serving import application, arrivals, http, oip_tensors, rpc, rpc_request, rpc_server  # noqa: E402
from deepen.serving.refusal import Refusal  # noqa: E402
from deepen.serving.rpc import pb  # noqa: E402
from deepen.serving.sockets import listen  # noqa: E402
from tests.serving.fakes import only, service  # noqa: E402
from tests.serving.test_http import Server  # noqa: E402
from tests.serving.test_oip import RAW, X, right  # noqa: E402


def caller(channel):
    """`call(method, request)` gives the response or the status and its text."""

    async def call(method, request, metadata=(), timeout=20.0):
        plain = isinstance(request, bytes)  # whatever it is
        ask = channel.unary_unary(
            f"/{rpc.SERVICE}/{method}",
            bytes if plain else type(request).SerializeToString,
            getattr(pb, f"{method}Response").FromString,
        )
        try:
            return await ask(request, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as problem:
            return problem.code().name, problem.details()

    return call


def talk(core, story):
    """Run a story against a server, with a `call` to it."""

    async def all_of_it():
        with listen("127.0.0.1", 0, reserve=True) as bound:
            await answered(bound)

    async def answered(bound):
        way = rpc_server.RpcServer(core, bound)
        await way.open()
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            await channel.channel_ready()
            call = caller(channel)
            call.channel, call.port, call.way = channel, bound.getsockname()[1], way
            try:
                await story(call)
            finally:
                core.leaving = True
                await way.close()

    try:
        asyncio.run(all_of_it())
    finally:
        core.close()


def infer(raw=RAW, typed=None, shape=(2, 3), datatype="FP32", name="array", **more):
    request = pb.ModelInferRequest(model_name="m", **more)
    one = request.inputs.add(name=name, datatype=datatype, shape=shape)
    if typed is not None:
        one.contents.fp32_contents.extend(typed)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def test_raw_and_typed_numbers_get_the_same_answer_as_in_process():
    core = service(Array((3,)), small=True)

    async def story(call):
        for request in (infer(), infer(raw=None, typed=X.ravel().tolist())):
            response = await call("ModelInfer", request)
            (output,) = response.outputs
            assert (output.name, output.datatype, list(output.shape)) == ("probabilities", "FP32", [2, 2])
            assert response.raw_output_contents[0] == right().tobytes()
            assert not output.HasField("contents")
        request = infer(id="seven")
        request.outputs.add(name="probabilities").parameters["classification"].int64_param = 1
        response = await call("ModelInfer", request)
        assert response.id == "seven"
        assert (response.outputs[0].datatype, list(response.outputs[0].shape)) == ("BYTES", [2, 1])
        assert response.raw_output_contents[0][4:].startswith(b"%f:0:" % right()[0, 0])
        many = np.zeros((1024, 3), np.float32)
        assert len((await call("ModelInfer", infer(many.tobytes(), shape=many.shape))).raw_output_contents[0]) == 8192

    talk(core, story)


def test_a_message_goes_with_what_it_is_told():
    """What is wrong with it would keep it until garbage is next looked for, after thousands of calls."""
    core = service(Array((3,)))

    async def story(call):
        wrong = [infer(name="x"), infer(raw=bytes(20)), infer(raw=None), pb.ModelInferRequest(model_name="n")]
        for request in wrong:
            await call("ModelInfer", request)
        gc.collect()
        gc.disable()
        for request in wrong:
            assert (await call("ModelInfer", request))[0] in {"INVALID_ARGUMENT", "NOT_FOUND"}
        await asyncio.sleep(0)
        assert not [one for one in gc.get_objects() if type(one) is rpc.Call and one.message is not None]

    try:
        talk(core, story)
    finally:
        gc.enable()


def test_messages_larger_than_grpcs_own_limit():
    core = service(Image(96, 96, 3))

    async def story(call):
        many = np.zeros((200, 96, 96, 3), np.uint8)  # 5.5 MB; gRPC would stop at 4
        response = await call("ModelInfer", infer(many.tobytes(), None, many.shape, "UINT8", "image"))
        assert list(response.outputs[0].shape) == [200, 2]
        more = bytes(40 << 20)
        status, _ = await call("ModelInfer", infer(more, None, (1, 96, 96, 3), "UINT8", "image"))
        assert status == "RESOURCE_EXHAUSTED"

    talk(core, story)


def test_what_is_there():
    core = service(Array((3,)))

    async def story(call):
        assert (await call("ServerLive", pb.ServerLiveRequest())).live
        assert (await call("ServerReady", pb.ServerReadyRequest())).ready
        assert (await call("ModelReady", pb.ModelReadyRequest(name="m", version="1"))).ready
        assert "statistics" in (await call("ServerMetadata", pb.ServerMetadataRequest())).extensions
        about = await call("ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert [(t.name, t.datatype, list(t.shape)) for t in about.inputs] == [("array", "FP32", [-1, 3])]
        config = (await call("ModelConfig", pb.ModelConfigRequest(name="m"))).config
        assert (config.input[0].data_type, list(config.input[0].dims)) == (pb.TYPE_FP32, [3])
        assert config.dynamic_batching.preferred_batch_size == [32]
        await call("ModelInfer", infer())
        (stats,) = (await call("ModelStatistics", pb.ModelStatisticsRequest(name="m"))).model_stats
        assert (stats.inference_count, stats.inference_stats.success.count) == (2, 1)
        (row,) = (await call("RepositoryIndex", pb.RepositoryIndexRequest())).models
        assert (row.name, row.version, row.state) == ("m", "1", "READY")
        await call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="m"))
        assert not (await call("ModelReady", pb.ModelReadyRequest(name="m"))).ready
        assert (await call("ModelInfer", infer()))[0] == "NOT_FOUND"
        core.default.loaded, core.default.broken = True, "golden answers differ"
        assert (await call("ModelInfer", infer()))[0] == "UNAVAILABLE"
        assert not (await call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))).models

    talk(core, story)


def two_raw():
    request = infer()
    request.raw_input_contents.append(b"")
    return request


def with_timeout(microseconds):
    request = infer()
    request.parameters["timeout"].int64_param = microseconds
    return request


BAD = [
    (infer(raw=None), "INVALID_ARGUMENT", "has 0 values in fp32_contents"),
    (infer(typed=X.ravel().tolist()), "INVALID_ARGUMENT", "raw_input_contents and contents are both set"),
    (two_raw(), "INVALID_ARGUMENT", "2 raw_input_contents for 1 inputs"),
    (infer(X.tobytes()[:-1]), "INVALID_ARGUMENT", "has 23 bytes"),
    (infer(shape=(2, -3)), "INVALID_ARGUMENT", "expected [-1, 3]"),
    (infer(shape=(2**62, 3)), "INVALID_ARGUMENT", "expected [-1, 3]"),
    (infer(datatype="BYTES"), "INVALID_ARGUMENT", "is BYTES; expected FP32"),
    (infer(name="x"), "INVALID_ARGUMENT", "unknown input 'x'"),
    (infer(np.full((2, 3), np.inf, np.float32).tobytes()), "INVALID_ARGUMENT", "infinite"),
    (infer(model_version="2"), "NOT_FOUND", "no version '2'"),
    (pb.ModelInferRequest(model_name="m"), "INVALID_ARGUMENT", "0 inputs"),
    (pb.ModelInferRequest(model_name="other"), "NOT_FOUND", "no model 'other'"),
    (with_timeout(-5), "INVALID_ARGUMENT", "timeout -5"),
]


def test_what_is_wrong_gets_a_status_and_a_sentence():
    core = service(Array((3,)), small=True)

    async def story(call):
        for request, status, text in BAD:
            found, told = await call("ModelInfer", request)
            assert found == status, told
            assert text in told
            assert re.search(r" \((request|item)\.\w+, request [0-9a-f]{16}\)$", told)
        assert (await call("ModelInfer", infer())).outputs

    talk(core, story)


def test_unknown_methods_deadlines_and_clients_that_go_away():
    core = service(Array((3,)))
    version = only(core)
    run = version.predictor.run

    async def story(call):
        ask = pb.ServerLiveRequest()
        pb.LogSettingsResponse = pb.ServerLiveResponse
        assert (await call("LogSettings", ask))[0] == "UNIMPLEMENTED"
        del pb.LogSettingsResponse
        hold = asyncio.Event()
        version.predictor.run = lambda arrays: (
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result(20),
            run(arrays),
        )[1]
        loop = asyncio.get_running_loop()
        assert (await call("ModelInfer", with_timeout(50_000)))[0] == "DEADLINE_EXCEEDED"  # the server's own
        assert (await call("ModelInfer", infer(), timeout=0.05))[0] == "DEADLINE_EXCEEDED"  # the client's
        gone = asyncio.create_task(call("ModelInfer", infer()))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        hold.set()
        assert (await call("ModelInfer", infer())).outputs

    talk(core, story)


def test_a_client_in_haste_is_not_waited_for_longer_than_it_waits(monkeypatch):
    core = service(Array((3,)), small=True, timeout=30)
    given, infer_in = [], core.infer

    async def noted(model, version, asked, deadline, *more):
        given.append(deadline - time.monotonic())
        return await infer_in(model, version, asked, deadline, *more)

    monkeypatch.setattr(core, "infer", noted)

    async def story(call):
        for timeout in (5, 1000, None):
            assert (await call("ModelInfer", infer(), timeout=timeout)).outputs

    talk(core, story)
    assert 0 < given[0] < 15 < 25 < min(given[1:])
    assert max(given) <= 30


def test_a_message_that_waits_to_be_read_is_late_at_its_deadline_and_more_are_refused(monkeypatch):
    core = service(Array((3,)), timeout=0.2, queue=1)
    monkeypatch.setattr(rpc, "LIGHT_TENSORS", 0)
    core.readers.free = 0  # all threads read

    async def story(call):
        late = asyncio.create_task(call("ModelInfer", infer()))
        async with asyncio.timeout(20):
            while not core.readers.waiting:
                await asyncio.sleep(0.001)
        status, text = await call("ModelInfer", infer())
        assert (status, "request.overload" in text) == ("RESOURCE_EXHAUSTED", True)
        status, text = await late
        assert (status, "request.deadline" in text) == ("DEADLINE_EXCEEDED", True)

    talk(core, story)


def test_a_stop_finishes_what_is_under_way():
    core = service(Array((3,)))
    run = only(core).predictor.run
    hold, entered = threading.Event(), threading.Event()
    only(core).predictor.run = lambda arrays: (entered.set(), hold.wait(20), run(arrays))[-1]

    async def story(call):
        under_way = asyncio.create_task(call("ModelInfer", infer()))
        await asyncio.to_thread(entered.wait, 20)
        core.leaving = True
        closing = asyncio.create_task(call.way.close())
        assert (await call("ModelInfer", infer()))[0] == "UNAVAILABLE"
        hold.set()
        assert (await under_way).outputs
        await closing

    talk(core, story)


def test_a_stop_waits_for_calls_that_are_answered_and_not_for_messages_and_answers_on_their_way(monkeypatch):
    monkeypatch.setattr(rpc_server, "STALLED", 0.2)
    core = service(Array((3,)))
    run = only(core).predictor.run
    entered = threading.Event()
    only(core).predictor.run = lambda arrays: (entered.set(), time.sleep(0.5), run(arrays))[-1]

    async def story(call):
        under_way, stalled = asyncio.create_task(call("ModelInfer", infer())), begun(call)
        await asyncio.to_thread(entered.wait, 20)
        async with asyncio.timeout(20):
            while not call.way.service.arrivals.limits:
                await asyncio.sleep(0.001)
        core.leaving = True
        async with asyncio.timeout(http.GRACE - 1):
            await call.way.close()
        assert (await under_way).outputs
        status, told = await ended(stalled)
        assert (status, "being stopped" in told) == ("UNAVAILABLE", True)

    talk(core, story)


def test_a_token():
    core = service(Array((3,)), token="secret")

    async def story(call):
        assert (await call("ServerReady", pb.ServerReadyRequest())).ready
        for given in ((), (("authorization", "Bearer other"),), (("authorization", ""),)):
            status, told = await call("ModelInfer", infer(), given)
            assert status == "UNAUTHENTICATED"
            assert "secret" not in told
        assert (await call("ModelInfer", infer(), (("authorization", "Bearer secret"),))).outputs

    talk(core, story)


def test_who_may_not_ask_is_told_before_the_message_is_read(monkeypatch):
    core = service(Array((3,)), token="secret")
    read = []
    monkeypatch.setattr(core, "hold", lambda size: not read.append(size))

    async def story(call):
        request = infer()
        assert (await call("ModelInfer", request))[0] == "UNAUTHENTICATED"
        assert read == []
        assert (await call("ModelInfer", request, (("authorization", "Bearer secret"),))).outputs
        assert read[0] == request.ByteSize()

    talk(core, story)
    assert core.errors == {"request.token": 1}


def test_an_admins_token_is_asked_for_where_what_is_served_changes():
    core = service(Array((3,)), token="secret", admin="key")
    load = pb.RepositoryModelUnloadRequest(model_name="m")

    async def story(call):
        assert (await call("RepositoryModelUnload", load, (("authorization", "Bearer secret"),)))[
            0
        ] == "UNAUTHENTICATED"
        for token in ("secret", "key"):
            assert (await call("ModelInfer", infer(), (("authorization", f"Bearer {token}"),))).outputs
        await call("RepositoryModelUnload", load, (("authorization", "Bearer key"),))
        assert core.default.loaded is False

    talk(core, story)


def test_more_calls_than_fit_are_refused_and_messages_are_counted_while_they_are_held(monkeypatch):
    monkeypatch.setattr(rpc, "MOST_CALLS", 1)
    core = service(Array((3,)))
    run = only(core).predictor.run
    hold, entered = threading.Event(), threading.Event()
    only(core).predictor.run = lambda arrays: (entered.set(), hold.wait(20), run(arrays))[-1]

    async def story(call):
        first = asyncio.create_task(call("ModelInfer", infer()))
        await asyncio.to_thread(entered.wait, 20)
        assert core.held == infer().ByteSize()
        assert (await call("ModelInfer", infer()))[0] == "RESOURCE_EXHAUSTED"
        hold.set()
        assert (await first).outputs
        async with asyncio.timeout(20):
            while core.held:  # until the server, too, knows that its answer was taken
                await asyncio.sleep(0)
        monkeypatch.setattr(application, "MOST_BYTES", 10)
        assert (await call("ModelInfer", infer()))[0] == "RESOURCE_EXHAUSTED"
        assert core.held == 0

    talk(core, story)
    assert core.default.errors == {"request.overload": 1}


def begun(call, method="ModelInfer"):
    """A call whose message is not sent."""
    ask, answer = getattr(pb, f"{method}Request"), getattr(pb, f"{method}Response")
    return call.channel.stream_unary(f"/{rpc.SERVICE}/{method}", ask.SerializeToString, answer.FromString)(timeout=20)


@contextlib.contextmanager
def closing(spoke, writer):
    yield spoke
    writer.close()


async def ended(stalled):
    try:
        return await stalled
    except grpc.aio.AioRpcError as problem:
        return problem.code().name, problem.details()


def test_calls_that_send_no_message_keep_nobody_out(monkeypatch):
    monkeypatch.setattr(arrivals, "MOST_COMING", 2)

    async def story(call):
        stalled = [begun(call) for _ in range(3)]
        assert (await ended(stalled[0]))[0] == "RESOURCE_EXHAUSTED"
        assert (await call("ModelInfer", infer())).outputs
        assert (await ended(stalled[1]))[0] == "RESOURCE_EXHAUSTED"
        await stalled[2].write(infer())
        assert (await ended(stalled[2])).outputs  # it does not say that this was all
        empty = begun(call)
        await empty.done_writing()
        assert (await ended(empty))[0] == "INVALID_ARGUMENT"
        monkeypatch.setattr(arrivals, "BODY_SECONDS", 0.02)
        assert "did not arrive" in (await ended(begun(call)))[1]

    talk(service(Array((3,)), small=True), story)


def test_connections_are_bounded_and_what_one_leaves_another_takes(monkeypatch):
    monkeypatch.setattr(rpc_server, "MOST_CONNECTIONS", 2)

    async def greeted(port):
        """Connect; whether the server speaks."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        try:
            return bool(await reader.read(9)), writer
        except ConnectionError:
            return False, writer

    async def story(call):
        async with asyncio.timeout(20):
            assert (await call("ModelInfer", infer())).outputs
            with closing(*await greeted(call.port)) as spoke:
                assert spoke
                with closing(*await greeted(call.port)) as third:
                    assert not third
            spoke = False
            while not spoke:
                with closing(*await greeted(call.port)) as spoke:
                    pass

    talk(service(Array((3,)), small=True), story)


def with_parts(inputs=1, outputs=0, sizes=2, parameters=0):
    request = pb.ModelInferRequest(model_name="m", raw_input_contents=[b""] * inputs)
    for at in range(inputs):
        request.inputs.add(name=str(at), datatype="FP32", shape=[1] * sizes)
    for at in range(outputs):
        request.outputs.add(name=str(at))
    for at in range(parameters):
        request.inputs[0].parameters[str(at)].int64_param = 1
    return request


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"inputs": 65}, "65 inputs and 0 outputs"),
        ({"outputs": 65}, "1 inputs and 65 outputs"),
        ({"sizes": 17}, "more than 16 dimensions"),
        ({"parameters": 65}, "more than 64 parameters"),
    ],
)
def test_too_many_parts_are_told_before_anything_is_made_of_them(monkeypatch, parts, text):
    monkeypatch.setattr(rpc_request.oip, "Given", None)
    with pytest.raises(Refusal, match=text):
        rpc_request.read(only(service(Array((3,)))).predictor.signature, with_parts(**parts))


# ---------------------------------------------------------------- random messages

METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
TOLD = {"INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


class Takes(NamedTuple):
    """What a model takes: the fuzzer knows what would be right."""

    name: str
    array: np.ndarray
    field: str
    odd: tuple[float, ...]  # values it may not hold


ARRAY = Takes("array", np.ones((2, 3), "f4"), "fp32_contents", (float("nan"), float("inf")))
PICTURE = Takes("image", np.ones((2, 8, 8, 1), "u1"), "uint_contents", (256, 2**32 - 1))


def odd_infer(draw, takes):
    """An inference request in which each thing is wrong now and then."""
    good, rest = takes.array.tobytes(), takes.array.shape[1:]

    def seldom(right, *wrong):
        return right if draw.random() < 0.85 else draw.choice(wrong)

    request = pb.ModelInferRequest(
        model_name=seldom("m", "", "x" * 500, "Ł"),
        model_version=seldom("", "1", "2", "-1", "latest/../1"),
        id=seldom("", "x" * 1000),
    )
    for _ in range(seldom(1, 0, 2, 70)):
        shape = seldom([2, *rest], [], [2], [2, -3], [2**62, *rest], [0, *rest], [1] * 40, [1025, *rest])
        one = request.inputs.add(name=seldom(takes.name, "", "x"), shape=shape)
        one.datatype = seldom(oip_tensors.TYPES[takes.array.dtype.name], "FP16", "BYTES", "", "x")
        if draw.random() < 0.4:
            size, odd = takes.array.size, [[value] * takes.array.size for value in takes.odd]
            getattr(one.contents, seldom(takes.field, "fp64_contents")).extend(
                seldom([1] * size, [], [1] * (size + 1), *odd)
            )
        if draw.random() < 0.1:
            one.parameters[draw.choice(["shared_memory_region", "a"])].int64_param = draw.choice([-1, 2**62])
    if draw.random() < 0.7:
        request.raw_input_contents.extend([seldom(good, b"", good[:-1], draw.randbytes(len(good)))] * seldom(1, 0, 2))
    if draw.random() < 0.2:
        output = request.outputs.add(name=seldom("probabilities", "x", ""))
        output.parameters["classification"].int64_param = seldom(1, 0, -1, 2**40)
    if draw.random() < 0.2:
        request.parameters[seldom("timeout", "x")].int64_param = seldom(10**7, 0, -1, 2**62)
    return request


def fuzzed(draw, takes):
    """A method and a message for it, or bytes that may be none."""
    method = "ModelInfer" if draw.random() < 0.7 else draw.choice(METHODS)
    if method == "ModelInfer":
        request = odd_infer(draw, takes)
    elif draw.random() < 0.5:
        request = getattr(pb, f"{method}Request")()
        for field in request.DESCRIPTOR.fields:
            if field.type == field.TYPE_STRING and draw.random() < 0.7:
                setattr(request, field.name, draw.choice(["m", "1", "", "x" * 300, "Ł", "../m"]))
    else:
        request = draw.randbytes(draw.randrange(60))
    if not isinstance(request, bytes) and draw.random() < 0.15:
        data = bytearray(request.SerializeToString())
        for _ in range(draw.randrange(4)):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        request = bytes(data[: draw.randrange(len(data) + 1)])
    return method, request


async def fuzz(call, count, takes, draw, slow=None):
    """Random calls by eight clients. `slow`: takes those that were answered after more than a second."""
    found = Counter()

    async def client(each):
        for _ in range(each):
            method, request = fuzzed(draw, takes)
            if "Unload" in method:
                continue
            start = time.monotonic()
            answer = await call(method, request)
            status = answer[0] if isinstance(answer, tuple) else "OK"
            assert status in {"OK", *TOLD}, (method, answer)
            found[status] += 1
            if slow is not None and time.monotonic() - start > 1:
                slow.append((method, request))

    async with asyncio.timeout(60 + count / 10):  # nothing may hang
        await asyncio.gather(*(client(count // 8) for _ in range(8)))
    assert min(found["OK"], found["INVALID_ARGUMENT"]) > count / 10
    assert found["NOT_FOUND"] > count / 100


def test_random_messages_never_get_a_server_error():
    core = service(Array((3,)), small=True)
    talk(core, lambda call: fuzz(call, 400, ARRAY, random.Random(0)))
    assert core.held == core.accepted == 0


def test_what_may_be_slow_to_read_goes_to_a_thread(monkeypatch):
    core = service(Array((3,)))
    lights, read = [], core.read

    async def noted(light, *given):
        lights.append(light)
        return await read(light, *given)

    monkeypatch.setattr(core, "read", noted)

    async def story(call):
        numbers = [1.0] * 3000
        await call("ModelInfer", infer(None, numbers[:6]))
        await call("ModelInfer", infer(None, numbers, (1000, 3)))
        await call("ModelInfer", infer(np.ones(3000, "f4").tobytes(), None, (1000, 3)))
        await call("ModelInfer", infer(np.ones(30000, "f4").tobytes(), None, (10000, 3)))

    talk(core, story)
    assert lights == [True, False, True, False]


def test_a_wrong_number_of_numbers_is_told_before_an_array_is_made(monkeypatch):
    request = infer(None, [1.0] * 7)
    monkeypatch.setattr(rpc_request.np, "array", None)
    with pytest.raises(Refusal, match="7 values in fp32_contents"):
        rpc_request.read(only(service(Array((3,)))).predictor.signature, request)


def test_numbers_that_do_not_fit_their_type():
    core = service(Image(1, 1, 2))

    async def story(call):
        for values, fine in (([0, 255], True), ([0, 256], False)):
            request = infer(None, None, (1, 1, 1, 2), "UINT8", "image")
            request.inputs[0].contents.uint_contents.extend(values)
            found = await call("ModelInfer", request)
            assert fine or found == (found[0], found[1])
            assert fine == (not isinstance(found, tuple))

    talk(core, story)


def test_graphs_reach_no_further_than_their_own_nodes():
    core = service(Graph(1))

    async def story(call):
        request = infer(np.ones((2, 1), np.float32).tobytes(), None, (2, 1), "FP32", "nodes")
        for name, array in (("edges", np.int64([[0], [7]])), ("graph", np.int64([0, 0]))):
            request.inputs.add(name=name, datatype="INT64", shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        status, told = await call("ModelInfer", request)
        assert (status, "outside 0 to 1" in told) == ("INVALID_ARGUMENT", True)

    talk(core, story)


def test_the_port_is_kept_while_nobody_listens():
    bound = listen("127.0.0.1", 0, reserve=True)
    port = bound.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    with pytest.raises(OSError), socket.socket() as other:
        other.bind(("127.0.0.1", port))
    with pytest.raises(DeepenError, match="Address already in use"):  # else two services would share the clients
        listen("127.0.0.1", port, reserve=True)
    bound.close()
    listen("127.0.0.1", port, reserve=True).close()


def test_a_stop_under_load_answers_the_calls_under_way_and_tells_the_others(digits_bundle):
    one = Server(digits_bundle, "grpc=0", "name=m")
    request = infer(bytes(64), shape=(1, 8, 8, 1), datatype="UINT8", name="image")
    answered: list[bool] = []
    told: list[str] = []
    begun = threading.Event()

    def client() -> None:
        soon = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(one.grpc, options=soon) as channel:
            ask = channel.unary_unary(
                f"/{rpc.SERVICE}/ModelInfer", pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString
            )
            try:
                while ask(request, timeout=30, wait_for_ready=not begun.is_set()).raw_output_contents:
                    answered.append(True)
                    if len(answered) > 100:
                        begun.set()
            except grpc.RpcError as problem:
                told.append(f"{problem.code().name} {problem.details()}")

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    assert begun.wait(30)
    assert one.stop()[0] == 0
    for thread in clients:
        thread.join(30)
    assert len(told) == 8
    assert all(
        text.startswith(("UNAVAILABLE the service is being stopped", "UNAVAILABLE failed to connect")) for text in told
    ), told
