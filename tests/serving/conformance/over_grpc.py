"""What is asked over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.serving.conformance.check import Check
from tests.serving.conformance.client import Target, same

BAD = "INVALID_ARGUMENT"
MISSING = "NOT_FOUND"


def infer(t: Target, change: Callable[[Any], None] = lambda request: None, **how: Any) -> Any:
    request = t.message(**how)
    change(request)
    return t.rpc("ModelInfer", request)


def put(**fields: Any) -> Callable[[Any], None]:
    def change(request: Any) -> None:
        for name, value in fields.items():
            setattr(request, name, value)

    return change


def right(t: Target, items: int = 1, **how: Any) -> bool:
    """Whether an answer has the numbers that HTTP gets, bit for bit."""
    return same(t.raw(infer(t, items=items, **how)), t.outputs(t.infer({"inputs": t.inputs(items)})))


def tensors(found: Any, told: Any) -> bool:
    return [(o.name, o.datatype, [*o.shape]) for o in found] == [(o["name"], o["datatype"], o["shape"]) for o in told]


def cut(request: Any) -> None:
    request.raw_input_contents[0] = request.raw_input_contents[0][:-1]


def both(request: Any) -> None:
    request.inputs[0].contents.fp32_contents.append(1)


def checks() -> Iterator[Check]:
    told: list[tuple[str, str, str, Callable[[Target], Any]]] = [
        ("ServerLive", "live", "Health", lambda t: t.rpc("ServerLive").live),
        ("ServerReady", "ready", "Health", lambda t: t.rpc("ServerReady").ready),
        ("ModelReady", "ready", "Health", lambda t: t.rpc("ModelReady", name=t.name).ready),
        ("ModelReady of a version", "ready", "Health", lambda t: t.rpc("ModelReady", name=t.name, version=t.version).ready),
        ("ModelReady of an unknown model", f"{MISSING}, or not ready", "Health", lambda t: (
            answer := t.rpc("ModelReady", name="no-such")) == MISSING or not answer.ready),
        ("ServerMetadata", "as over HTTP", "Server Metadata", lambda t: (
            a := t.rpc("ServerMetadata")) and (a.name, a.version, [*a.extensions]) == (t.about["name"], t.about["version"], t.about["extensions"])),
        ("ModelMetadata", "name: as asked", "Model Metadata", lambda t: t.rpc("ModelMetadata", name=t.name).name == t.name),
        ("ModelMetadata", "versions as over HTTP", "Model Metadata", lambda t: [*t.rpc("ModelMetadata", name=t.name).versions] == t.metadata.get("versions", [])),
        ("ModelMetadata", "platform as over HTTP", "Model Metadata", lambda t: t.rpc("ModelMetadata", name=t.name).platform == t.metadata["platform"]),
        ("ModelMetadata", "inputs as over HTTP", "Model Metadata", lambda t: tensors(t.rpc("ModelMetadata", name=t.name).inputs, t.metadata["inputs"])),
        ("ModelMetadata", "outputs as over HTTP", "Model Metadata", lambda t: tensors(t.rpc("ModelMetadata", name=t.name).outputs, t.metadata["outputs"])),
        ("ModelMetadata of a version", "name: as asked", "Model Metadata", lambda t: t.rpc("ModelMetadata", name=t.name, version=t.version).name == t.name),
        ("ModelMetadata of an unknown model", MISSING, "Model Metadata", lambda t: t.rpc("ModelMetadata", name="no-such") == MISSING),
        ("ModelMetadata of an unknown version", MISSING, "Model Metadata", lambda t: t.rpc("ModelMetadata", name=t.name, version="no-such") == MISSING),
        ("raw contents", "the numbers that HTTP gets", "Raw Tensor Contents", right),
        ("typed contents", "the numbers that HTTP gets", "Tensor Contents", lambda t: right(t, typed=True)),
        ("raw contents", "raw contents of every output", "Raw Tensor Contents", lambda t: len((a := infer(t)).raw_output_contents) == len(a.outputs) > 0),
        ("raw contents", "no typed contents", "Raw Tensor Contents", lambda t: not any(o.HasField("contents") for o in infer(t).outputs)),
        ("an inference", "model_name: as asked", "Inference", lambda t: infer(t).model_name == t.name),
        ("an inference", "model_version: one there is", "Inference", lambda t: infer(t).model_version in ["", *t.metadata.get("versions", [])]),
        ("an inference", "all outputs, as none is named", "Inference", lambda t: {o.name for o in infer(t).outputs} == {o["name"] for o in t.metadata["outputs"]}),
        ("an inference", "datatypes of the metadata", "Inference", lambda t: {o.name: o.datatype for o in infer(t).outputs} == {o["name"]: o["datatype"] for o in t.metadata["outputs"]}),
        ("an id", "the same id", "Inference", lambda t: infer(t, put(id="id-Ł-7")).id == "id-Ł-7"),
        ("no id", "none", "Inference", lambda t: infer(t).id == ""),
        ("a version", "that version", "Inference", lambda t: infer(t, put(model_version=t.version)).model_version == t.version),
        ("one output by name", "that one", "Inference", lambda t: [
            o.name for o in infer(t, lambda r: r.outputs.add(name=t.metadata["outputs"][0]["name"])).outputs] == [t.metadata["outputs"][0]["name"]]),
        ("the same twice", "the same numbers", "Inference", lambda t: same(t.raw(infer(t)), t.raw(infer(t)))),
        ("an unknown model", MISSING, "Inference", lambda t: infer(t, put(model_name="no-such")) == MISSING),
        ("an unknown version", MISSING, "Inference", lambda t: infer(t, put(model_version="no-such")) == MISSING),
        ("no inputs", BAD, "Inference", lambda t: t.rpc("ModelInfer", model_name=t.name) == BAD),
        ("an unknown input", BAD, "Inference", lambda t: infer(t, name="no-such") == BAD),
        ("another datatype", BAD, "Tensor Data Types", lambda t: infer(t, datatype="BYTES") == BAD),
        ("an unknown datatype", BAD, "Tensor Data Types", lambda t: infer(t, datatype="FP31") == BAD),
        ("a dimension too many", BAD, "Inference", lambda t: infer(t, shape=[*t.inputs()[0]["shape"], 1]) == BAD),
        ("a negative shape", BAD, "Inference", lambda t: infer(t, shape=[-1, *t.inputs()[0]["shape"][1:]]) == BAD),
        ("a shape no memory holds", BAD, "Inference", lambda t: infer(t, shape=[2**62, *t.inputs()[0]["shape"][1:]]) == BAD),
        ("a byte too few", BAD, "Raw Tensor Contents", lambda t: infer(t, cut) == BAD),
        ("no contents at all", BAD, "Tensor Contents", lambda t: infer(t, lambda r: r.ClearField("raw_input_contents")) == BAD),
        ("one raw content too many", BAD, "Raw Tensor Contents", lambda t: infer(t, lambda r: r.raw_input_contents.append(b"")) == BAD),
        ("raw and typed contents", BAD, "Raw Tensor Contents", lambda t: infer(t, both) == BAD),
        ("one typed number too few", BAD, "Tensor Contents", lambda t: infer(t, typed=True, shape=[9, *t.inputs()[0]["shape"][1:]]) == BAD),
        ("an unknown output", BAD, "Inference", lambda t: infer(t, lambda r: r.outputs.add(name="no-such")) == BAD),
        ("bytes that are no message", BAD, "Inference", lambda t: t.rpc("ModelInfer", b"\xff") == BAD),
        ("an unknown method", "UNIMPLEMENTED", "GRPC", lambda t: t.rpc("NoSuchMethod", b"") == "UNIMPLEMENTED"),
    ]  # fmt: skip
    for sent, must, where, holds in told:
        yield Check("gRPC", sent, must, f"V2 GRPC {where}", holds, "grpc")
    for items in (2, 33):
        yield Check("gRPC", f"{items} items", "the numbers that HTTP gets", "V2 GRPC Inference",
                    lambda t, items=items: right(t, items), "grpc batches")  # fmt: skip
    extra: list[tuple[str, str, str, Callable[[Target], Any]]] = [
        ("ModelConfig", "name: as asked", "model_configuration", lambda t: t.rpc("ModelConfig", name=t.name).config.name == t.name),
        ("ModelConfig", "inputs by name", "model_configuration", lambda t: [
            o.name for o in t.rpc("ModelConfig", name=t.name).config.input] == [o["name"] for o in t.metadata["inputs"]]),
        ("ModelStatistics", "counts", "statistics", lambda t: t.rpc("ModelStatistics", name=t.name).model_stats[0].inference_stats.success.count > 0),
        ("RepositoryIndex", "the model, READY", "model_repository", lambda t: any((o.name, o.state) == (t.name, "READY") for o in t.rpc("RepositoryIndex").models)),
    ]  # fmt: skip
    for sent, must, needs, holds in extra:
        yield Check("gRPC", sent, must, f"{needs.replace('_', ' ').title()} Extension", holds, f"grpc {needs}")
