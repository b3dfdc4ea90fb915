"""The Open Inference Protocol, as the real client frames it and as nobody should."""

from __future__ import annotations

import gzip
import json
import zlib

import msgspec
import numpy as np
import pytest

from deepen.kinds.boxes import Boxes
from deepen.kinds.classes import Classes
from deepen.kinds.number import Number
from deepen.preprocess.array import Array
from deepen.preprocess.graph import Graph
from deepen.preprocess.image import Image
from deepen.preprocess.text import Text
from deepen.serving import oip, oip_answers, oip_models, oip_tensors
from deepen.serving.refusal import Refusal
from deepen.signature import Signature
from tests.serving.fakes import ask, only, service

X = (np.arange(6, dtype=np.float32) / 2).reshape(2, 3)
RAW = X.tobytes()
HEAD = b'{"inputs":[{"name":"array","shape":[2,3],"datatype":"FP32",'
BINARY = HEAD + b'"parameters":{"binary_data_size":24}}]'
NUMBERS = HEAD + b'"data":[0.0,0.5,1.0,1.5,2.0,2.5]}]'
OUT = b',"outputs":[{"name":"probabilities","parameters":{%s}}]'

# bodies as tritonclient 2.73 writes them, and where their JSON ends
CAPTURED = {
    "no outputs": (BINARY + b',"parameters":{"binary_data_output":true}}' + RAW, 139),
    "id, timeout, priority": (
        b'{"id":"seven",' + (BINARY + OUT % b'"binary_data":true')[1:]
        + b',"parameters":{"priority":1,"timeout":5000000}}' + RAW, 228,
    ),
    "numbers out": (BINARY + OUT % b'"binary_data":false' + b"}" + RAW, 170),
    "numbers in": (NUMBERS + OUT % b'"binary_data":true' + b"}", None),
    "numbers": (NUMBERS + OUT % b'"binary_data":false' + b"}", None),
    "classes": (BINARY + OUT % b'"classification":1,"binary_data":true' + b"}" + RAW, 188),
}  # fmt: skip
PATH = "/v2/models/m/infer"


@pytest.fixture
def core():
    made = service(Array((3,)), small=True)
    yield made
    made.close()


def right() -> np.ndarray:
    p = 1 / (1 + np.exp(-X.astype(np.float64).sum(1) / 100))
    return np.stack([p, 1 - p], 1).astype(np.float32)


def told(response) -> tuple[dict, bytes]:
    """The JSON of an answer and the bytes behind it."""
    length = int(response.headers.get(oip.HEADER, len(response.data)))
    return json.loads(response.data[:length]), response.data[length:]


@pytest.mark.parametrize("squeeze", ["", "gzip", "deflate"])
@pytest.mark.parametrize("name", CAPTURED)
def test_what_the_real_client_sends(core, name, squeeze):
    body, length = CAPTURED[name]
    headers = {} if length is None else {oip.HEADER: str(length)}
    if length is not None:
        json.loads(body[:length])  # as it was captured
    if squeeze:
        body = {"gzip": gzip.compress, "deflate": zlib.compress}[squeeze](body)
        headers["content-encoding"] = squeeze
    response = ask(core, PATH, body, **headers)
    assert response.status == 200, response.data
    head, tail = told(response)
    assert (head["model_name"], head["model_version"]) == ("m", "1")
    assert head.get("id") == ("seven" if name.startswith("id") else None)
    (output,) = head["outputs"]
    if name == "classes":
        assert (output["datatype"], output["shape"]) == ("BYTES", [2, 1])
        first = b"%f:0:\xc5\x81\xc3\xb3d\xc5\xba" % right()[0, 0]
        assert tail[4 : 4 + len(first)] == first
        assert int.from_bytes(tail[:4], "little") == len(first)
        return
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 2])
    if name in {"numbers", "numbers out"}:
        assert oip.HEADER not in response.headers
        np.testing.assert_array_equal(np.float32(output["data"]).reshape(2, 2), right())
    else:
        assert output["parameters"]["binary_data_size"] == len(tail) == 16
        assert tail == right().tobytes()


