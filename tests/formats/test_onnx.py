"""The ONNX writer: one file that stands alone, equal for equal networks; what is in the way is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deepen import gate
from deepen.errors import Refused
from deepen.formats.onnx import OPSET, Onnx, finish, in_the_way
from deepen.kinds.classes import Classes
from deepen.nn.packaged import TorchRuntime
from deepen.predictor import Predictor
from deepen.preprocess.array import Array
from deepen.program import Program
from deepen.signature import Signature

onnx = pytest.importorskip("onnx")

SIGNATURE = Signature({"x": Array((4,))}, {"y": Classes(("a", "b"))})
SAMPLE = {"array": np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)}


class Net(nn.Module):
    """Dropout and batch norm: what differs between training and use."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop, self.last = (
            nn.Linear(4, 8),
            nn.BatchNorm1d(8),
            nn.Dropout(0.5),
            nn.Linear(8, 2),
        )

    def forward(self, *tensors):
        return self.last(self.drop(torch.relu(self.norm(self.first(*tensors))))).softmax(1)


class Eigenvalues(nn.Module):
    def forward(self, *tensors):
        return torch.linalg.eigvals(tensors[0][:, :2, None] @ tensors[0][:, None, :2]).real


class Branch(nn.Module):
    def forward(self, *tensors):
        return (tensors[0] if tensors[0].sum() > 0 else -tensors[0])[:, :2].softmax(1)


def trained() -> Net:
    torch.manual_seed(0)
    net = Net()
    net.norm.running_mean.uniform_(-1, 1)
    net.norm.running_var.uniform_(0.5, 2)
    return net.eval()


def written(net, tmp_path: Path) -> bytes:
    Onnx().write(net, SIGNATURE, SAMPLE, tmp_path / "graph.onnx")
    return (tmp_path / "graph.onnx").read_bytes()


def test_the_file_stands_alone_and_is_the_same_again(tmp_path):
    data = written(trained(), tmp_path)
    assert data == written(trained(), tmp_path)
    assert [p.name for p in tmp_path.glob("*.onnx*")] == ["graph.onnx"]
    for told in (b"stack_trace", b".py", str(Path.cwd()).encode(), str(Path.home()).encode() + b"/"):
        assert told not in data
    model = onnx.load_from_string(data)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    onnx.checker.check_model(model, full_check=True)


def judged(net, tmp_path) -> str:
    """Through the gate against the trained network; the layer that differs."""
    from deepen.runtimes.onnx import Onnx as Runtime

    items = list(np.random.default_rng(1).normal(size=(70, 4)).astype(np.float32))
    reference = Predictor(SIGNATURE, Program([{"do": "run", "graph": "t"}], {"t": TorchRuntime(trained(), SIGNATURE)}))
    written(net, tmp_path)
    graph = {"g": Runtime(tmp_path / "graph.onnx", 1)}
    candidate = Predictor(SIGNATURE, Program([{"do": "run", "graph": "g"}], graph))
    try:
        gate.check(gate.compare(reference, candidate, items, np.zeros(70, int)), gate.Tolerance())
    except Refused:
        return Onnx().first_difference(trained(), reference.encode(items), tmp_path / "graph.onnx")
    return ""


def test_a_network_left_in_training_mode_is_refused(tmp_path):
    net = trained()
    net.drop.train()
    with pytest.raises(Refused, match=r"drop \(Dropout\) draws at random.*training mode"):
        written(net, tmp_path)
    assert not list(tmp_path.glob("*.onnx"))


def test_batch_norm_left_in_training_mode_is_folded_by_the_exporter(tmp_path):
    """The exporter puts the running figures in whatever the mode: the graph is right, and the gate lets it pass."""
    net = trained()
    net.norm.train()
    assert judged(net, tmp_path) == ""
    net.norm.running_mean += 0.5
    assert "the first layer that differs is " in judged(net, tmp_path)


def test_layers_of_a_right_graph_agree(tmp_path):
    written(trained(), tmp_path)
    arrays = {"array": np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)}
    assert "layers known in both agree" in Onnx().first_difference(trained(), arrays, tmp_path / "graph.onnx")


def test_what_cannot_be_told_is_said_so(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(b"none")
    assert "cannot be told" in Onnx().first_difference(trained(), SAMPLE, tmp_path / "graph.onnx")


@pytest.mark.parametrize(("net", "shown"), [(Eigenvalues(), "linalg_eig"), (Branch(), "data-dependent")])
def test_an_impossible_export_names_what_is_in_the_way(net, shown, tmp_path, capsys):
    with pytest.raises(Refused, match=shown) as refusal:
        written(net, tmp_path)
    assert refusal.value.exit_code == 3
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr() == ("", "")


def test_the_operation_comes_first():
    told = in_the_way(RuntimeError("No ONNX function found for <OpOverload(op='aten.linalg_eig', overload='default')>"))
    assert told.startswith("operation aten.linalg_eig is in the way: No ONNX function")
    assert in_the_way(ValueError("odd")) == "odd"


def test_a_graph_that_needs_other_files_or_operations_is_refused(tmp_path):
    data = written(trained(), tmp_path)
    outside, strange = onnx.load_from_string(data), onnx.load_from_string(data)
    outside.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(Refused, match="weights outside the file"):
        finish(outside)
    strange.opset_import.add(domain="com.example", version=1)
    with pytest.raises(Refused, match=r"operations of .*com\.example"):
        finish(strange)
    broken = onnx.load_from_string(data)
    broken.graph.node[-1].op_type = "Nonsense"
    with pytest.raises(Refused, match="Nonsense"):
        finish(broken)
