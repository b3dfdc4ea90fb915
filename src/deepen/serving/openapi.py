"""The service described for programs: an OpenAPI 3.1 document, made from the paths and from what the models take.

It holds no item of any data: who may read it need not be allowed to see those.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from deepen import __version__
from deepen.errors import listed
from deepen.serving.bodies import MOST_ITEMS, file_of
from deepen.serving.oip_tensors import TYPES, sizes_of
from deepen.serving.routes import ROUTES, Route
from deepen.tensors import Tensor

if TYPE_CHECKING:
    from deepen.serving.core import Core

Schema = dict[str, Any]

FORMATS = {"image": ("image/jpeg", "image/png", "image/webp"), "sound": ("audio/wav",)}
SHOWN = 4096  # numbers in the example of an inference request, at most
TEXT = {"type": "string"}
ERROR = {
    "type": "object",
    "required": ["error", "code", "id"],
    "properties": {"error": TEXT, "code": TEXT, "id": TEXT, "item": {"type": "integer"}},
}
ANSWERS = {
    "type": "object",
    "required": ["answers", "run", "version"],
    "properties": {"answers": {"type": "array"}, "run": TEXT, "version": TEXT},
}
READY = {
    "type": "object",
    "required": ["ready"],
    "properties": {"ready": {"type": "boolean"}, "name": TEXT},
}
ROUTE = {
    "type": "object",
    "required": ["shares"],
    "properties": {
        "shares": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
        },
        "shadow": TEXT,
    },
}


def document(core: Core) -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        operations = {m.lower(): _operation(core, route, m) for m in route.methods if m != "HEAD"}
        paths[route.path] = operations
    return {
        "openapi": "3.1.0",
        "info": {"title": ", ".join(core.models), "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR, "Answers": ANSWERS, "Ready": READY, "Route": ROUTE},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(core: Core, route: Route, method: str) -> dict[str, Any]:
    about: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', route.path)}".rstrip("_"),
        "responses": _responses(route),
    }
    if names := re.findall(r"\{(\w+)\}", route.path):
        about["parameters"] = [_parameter(core, name) for name in names]
    if (content := _content(core, route.handler)) is not None:
        about["requestBody"] = {"required": True, "content": content}
    if core.options.token is not None and not route.open:
        about["security"] = [{"token": []}]
    return about


def _responses(route: Route) -> dict[str, Any]:
    given = {"predict": "Answers", "health": "Ready", "model_ready": "Ready"}.get(route.handler)
    found = {"200": {"description": "done", **(_json(_of(given)) if given else {})}}
    if given == "Ready":
        found["503"] = {"description": "not ready", **_json(_of("Ready"))}
    return {**found, "default": {"description": "an error", **_json(_of("Error"))}}


def _json(schema: Schema) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _of(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(core: Core, name: str) -> dict[str, Any]:
    known = [*core.models] if name == "model" else sorted({v for m in core.models.values() for v in m.versions})
    return {"name": name, "in": "path", "required": True, "schema": {**TEXT, **({"enum": known} if known else {})}}


def _content(core: Core, handler: str) -> dict[str, Any] | None:
    """What is sent to a path, by its content type."""
    if handler == "predict":
        return _items(core)
    if handler == "infer":
        return _tensors(core)
    return _json(_of("Route"))["content"] if handler == "reroute" else None


def _items(core: Core) -> dict[str, Any]:
    """What /predict takes: items as JSON, and as files or rows where the model is of pictures, sounds or tables."""
    some = {"type": "array", "minItems": 1, "maxItems": MOST_ITEMS}
    items = {"type": "object", "required": ["items"], "properties": {"items": some}, "additionalProperties": False}
    kinds: dict[str, Any] = {"application/json": {"schema": {**items, "description": takes(core)}}}
    if file := file_for(core):
        files = {"file": {**some, "items": {**TEXT, "format": "binary"}}}
        kinds["multipart/form-data"] = {"schema": {"type": "object", "required": ["file"], "properties": files}}
        kinds |= {name: {"schema": {**TEXT, "format": "binary"}} for name in FORMATS[file]}
    else:
        kinds["text/csv"] = {"schema": {**TEXT, "minLength": 1}}
    return kinds


def _tensors(core: Core) -> dict[str, Any]:
    """What an inference request holds: the tensors of the default model, in JSON, or in JSON with bytes behind it."""
    inputs: Schema = {"type": "array", "minItems": 1}
    example: list[dict[str, Any]] = []
    if core.default.ready:
        tensors = core.default.main().predictor.signature.tensors
        inputs |= {"items": {"oneOf": [_input(one) for one in tensors]}, "maxItems": len(tensors)}
        example = [_zeros(one) for one in tensors if one.join == "stack" and -1 not in sizes_of(one)[1:]]
        if len(example) != len(tensors) or sum(math.prod(one["shape"]) for one in example) > SHOWN:
            example = []
    schema = {"type": "object", "required": ["inputs"], "properties": {"inputs": inputs, "id": TEXT}}
    shown = {"example": {"inputs": example}} if example else {}
    return {
        "application/json": {"schema": schema, **shown},
        "application/octet-stream": {"schema": {**TEXT, "minLength": 1}},
    }


def _input(tensor: Tensor) -> Schema:
    sizes = [{"const": size} if size >= 0 else {"type": "integer", "minimum": 1} for size in sizes_of(tensor)]
    shape = {"type": "array", "prefixItems": sizes, "minItems": len(sizes), "maxItems": len(sizes)}
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": tensor.name},
            "shape": shape,
            "datatype": {"const": TYPES[tensor.dtype]},
            "data": {"type": "array"},
        },
    }


def _zeros(tensor: Tensor) -> dict[str, Any]:
    """One item of nothing but zeros."""
    shape = [1, *sizes_of(tensor)[1:]]
    data = [0] * math.prod(shape)
    return {"name": tensor.name, "shape": shape, "datatype": TYPES[tensor.dtype], "data": data}


def takes(core: Core) -> str:
    """What the default model takes, in words."""
    if not core.default.ready:
        return ""
    signature = core.default.main().predictor.signature
    passed = f"; passed over: {listed(sorted(signature.passed), 30)}" if signature.passed else ""
    return "; ".join(encoder.describe() for encoder in signature.inputs.values()) + passed


def file_for(core: Core) -> str:
    """What files the default model takes, if any."""
    return file_of(core.default.main().predictor) if core.default.ready else ""