def body_of(**changes) -> bytes:
    one = {"name": "array", "shape": [2, 3], "datatype": "FP32", "data": X.ravel().tolist(), **changes}
    return json.dumps({"inputs": [{k: v for k, v in one.items() if v is not None}]}).encode()


def binary(raw: bytes = RAW, size: object = 24, **changes) -> tuple[bytes, str]:
    head = json.loads(body_of(data=None, parameters={"binary_data_size": size}, **changes))
    text = json.dumps(head).encode()
    return text + raw, str(len(text))


TWICE = b'{"name":"array","shape":[2,3],"datatype":"FP32","data":[0,0,0,0,0,0]}'
DEEP = 100_000
BAD_JSON = [
    (b"", "not an inference request"),
    (b"{", "not an inference request"),
    (b"[]", "not an inference request"),
    (b"\xff\xfe", "not an inference request"),
    (b"[" * DEEP, "not an inference request"),
    (b'{"inputs":[{"name":"array","shape":[2,3],"datatype":"FP32","data":' + b"[" * DEEP, "nested too deeply"),
    (b'{"inputs":[],"x":' + b"[" * DEEP, "nested too deeply"),
    (b"{}", "missing required field `inputs`"),
    (b'{"inputs": []}', "0 inputs"),
    (b'{"inputs": [%s]}' % b",".join([TWICE] * 65), "65 inputs"),
    (b'{"inputs": [%s, %s]}' % (TWICE, TWICE), "input 'array' is given twice"),
    (b'{"inputs": [%s], "inputs": [%s]}' % (TWICE, TWICE), "key 'inputs' stands twice"),
    (TWICE.join([b'{"inputs": [', b"]}"]).replace(b'"shape"', b'"name":"x","shape"'), "key 'name' stands twice"),
    (TWICE.join([b'{"inputs": [', b"]}"]).replace(b'"data"', b'"data":[1],"data"'), "key 'data' stands twice"),
    (body_of(name="x" * 5000), "unknown input 'xxx"),
    (body_of(name=7), "Expected `str`"),
    (body_of(datatype="FP64"), "is FP64; expected FP32"),
    (body_of(datatype="INT8"), "is INT8; expected FP32"),
    (body_of(datatype="x" * 999), "; expected FP32"),
    (body_of(shape=[3, 2]), "has shape [3, 2]; expected [-1, 3]"),
    (body_of(shape=[6]), "has shape [6]; expected [-1, 3]"),
    (body_of(shape=[2, 3, 1]), "expected [-1, 3]"),
    (body_of(shape=[-2, 3]), "expected [-1, 3]"),
    (body_of(shape=[2**63, 3]), "expected [-1, 3]"),
    (body_of(shape=[2**62, 3]), "expected [-1, 3]"),
    (body_of(shape=[0, 3], data=[]), "no items"),
    (body_of(shape=[1025, 3], data=[0] * 3075), "1025 items, at most 1024"),
    (body_of(shape=[1, 3]), "has 6 values; its shape says [1, 3]"),
    (body_of(shape=[10**9, 3]), "has 6 values"),
    (body_of(data=None), "has no data"),
    (body_of(data=[1, 2, 3, 4, 5, "6"]), "not numbers of its type"),
    (body_of(data=[1, 2, 3, 4, 5, None]), "not numbers of its type"),
    (body_of(data=[1, 2, 3, 4, 5, True]), "not numbers of its type"),
    (body_of(data=[[1, 2, 3], [4, 5]]), "not numbers of its type"),
    (body_of(data=[[1, 2], [3, 4], [5, 6]]), "values of shape [3, 2]"),
    (body_of(data={"a": 1}), "not numbers of its type"),
    (body_of(data="text"), "not numbers of its type"),
    (body_of(data=7), "has values of shape []"),
    (body_of(data=[1, 2, 3, 4, 5, 1e39]), "infinite"),
    (body_of().replace(b"2.5", b"NaN"), "not an inference request"),
    (body_of().replace(b"2.5", b"Infinity"), "not an inference request"),
    (body_of().replace(b"2.5", b"1e999"), "infinite"),
    (body_of(parameters={"shared_memory_region": "x"}), "shared memory is not offered"),
    (body_of()[:-1] + b', "outputs": [{"name": "labels"}]}', "unknown output 'labels'; this model gives probabilities"),
    (body_of()[:-1] + b', "outputs": [{"name": "probabilities"}, {"name": "probabilities"}]}', "named twice"),
    (body_of()[:-1] + OUT % b'"classification": -1' + b"}", "classification -1: expected a whole number"),
    (body_of()[:-1] + OUT % b'"classification": "3"' + b"}", "classification 3: expected a whole number"),
    (body_of()[:-1] + OUT % b'"classification": true' + b"}", "classification True"),
    (body_of()[:-1] + b', "parameters": {"timeout": -1}}', "timeout -1: expected microseconds"),
    (body_of()[:-1] + b', "parameters": {"timeout": "1"}}', "timeout 1: expected microseconds"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(BAD_JSON)))
