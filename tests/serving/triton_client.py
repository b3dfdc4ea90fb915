"""What the real client says of a server: python triton_client.py HTTP_PORT GRPC_PORT MODEL FILE COUNT, without deepen.

FILE (.npz) holds x (n, ...) and the right outputs y (n, k). Prints one JSON document.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http


def errors(client, package, model: str, x: np.ndarray) -> list[str]:
    """The messages of requests that cannot be answered."""
    found = []
    right = package.InferInput("image", x.shape, "UINT8")
    right.set_data_from_numpy(x)
    other = package.InferInput("picture", x.shape, "UINT8")
    other.set_data_from_numpy(x)
    for name, version, given in (("none", "", right), (model, "9", right), (model, "", other)):
        try:
            client.infer(name, [given], version)
        except Exception as problem:
            found.append(problem.message())
    return found


def answers(client, package, model: str, x: np.ndarray, y: np.ndarray, count: int, **more) -> dict[str, int]:
    """How many of `count` answered pictures were wrong."""
    wrong, asked, at = 0, 0, 0
    while asked < count:
        some = np.arange(at, at + 1 + at % 7) % len(x)
        given = package.InferInput("image", x[some].shape, "UINT8")
        given.set_data_from_numpy(x[some])
        found = client.infer(model, [given], **more).as_numpy("probabilities")
        wrong += int((np.abs(found - y[some]).max(1) > 1e-5).sum())
        asked, at = asked + len(some), at + len(some)
    return {"asked": asked, "wrong": wrong}


def forms(client, model: str, x: np.ndarray) -> list[list]:
    """Every form of request over HTTP: its first class or number."""
    rows = []
    for binary in (True, False):
        given = over_http.InferInput("image", x.shape, "UINT8")
        given.set_data_from_numpy(x, binary_data=binary)
        for squeeze in (None, "gzip", "deflate"):
            for output in ({}, {"binary_data": False}, {"class_count": 2}, {"class_count": 2, "binary_data": False}):
                wanted = [over_http.InferRequestedOutput("probabilities", **output)] if output else None
                found = client.infer(
                    model, [given], outputs=wanted, request_id="7", timeout=5_000_000, priority=1,
                    request_compression_algorithm=squeeze, response_compression_algorithm=squeeze,
                )  # fmt: skip
                first = found.as_numpy("probabilities").ravel()[0]
                text = first.decode() if isinstance(first, bytes) else str(first)
                rows.append([text, found.get_response()["id"]])
    return rows


def life(client, model: str) -> list:
    """Every call besides inference."""
    told = [
        client.is_server_live(),
        client.is_server_ready(),
        client.is_model_ready(model),
        client.is_model_ready(model, "1"),
    ]
    for call in (client.get_server_metadata, client.get_model_repository_index):
        assert call()
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        assert call(model)
    client.unload_model(model)
    told.append(client.is_model_ready(model))
    client.load_model(model)
    return [*told, client.is_model_ready(model)]


def main(http: str, grpc: str, model: str, file: str, count: str) -> None:
    with np.load(file) as data:
        x, y = data["x"], data["y"]
    report = {}
    for name, package, port in (("http", over_http, http), ("grpc", over_grpc, grpc)):
        with package.InferenceServerClient(f"127.0.0.1:{port}") as client:
            report[name] = {
                "life": life(client, model),
                "errors": errors(client, package, model, x[:2]),
                **answers(client, package, model, x, y, int(count)),
            }
            if name == "http":
                report[name]["forms"] = forms(client, model, x[:2])
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
