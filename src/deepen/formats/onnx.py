"""ONNX through torch.export, named dimensions kept dynamic."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from deepen.errors import Refused, missing_extra
from deepen.signature import Signature
from deepen.tensors import Arrays

OPSET = 20


class Onnx:
    """Writes graph.onnx: the whole Packaged, weights inside."""

    runtime = "onnx"
    suffix = ".onnx"

    def write(self, packaged: nn.Module, signature: Signature, sample: Arrays, path: Path) -> None:
        """`sample`: encoded real items, at least two, to trace with."""
        try:
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError:
            raise missing_extra("onnx and onnxscript", "export", "to export to ONNX") from None
        dims: dict[str, torch.export.Dim] = {}
        shapes = []
        for tensor in signature.tensors:
            named = {i: size for i, size in enumerate(tensor.shape) if isinstance(size, str)}
            shapes.append({i: dims.setdefault(name, torch.export.Dim.DYNAMIC) for i, name in named.items()})
        given = tuple(torch.from_numpy(sample[t.name]) for t in signature.tensors)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports that torchvision is absent
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                program = torch.onnx.export(
                    packaged, given, dynamo=True, opset_version=OPSET, verbose=False, dynamic_shapes=(tuple(shapes),),
                    input_names=[t.name for t in signature.tensors], output_names=[t.name for t in signature.output_tensors],
                )  # fmt: skip
            except Exception as problem:
                cause = problem.__cause__ or problem
                raise Refused(
                    "export.failed",
                    "export onnx",
                    str(cause).strip().split("\n")[0],
                    "a network of operations ONNX has",
                ) from problem
        assert program is not None
        program.save(str(path))
