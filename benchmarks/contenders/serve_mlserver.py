"""MLServer with a custom runtime, as its documentation shows it: `python serve_mlserver.py GRAPH PORT` in its own Python."""

from __future__ import annotations

import asyncio
import sys

import onnxruntime
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Graph(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        image = NumpyCodec.decode_input(payload.inputs[0])
        (found,) = self.session.run(None, {"image": image})
        output = NumpyCodec.encode_output("probabilities", found)
        return InferenceResponse(model_name=self.name, outputs=[output])


if __name__ == "__main__":
    port = int(sys.argv[2])
    settings = Settings(host="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2, parallel_workers=0)
    asyncio.run(MLServer(settings).start([ModelSettings(name="m", implementation=Graph)]))
