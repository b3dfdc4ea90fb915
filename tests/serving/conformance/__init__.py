"""The Open Inference Protocol, version 2, as a list: what is sent, what must come, where the protocol says so.

`tests/serving/test_conformance.py` asks our own server; any other is asked by `python -m benchmarks conformance URL [GRPC]`.

Protocol    "Open Inference Protocol", version 2, by the names of its sections
Extensions  Triton's, by their names: they bind only a server that offers them
"""

from __future__ import annotations

from tests.serving.conformance import binary, extensions, over_grpc, rest

CHECKS = [
    *rest.rest(),
    *rest.mistakes(),
    *binary.binary(),
    *binary.mistakes(),
    *extensions.checks(),
    *over_grpc.checks(),
]