def test_bad_json_is_told_in_one_sentence(core, at):
    body, text = BAD_JSON[at]
    response = ask(core, PATH, body, method="POST")
    assert response.status in {400, 413}, response.data
    assert text in response.document["error"]
    assert ask(core, PATH, body_of()).status == 200


BAD_BINARY = [
    (*binary(size=-1), "binary_data_size -1 of 24 bytes that are left"),
    (*binary(size=25), "binary_data_size 25"),
    (*binary(size=2**64), "binary_data_size 18446744073709551616"),
    (*binary(size="24"), "binary_data_size 24"),
    (*binary(size=True), "binary_data_size True"),
    (*binary(size=20), "has 20 bytes; shape [2, 3] of float32 has 24"),
    (*binary(RAW + b"1"), "1 bytes more than the inputs name"),
    (*binary(RAW[:-1]), "binary_data_size 24 of 23 bytes"),
    (*binary(np.float32([np.inf] * 6).tobytes()), "infinite"),
    (binary()[0], "0", "inference-header-content-length is '0'"),
    (binary()[0], "-3", "inference-header-content-length is '-3'"),
    (binary()[0], "x", "inference-header-content-length is 'x'"),
    (binary()[0], "", "inference-header-content-length is ''"),
    (binary()[0], "²", "inference-header-content-length is '²'"),
    (binary()[0], "9" * 5000, "inference-header-content-length is '999"),
    (binary()[0], "99999", "where the body has"),
    (binary()[0], str(int(binary()[1]) - 1), "not an inference request"),
    (binary()[0], str(int(binary()[1]) + 1), "not an inference request"),
    (body_of(parameters={"binary_data_size": 0}), str(len(body_of(parameters={"binary_data_size": 0}))), "both data and"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(BAD_BINARY)))
def test_bad_frames_are_told_in_one_sentence(core, at):
    body, length, text = BAD_BINARY[at]
    response = ask(core, PATH, body, **{oip.HEADER: length})
    assert response.status == 400, response.data
    assert text in response.document["error"]


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"x", "gzip", 400, "request.encoding"),
        (gzip.compress(bytes(40 << 20), mtime=0), "gzip", 413, "request.size"),
        (zlib.compress(bytes(40 << 20)), "deflate", 413, "request.size"),
        (gzip.compress(body_of(), mtime=0)[:-5], "gzip", 400, "request.encoding"),
        (b"x", "br", 415, "request.encoding"),
    ],
)
def test_bad_compression(core, body, encoding, status, code):
    response = ask(core, PATH, body, content_encoding=encoding)
    assert (response.status, response.document["code"]) == (status, code)


