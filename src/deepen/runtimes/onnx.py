"""ONNX graphs in ONNX Runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepen.errors import DeepenError, missing_extra
from deepen.tensors import Arrays, Tensor


class Onnx:
    """A graph in a file. `threads`: cores for one run (default: all this process may use). Waiting threads do not spin."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise missing_extra("onnxruntime", "serve", "to run ONNX graphs") from None
        from deepen.machine import cores

        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # the runtime's own exception classes are not part of its interface
            raise DeepenError(
                "bundle.graph", str(path), str(problem).split("\n")[0], "a graph ONNX Runtime loads"
            ) from problem
        self.path = path
        self.tensors = [_tensor(t) for t in (*self.session.get_inputs(), *self.session.get_outputs())]
        self.inputs = [given.name for given in self.session.get_inputs()]
        self.outputs = [given.name for given in self.session.get_outputs()]

    def run(self, arrays: Arrays) -> Arrays:
        """The graph's outputs by name."""
        try:
            given = self.session.run(None, {name: arrays[name] for name in self.inputs})
        except Exception as problem:  # the runtime's own exception classes are not part of its interface
            raise DeepenError(
                "bundle.run", self.path.name, str(problem).split("\n")[0], "a graph that takes these items"
            ) from problem
        return dict(zip(self.outputs, given))


def _tensor(given: Any) -> Tensor:
    """An input or output as the graph declares it; a size it leaves open has a name."""
    dtype = given.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else str(size) for size in given.shape)
    return Tensor(given.name, {"float": "float32", "double": "float64"}.get(dtype, dtype), shape)
