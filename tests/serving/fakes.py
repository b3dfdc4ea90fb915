"""Services around models in memory, for tests without a network or a graph."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from deepen.kinds.classes import Classes
from deepen.predictor import Predictor
from deepen.program import Program
from deepen.serving.batcher import Turn
from deepen.serving.core import Core
from deepen.serving.home import Fixed
from deepen.serving.messages import Request, Response
from deepen.serving.model import Model as Served
from deepen.serving.options import Options
from deepen.serving.tally import Tally
from deepen.serving.version import Version
from deepen.signature import Signature

JSON = {"content-type": "application/json"}


class Model:
    """Answers by simple arithmetic over whatever comes in."""

    outputs = ("probabilities",)

    def __init__(self, inputs):
        self.inputs = inputs

    def run(self, arrays):
        if "graph" in arrays:
            score = np.bincount(arrays["graph"], arrays["nodes"].sum(1))
        else:
            with np.errstate(invalid="ignore"):  # a NaN that signals
                score = sum(np.nan_to_num(np.asarray(a, float)).reshape(len(a), -1).sum(1) for a in arrays.values())
        p = 1 / (1 + np.exp(-np.clip(score / 100, -50, 50)))
        return {"probabilities": np.stack([p, 1 - p], 1).astype(np.float32)}


def service(encoder, token=None, model=None, small=False, **options) -> Core:
    """A core around a model in memory."""
    signature = Signature({"x": encoder}, {"y": Classes(("Łódź", "猫"))})
    runtime = model or Model([t.name for t in encoder.tensors])
    chosen = Options(token=token, watch=0, **options)
    served = Served(Fixed("m", []), chosen)
    version = Version(
        "1", None, {"run": "r", "runtime": "onnx"},
        Predictor(signature, Program([{"do": "run", "graph": "g"}], {"g": runtime})), chosen, Tally(),
    )  # fmt: skip
    if small:
        version.turn = Turn(version.predictor, version.tally.ran, chosen.max_batch_size)
    served._adopt(served.home.state().route, {"1": version})
    return Core([served], chosen)


def only(service: Core) -> Version:
    return service.default.versions["1"]


def ask(core: Core, path: str, body: bytes = b"", method: str = "", **headers: str) -> Response:
    """One request, in a loop of its own."""
    method = method or ("POST" if body else "GET")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(core.handle(Request(method, path, named, body)))


def of_bundle(path: Path) -> Core:
    """A core that answers for a bundle."""
    options = Options(watch=0)
    model = Served(Fixed("m", [path]), options)
    model.start()
    return Core([model], options)
