"""BentoML as its documentation shows it: `python serve_bentoml.py GRAPH PORT` in its own Python; numbers in JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Graph:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = os.environ["BENCHMARK_GRAPH"]
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, image: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"image": image.astype(np.uint8).reshape(1, 28, 28, 1)})[0]


if __name__ == "__main__":
    command = [sys.executable, "-m", "bentoml", "serve", f"{Path(__file__).stem}:Graph", "--port", sys.argv[2]]
    environment = {**os.environ, "BENCHMARK_GRAPH": sys.argv[1], "BENTOML_DO_NOT_TRACK": "True"}
    raise SystemExit(subprocess.call(command, cwd=Path(__file__).parent, env=environment))