def test_nested_lists_and_missing_values_count_too(core):
    for data in (X.tolist(), X.ravel().tolist()):
        head, _ = told(ask(core, PATH, body_of(data=data)))
        np.testing.assert_array_equal(np.float32(head["outputs"][0]["data"]).reshape(2, 2), right())
    body, length = binary(np.float32([np.nan] * 6).tobytes())
    assert ask(core, PATH, body, **{oip.HEADER: length}).status == 200


@pytest.mark.parametrize("path", ["/v2/models/n/infer", "/v2/models/n", "/v2/models/n/ready", "/v2/models/n/stats"])
def test_unknown_models(core, path):
    response = ask(core, path, body_of() if path.endswith("infer") else b"")
    assert (response.status, response.document["code"]) == (404, "request.model")
    assert response.document["error"] == "no model 'n' here (m)"


@pytest.mark.parametrize("version", ["2", "latest", "1.0", "..", "01", "-1", "%2e"])
def test_unknown_versions(core, version):
    for path in ("infer", "config", "ready", "stats"):
        response = ask(core, f"/v2/models/m/versions/{version}/{path}", body_of() if path == "infer" else b"")
        assert (response.status, response.document["code"]) == (404, "request.version")
        assert "in service (1)" in response.document["error"]
    assert ask(core, f"/v2/models/m/versions/{version}/../1/infer", body_of()).status == 404
    assert ask(core, "/v2/models/m/versions/1/infer", body_of()).status == 200


# ---------------------------------------------------------------- inputs of every kind


def read(signature: Signature, **arrays: np.ndarray) -> oip.Asked:
    """The tensors by their bytes."""
    inputs, tail = [], b""
    for name, array in arrays.items():
        data = oip_tensors.to_bytes(array)
        one = {"name": name, "shape": array.shape, "datatype": oip_tensors.TYPES[array.dtype.name]}
        inputs.append({**one, "parameters": {"binary_data_size": len(data)}})
        tail += data
    head = json.dumps({"inputs": inputs}).encode()
    return oip.read(signature, {oip.HEADER: str(len(head))}, head + tail)


GRAPH = Signature({"g": Graph(2)}, {"y": Classes(("a", "b"))})


def graph(**changes) -> dict[str, np.ndarray]:
    good = {
        "nodes": np.ones((5, 2), np.float32),
        "edges": np.int64([[0, 3], [1, 4]]),
        "graph": np.int64([0, 0, 0, 1, 1]),
    }
    return {**good, **changes}


def test_graphs_are_counted_by_the_numbers_that_name_them():
    asked = read(GRAPH, **graph())
    assert asked.items == 2
    for name, array in graph().items():
        np.testing.assert_array_equal(asked.arrays[name], array)
    assert read(GRAPH, **graph(edges=np.zeros((2, 0), np.int64))).items == 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"edges": np.int64([[0], [5]])}, "input 'edges' names a place outside 0 to 4"),
        ({"edges": np.int64([[0], [-1]])}, "input 'edges' names a place outside 0 to 4"),
        ({"graph": np.int64([0, 0, 0, 2, 2])}, "leaves out an item"),
        ({"graph": np.int64([1, 1, 1, 2, 2])}, "leaves out an item"),
        ({"graph": np.int64([-1, 0, 0, 1, 1])}, "leaves out an item"),
        ({"graph": np.int64([0, 0])}, "input 'graph' has 2 nodes where another input has 5"),
        ({"nodes": np.zeros((0, 2), np.float32), "graph": np.zeros(0, np.int64)}, "no items"),
    ],
)
def test_no_item_reaches_into_its_neighbours(changes, text):
    arrays = graph(**changes)
    if text == "no items":
        arrays["edges"] = np.zeros((2, 0), np.int64)
    with pytest.raises(Refusal) as refused:
        read(GRAPH, **arrays)
    assert text in refused.value.error


