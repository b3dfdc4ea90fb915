"""Every path of the service: what it takes, and which method of the core answers. The OpenAPI document is made from it."""

from __future__ import annotations

import re
from typing import NamedTuple

GET, POST = ("GET", "HEAD"), ("POST",)
MOST_KNOWN = 1000  # paths remembered with what they mean


class Route(NamedTuple):
    """`{name}` in a path stands for a part of it.

    open    needs no token
    hidden  left out of the overview
    admin   changes who answers: needs the admin's token where there is one
    """

    path: str
    methods: tuple[str, ...]
    handler: str
    summary: str
    open: bool = False
    hidden: bool = False
    admin: bool = False


ROUTES = (
    Route("/", GET, "about", "what is served"),
    Route("/health/live", GET, "live", "the process answers", open=True),
    Route("/health/ready", GET, "health", "golden items were answered correctly", open=True),
    Route("/predict", POST, "predict", "a picture, multipart files, CSV rows, or {\"items\": [...]}"),
    Route("/metrics", GET, "metrics", "counts in the text format of Prometheus"),
    Route("/docs", GET, "docs", "this service on one page"),
    Route("/openapi.json", GET, "openapi", "this service as an OpenAPI document"),
    Route("/models/{model}", GET, "about", "a model, its versions and their shares"),
    Route("/models/{model}/predict", POST, "predict", "as /predict, by this model"),
    Route("/models/{model}/versions/{version}/predict", POST, "predict", "as /predict, by this version"),
    Route("/models/{model}/route", POST, "reroute", "{\"shares\": {version: share}, \"shadow\": version}: who answers", admin=True),
    Route("/models/{model}/rollback", POST, "rollback", "the route before this one", admin=True),
    Route("/v2", GET, "server_metadata", "Open Inference Protocol: the server"),
    Route("/v2/health/live", GET, "live", "Open Inference Protocol: the process answers", open=True),
    Route("/v2/health/ready", GET, "health", "Open Inference Protocol: all models are ready", open=True),
    Route("/v2/models/{model}", GET, "metadata", "Open Inference Protocol: inputs and outputs of a model"),
    Route("/v2/models/{model}/ready", GET, "model_ready", "Open Inference Protocol: the model is ready"),
    Route("/v2/models/{model}/config", GET, "config", "a model's configuration"),
    Route("/v2/models/{model}/stats", GET, "stats", "a model's counts"),
    Route("/v2/models/{model}/infer", POST, "infer", "Open Inference Protocol: encoded tensors in, outputs out"),
    Route("/v2/models/{model}/versions/{version}", GET, "metadata", "of a version", hidden=True),
    Route("/v2/models/{model}/versions/{version}/ready", GET, "model_ready", "of a version", hidden=True),
    Route("/v2/models/{model}/versions/{version}/config", GET, "config", "of a version", hidden=True),
    Route("/v2/models/{model}/versions/{version}/stats", GET, "stats", "of a version", hidden=True),
    Route("/v2/models/{model}/versions/{version}/infer", POST, "infer", "by a version", hidden=True),
    Route("/v2/models/stats", GET, "stats", "counts of all models", hidden=True),
    Route("/v2/repository/index", POST, "index", "the models and their state"),
    Route("/v2/repository/models/{model}/load", POST, "load", "load a model again from its bundles", admin=True),
    Route("/v2/repository/models/{model}/unload", POST, "unload", "take a model out of service", admin=True),
)  # fmt: skip

FIXED = {route.path: route for route in ROUTES if "{" not in route.path}
PATTERNS = [
    (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path))), route)
    for route in ROUTES
    if "{" in route.path
]

_known: dict[str, tuple[Route, dict[str, str]]] = {}


def find(path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a path and the names in it; None where there is none. A slash at the end does not matter."""
    if path in _known:
        return _known[path]
    plain = path.rstrip("/") or "/"
    found: tuple[Route, dict[str, str]] | None = None
    if plain in FIXED:
        found = FIXED[plain], {}
    else:
        for pattern, route in PATTERNS:
            if match := pattern.fullmatch(plain):
                found = route, match.groupdict()
                break
    if found and len(_known) < MOST_KNOWN and len(path) < 300:
        _known[path] = found
    return found
