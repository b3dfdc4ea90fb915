"""LitServe as its documentation shows it: `python serve_litserve.py GRAPH PORT` in its own Python; numbers in JSON."""

from __future__ import annotations

import sys

import litserve
import numpy as np
import onnxruntime


class Graph(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: dict) -> np.ndarray:
        return np.asarray(request["image"], np.uint8).reshape(1, 28, 28, 1)

    def predict(self, image: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"image": image})[0]

    def encode_response(self, found: np.ndarray) -> dict:
        return {"probabilities": found.tolist()}


if __name__ == "__main__":
    litserve.LitServer(Graph(), accelerator="cpu").run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False
    )