def test_numbers_that_are_no_whole_ones():
    signature = Signature({"t": Text(("a", "b"))}, {"y": Number()})

    def from_json(data):
        one = {"name": "tokens", "shape": [1, 2], "datatype": "INT64", "data": data}
        return oip.read(signature, {}, json.dumps({"inputs": [one]}).encode()).arrays["tokens"]

    assert from_json([1, 2]).tolist() == [[1, 2]]
    assert from_json([[-(2**63), 2**63 - 1]]).tolist() == [[-(2**63), 2**63 - 1]]
    for data in ([1, 2.0], [1, 2.5], [1, 2**63], [1, 10**30], [1, -(10**30)], [True, False], ["1", "2"], [1, None]):
        with pytest.raises(Refusal, match="tokens"):
            from_json(data)
    picture = Signature({"p": Image(1, 1, 2)}, {"y": Number()})
    for data, fine in (([0, 255], True), ([0, 256], False), ([-1, 0], False)):
        one = {"name": "image", "shape": [1, 1, 1, 2], "datatype": "UINT8", "data": data}
        body = json.dumps({"inputs": [one]}).encode()
        if fine:
            assert oip.read(picture, {}, body).arrays["image"].ravel().tolist() == data
        else:
            with pytest.raises(Refusal, match="no UINT8"):
                oip.read(picture, {}, body)


def test_a_missing_input():
    arrays = graph()
    arrays.pop("edges")
    with pytest.raises(Refusal, match="input 'edges' is missing"):
        read(GRAPH, **arrays)


