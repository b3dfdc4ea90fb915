"""Which nodes of a graph become whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from deepen.compressors.static_int8 import SCOPES, StaticInt8
from deepen.errors import Refused
from deepen.runtimes.onnx import Onnx


def graph(place: Path, stacked: bool = False) -> None:
    """x -> + (normalise) -> matmul (net.layer) -> + (head); or a matmul by a stack of matrices."""
    draw = np.random.default_rng(0)
    shape = (3, 8, 8) if stacked else (8, 8)
    weights = {"offset": np.full(8, 100.0), "w": draw.normal(size=shape), "b": draw.normal(size=8)}
    nodes = [
        helper.make_node("Add", ["x", "offset"], ["moved"], "first"),
        helper.make_node("MatMul", ["moved", "w"], ["out"], "middle"),
        helper.make_node("Add", ["out", "b"], ["y"], "last"),
    ]
    for node, scope in zip(nodes, ("normalise", "net.layer", "head")):
        node.metadata_props.add(key=SCOPES, value=str(["", scope, node.name]))
    size = ["places", 2, 8] if stacked else ["batch", 8]
    if stacked:
        size[0] = 3
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size) for name in "xy"]
    initial = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:], initial), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 10
    onnx.save(model, place)


def batches(stacked: bool = False) -> list[dict[str, np.ndarray]]:
    shape = (3, 2, 8) if stacked else (16, 8)
    return [{"x": np.random.default_rng(i).normal(size=shape).astype(np.float32)} for i in range(4)]


def test_only_the_network_itself_is_quantised(tmp_path):
    graph(tmp_path / "a.onnx")
    StaticInt8().write(tmp_path / "a.onnx", batches(), tmp_path / "b.onnx")
    nodes = onnx.load(tmp_path / "b.onnx").graph.node
    adds = [node for node in nodes if node.op_type == "Add"]
    made = {name: node.op_type for node in nodes for name in node.output}
    assert made.get(adds[0].input[0]) is None  # x itself, as it came
    assert len([node for node in nodes if node.op_type == "QuantizeLinear"]) <= 2  # into and out of the matmul
    x = batches()[0]
    before, after = Onnx(tmp_path / "a.onnx", 1).run(x)["y"], Onnx(tmp_path / "b.onnx", 1).run(x)["y"]
    assert 0 < np.abs(before - after).max() < 0.05 * np.abs(before).max()


def test_a_stack_of_matrices_stays_float_and_runs(tmp_path):
    graph(tmp_path / "a.onnx", stacked=True)
    StaticInt8().write(tmp_path / "a.onnx", batches(True), tmp_path / "b.onnx")
    x = batches(True)[0]
    before, after = Onnx(tmp_path / "a.onnx", 1).run(x)["y"], Onnx(tmp_path / "b.onnx", 1).run(x)["y"]
    assert np.array_equal(before, after)


def test_without_the_outermost_values_an_outlier_does_not_decide(tmp_path):
    graph(tmp_path / "a.onnx")
    some = [{"x": np.random.default_rng(i).normal(size=(16_000, 8)).astype(np.float32)} for i in range(4)]
    some[0]["x"][0, 0] = 1e4  # one of half a million values
    errors = {}
    for how in ("extremes", "percentile"):
        StaticInt8(how).write(tmp_path / "a.onnx", some, tmp_path / f"{how}.onnx")  # type: ignore[arg-type]
        x = batches()[1]
        before, after = Onnx(tmp_path / "a.onnx", 1).run(x)["y"], Onnx(tmp_path / f"{how}.onnx", 1).run(x)["y"]
        errors[how] = np.abs(before - after).max()
    assert errors["percentile"] < 0.2 * errors["extremes"]


def test_what_cannot_be_quantised_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(Refused, match="static_int8"):
        StaticInt8().write(tmp_path / "a.onnx", batches(), tmp_path / "b.onnx")
