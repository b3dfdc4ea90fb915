"""Eight-bit whole numbers in place of floats: weights and activations, their ranges measured on training items.

    real = scale (whole - zero)        weights int8, a scale for each output channel; activations uint8

Paper    Jacob et al. 2018, CVPR, arXiv:1712.05877, eq. 1; carried out by onnxruntime.quantization as QDQ nodes.
Differs  only what lies in the network itself: scaling of the raw values before it and probabilities after it stay float.
         Unsigned activations: with signed ones x86 gains nothing.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from deepen.errors import Refused, missing_extra
from deepen.tensors import Arrays

SCOPES = "pkg.torch.onnx.name_scopes"  # which modules a node came from, outermost first
OPERATIONS = [
    "Conv", "Gemm", "MatMul", "Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Reshape",
    "Flatten", "Squeeze", "Unsqueeze", "Transpose",
]  # fmt: skip


class StaticInt8:
    """Static int8 by ONNX Runtime, calibrated on training items.

    calibrate  how ranges are found: the extremes seen, or without the outermost 0.001 % of the values
    """

    def __init__(self, calibrate: Literal["extremes", "percentile"] = "extremes") -> None:
        self.calibrate = calibrate

    def write(self, source: Path, batches: Sequence[Arrays], place: Path) -> None:
        """The graph at `source` in int8 at `place`. batches: encoded training items."""
        try:
            import onnx
            from onnxruntime import quantization
            from onnxruntime.quantization.shape_inference import quant_pre_process
        except ImportError:
            raise missing_extra("onnx and onnxruntime", "export", "to quantise a graph") from None

        class Reader(quantization.CalibrationDataReader):
            def __init__(self) -> None:
                self.left = iter(batches)

            def get_next(self) -> dict[str, Any] | None:
                return next(self.left, None)

        method = {"extremes": "MinMax", "percentile": "Percentile"}[self.calibrate]
        with tempfile.TemporaryDirectory() as scratch, _quietly():
            ready = Path(scratch) / "ready.onnx"
            try:
                quant_pre_process(str(source), str(ready), skip_symbolic_shape=True, skip_optimization=True)
                graph = onnx.load(ready).graph
                stacked = {weights.name for weights in graph.initializer if len(weights.dims) > 2}
                outside = [node.name for node in graph.node if not _inside(node) or _many(node, stacked)]
                quantization.quantize_static(
                    str(ready), str(place), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                    op_types_to_quantize=OPERATIONS, nodes_to_exclude=outside,
                    activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
                    calibrate_method=quantization.CalibrationMethod[method],
                )  # fmt: skip
            except Exception as problem:  # whatever in the graph the quantiser has not met before
                text = (str(problem).splitlines() or [type(problem).__name__])[0]
                raise Refused("compress.failed", "static_int8", text, "a graph that can be quantised") from problem


def _inside(node: Any) -> bool:
    """Whether a node belongs to the network, not to what comes before or after it."""
    texts = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
    names = ast.literal_eval(texts[0]) if texts else []
    return any(str(name) == "net" or str(name).startswith("net.") for name in names)


def _many(node: Any, stacked: set[str]) -> bool:
    """Whether a node multiplies by a stack of matrices at once: the runtime has no whole-number kernel for it."""
    return node.op_type == "MatMul" and not stacked.isdisjoint(node.input)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the quantiser's advice to the root logger, and its progress on the screen."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