@pytest.mark.parametrize("dtype", oip_tensors.TYPES)
def test_every_type_of_tensor_comes_back_as_it_went(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tensor = msgspec.structs.replace(Array((3,)).tensors[0], dtype=dtype)
    data = oip_tensors.to_bytes(array)
    np.testing.assert_array_equal(oip_tensors.from_bytes(tensor, (2, 3), data), array)
    np.testing.assert_array_equal(
        oip_tensors.from_json(tensor, (2, 3), msgspec.Raw(json.dumps(array.tolist()).encode())), array
    )
    if dtype == "bool":
        with pytest.raises(Refusal, match="neither 0 nor 1"):
            oip_tensors.from_bytes(tensor, (1, 3), b"\0\1\2")


# ---------------------------------------------------------------- answers


def test_classes_come_surest_first_with_their_names():
    p = np.float32([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])
    assert oip_answers.top(p, 2, ("a", "b", "c")) == [
        [b"0.500000:1:b", b"0.250000:0:a"],
        [b"0.750000:2:c", b"0.125000:0:a"],
    ]
    assert oip_answers.top(p[:1], 9, ()) == [[b"0.500000:1", b"0.250000:0", b"0.250000:2"]]
    assert oip_answers.pack_texts([[b"a", b"bc"]]) == b"\1\0\0\0a\2\0\0\0bc"


def test_an_answer_that_is_no_number_is_told(core):
    class Nan:
        inputs, outputs = ["array"], ["probabilities"]

        def run(self, arrays):
            return {"probabilities": np.float32([[np.nan, 1]] * len(arrays["array"]))}

    one = service(Array((3,)), model=Nan())
    response = ask(one, PATH, body_of())
    assert (response.status, response.document["code"]) == (422, "request.values")
    assert only(one).tally.errors == {"request.values": 1}  # no fault of the version: nobody checked the values
    one.close()


def test_what_the_graph_will_not_take_is_the_clients_mistake(core):
    from deepen.errors import DeepenError

    class Picky:
        inputs, outputs = ["array"], ["probabilities"]

        def run(self, arrays):
            raise DeepenError("bundle.run", "graph.onnx", "/secret: index out of range")

    one = service(Array((3,)), model=Picky())
    response = ask(one, PATH, body_of())
    assert (response.status, response.document["code"]) == (400, "request.values")
    assert "secret" not in response.data.decode()
    one.close()


def test_metadata_and_configuration():
    signature = Signature({"p": Image(4, 5, 3)}, {"y": Classes(("a", "b"))})
    about = oip_models.metadata("m", ["1"], "deepen_onnx", signature)
    assert about["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 4, 5, 3]}]
    assert about["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]
    config = oip_models.configuration("m", "deepen_onnx", signature, 32, 0.001)
    assert config["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": [4, 5, 3]}]
    assert config["max_batch_size"] == 1024
    assert config["dynamic_batching"] == {"preferred_batch_size": [32], "max_queue_delay_microseconds": 1000}
    graph = oip_models.configuration("m", "deepen_onnx", GRAPH, 32, 0)
    assert graph["max_batch_size"] == 0
    assert [t["dims"] for t in graph["input"]] == [[-1, 2], [2, -1], [-1]]


def test_names_of_several_outputs():
    signature = Signature({"x": Array((3,))}, {"a": Classes(("u", "v")), "b": Number(), "c": Boxes(("w",))})
    assert oip_answers.names_of(signature, "a.probabilities") == ("u", "v")
    assert oip_answers.names_of(signature, "b.value") == ()
    assert oip_answers.names_of(signature, "c.scores") == ("w",)


def test_what_the_server_says_of_itself(core):
    assert ask(core, "/v2/health/live").status == 200
    assert ask(core, "/v2/health/ready").status == 200
    about = ask(core, "/v2").document
    assert about["name"] == "deepen"
    assert "binary_tensor_data" in about["extensions"]
    assert ask(core, "/v2/").document == about
    assert ask(core, "/v2/models/m/versions/1/ready").status == 200
    for _ in range(3):
        ask(core, PATH, body_of())
    ask(core, PATH, body_of(name="x"))
    (stats,) = ask(core, "/v2/models/m/stats").document["model_stats"]
    assert ask(core, "/v2/models/stats").document == {"model_stats": [stats]}
    assert (stats["inference_count"], stats["execution_count"]) == (6, 3)
    assert stats["inference_stats"]["success"]["count"] == 3
    assert stats["inference_stats"]["fail"]["count"] == 1
    assert ask(core, "/v2/repository/index", b"{}").document == [
        {"name": "m", "version": "1", "state": "READY", "reason": ""}
    ]


def test_what_is_remembered_of_a_request_is_not_its_numbers(core):
    body, length = CAPTURED["no outputs"]
    other = np.float32([[9, 9, 9], [-9, -9, -9]])
    first = ask(core, PATH, body, **{oip.HEADER: str(length)})
    assert len(only(core).reader.known) == 1
    again = ask(core, PATH, body[:length] + other.tobytes(), **{oip.HEADER: str(length)})
    p = 1 / (1 + np.exp(-other.astype(np.float64).sum(1) / 100))
    assert told(again)[1] == np.stack([p, 1 - p], 1).astype(np.float32).tobytes()
    assert told(again)[0] == told(first)[0]
    assert ask(core, PATH, body, **{oip.HEADER: str(length)}).data == first.data
    wrong = body[:length] + np.full((2, 3), np.inf, np.float32).tobytes()
    for bad, text in ((wrong, "infinite"), (body[:-1], "of 23 bytes that are left"), (body + b"1", "1 bytes more")):
        response = ask(core, PATH, bad, **{oip.HEADER: str(length)})
        assert (response.status, text in response.document["error"]) == (400, True)


def test_what_differs_in_each_request_does_not_fill_the_memory(core):
    for number in range(3):
        body, length = binary()
        body = b'{"id":"%d",' % number + body[1:]
        assert ask(core, PATH, body, **{oip.HEADER: str(int(length) + 9)}).status == 200
    assert not only(core).reader.known
    for number in range(oip.MOST_KNOWN + 50):
        body, length = binary()
        body = b" " * number + body
        assert ask(core, PATH, body, **{oip.HEADER: str(int(length) + number)}).status == 200
    assert len(only(core).reader.known) == oip.MOST_KNOWN
