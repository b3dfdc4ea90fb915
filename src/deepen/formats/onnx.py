"""ONNX through torch.export, named dimensions kept dynamic."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepen.errors import Refused, missing_extra
from deepen.signature import Signature
from deepen.tensors import Arrays

OPSET = 20
SCOPES = "pkg.torch.onnx.name_scopes"  # torch writes here which modules a node came from
RANDOM = {
    "Dropout",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
}
OPERATION = re.compile(r"OpOverload\(op='([\w.]+)'|\b((?:torch\.ops\.)?(?:aten|prims|torchvision)[.:]+\w+(?:\.\w+)?)")


class Onnx:
    """Writes graph.onnx: the whole Packaged, weights inside."""

    runtime = "onnx"
    suffix = ".onnx"

    def write(self, packaged: nn.Module, signature: Signature, sample: Arrays, path: Path) -> None:
        """`sample`: encoded real items, at least two, to trace with. Same network, same bytes."""
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
        quiet = io.StringIO()  # torch prints whole graphs where an export fails
        with warnings.catch_warnings(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            try:
                program = torch.onnx.export(
                    packaged, given, dynamo=True, opset_version=OPSET, verbose=False, dynamic_shapes=(tuple(shapes),),
                    input_names=[t.name for t in signature.tensors], output_names=[t.name for t in signature.output_tensors],
                )  # fmt: skip
            except Exception as problem:
                raise Refused(
                    "export.failed", "export onnx", in_the_way(problem), "a network of operations ONNX has"
                ) from problem
        assert program is not None
        path.write_bytes(finish(program.model_proto))

    def first_difference(self, packaged: nn.Module, arrays: Arrays, path: Path, tolerance: float = 1e-3) -> str:
        """In words: the first layer of the graph, in the order they run, whose output is not the network's."""
        try:
            truth, given = layers_of_network(packaged, arrays), layers_of_graph(path, arrays)
        except Exception as problem:  # a graph that cannot run has no layers to compare
            return f"the first layer that differs cannot be told: {str(problem).splitlines()[0][:200]}"
        modules = dict(packaged.named_modules())
        common = [name for name in truth if name in given]
        for name in common:
            gap = distance(truth[name], given[name])
            if not gap <= tolerance * max(1.0, float(np.abs(truth[name]).max(initial=0))):
                return f"the first layer that differs is {name} ({type(modules[name]).__name__}), by up to {gap:.3g}"
        last = next(reversed(truth))
        if last not in given:
            return f"the layers before agree, but {last} ({type(modules[last]).__name__}) has no node in the graph"
        return f"the {len(common)} layers known in both agree: what differs lies outside them"


def finish(model: Any) -> bytes:
    """The bytes of a graph that stands alone: checked, without paths of this machine, equal for equal networks."""
    import onnx

    for node in model.graph.node:
        if node.op_type in RANDOM:  # ONNX Runtime leaves a dropout out, other runtimes do not: no answer shows it
            raise Refused(
                "export.random",
                "export onnx",
                f"{scopes(node)[-1] or node.name} ({node.op_type}) draws at random",
                "a graph that gives the same answer again",
                "was the network left in training mode?",
            )
        kept = [(entry.key, entry.value) for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
        node.ClearField("doc_string")
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    outside = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if opsets != {"": OPSET} or outside:
        found = f"weights outside the file ({outside[0]})" if outside else f"operations of {opsets}"
        raise Refused("export.graph", "export onnx", found, f"one file of standard operations, opset {OPSET}")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as problem:
        raise Refused("export.graph", "export onnx", str(problem).splitlines()[0], "a valid graph") from problem
    return model.SerializeToString(deterministic=True)


def scopes(node: Any) -> list[str]:
    """The modules a node came from, outermost first; the first is the whole network, without a name."""
    texts = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
    return ast.literal_eval(texts[0])[:-1] if texts else [""]


def in_the_way(problem: BaseException) -> str:
    """Why an export failed, the operation first where one is named."""
    texts = []
    cause: BaseException | None = problem
    while cause is not None:
        texts.append(str(cause).strip())
        cause = cause.__cause__ or cause.__context__
    named = [match for text in reversed(texts) for match in OPERATION.finditer(text)]
    reason = next((text.splitlines()[0] for text in reversed(texts) if text), type(problem).__name__)[:300]
    if not named:
        return reason
    operation = (named[0].group(1) or named[0].group(2)).removeprefix("torch.ops.")
    return f"operation {operation} is in the way: {reason}"


def layers_of_network(packaged: nn.Module, arrays: Arrays) -> dict[str, np.ndarray]:
    """The output of every innermost module that runs once and gives one tensor, in the order they run."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Any:
        return lambda _module, _given, output: found.setdefault(name, []).append(output)

    inner = [(name, module) for name, module in packaged.named_modules() if name and not list(module.children())]
    hooks = [module.register_forward_hook(keep(name)) for name, module in inner]
    try:
        with torch.inference_mode():
            packaged(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays.values()))
    finally:
        for hook in hooks:
            hook.remove()
    return {n: o[0].cpu().numpy() for n, o in found.items() if len(o) == 1 and isinstance(o[0], Tensor)}


def layers_of_graph(path: Path, arrays: Arrays) -> dict[str, np.ndarray]:
    """The same from a graph: what the last node of each module gives."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    last: dict[str, str] = {}
    for node in model.graph.node:
        last.update(dict.fromkeys(scopes(node), node.output[0]))
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(last.values()) if name not in known
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = list(dict.fromkeys(last.values()))
    values = dict(zip(names, session.run(names, {given.name: arrays[given.name] for given in session.get_inputs()})))
    return {scope: values[name] for scope, name in last.items() if scope}


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference; infinite where the shapes differ or something is not finite."""
    if a.shape != b.shape:
        return float("inf")
    gap = float(np.abs(a.astype(np.float64) - b).max(initial=0))
    return gap if np.isfinite(gap) else float("inf")
