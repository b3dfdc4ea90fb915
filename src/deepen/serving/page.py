"""The service described for programs (OpenAPI 3.1) and for people (one page without scripts)."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from deepen import __version__
from deepen.serving.bodies import FILES, file_of
from deepen.serving.routes import ROUTES, Route

if TYPE_CHECKING:
    from deepen.serving.core import Core

HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
}
ERROR = {
    "type": "object",
    "required": ["error", "code", "id"],
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "id": {"type": "string"},
        "item": {"type": "integer"},
    },
}
ANSWERS = {
    "type": "object",
    "required": ["answers", "run", "version"],
    "properties": {"answers": {"type": "array"}, "run": {"type": "string"}, "version": {"type": "string"}},
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
            "schemas": {"Error": ERROR, "Answers": ANSWERS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(core: Core, route: Route, method: str) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", route.path)
    about: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', route.path)}".rstrip("_"),
        "responses": {
            "200": {"description": "done", **_content(route)},
            "default": {
                "description": "an error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if names:
        known = {"model": list(core.models)}
        about["parameters"] = [
            {"name": n, "in": "path", "required": True, "schema": {"type": "string", **_enum(known.get(n))}}
            for n in names
        ]
    if route.handler == "predict":
        about["requestBody"] = _body(core)
    if core.options.token is not None and not route.open:
        about["security"] = [{"token": []}]
    return about


def _enum(values: list[str] | None) -> dict[str, Any]:
    return {"enum": values} if values else {}


def _content(route: Route) -> dict[str, Any]:
    if route.handler == "predict":
        return {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answers"}}}}
    return {}


def _body(core: Core) -> dict[str, Any]:
    """What /predict takes: items as JSON, and as files or rows where the model is of pictures, sounds or tables."""
    items = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}}
    kinds: dict[str, Any] = {"application/json": {"schema": {**items, "description": takes(core)}}}
    if file := _file(core):
        files = {"type": "object", "properties": {"file": {"type": "array", "items": {"type": "string"}}}}
        kinds["multipart/form-data"] = {"schema": files}
        kinds["image/*" if file == "image" else "audio/wav"] = {"schema": {"type": "string", "format": "binary"}}
    else:
        kinds["text/csv"] = {"schema": {"type": "string"}}
    return {"required": True, "content": kinds}


def takes(core: Core) -> str:
    """What the default model takes, in words."""
    if not core.default.ready:
        return ""
    inputs = core.default.main().predictor.signature.inputs
    return "; ".join(encoder.describe() for encoder in inputs.values())


def _file(core: Core) -> str:
    """What files the default model takes, if any."""
    return file_of(core.default.main().predictor) if core.default.ready else ""


def html(core: Core) -> str:
    """The page. Every text in it that is not ours is escaped."""
    models = "".join(_model(name, core) for name in core.models)
    rows = "".join(
        f"<tr><td>{escape(r.methods[0])}<td><code>{escape(r.path)}</code><td>{escape(r.summary)}"
        for r in ROUTES
        if not r.hidden
    )
    example = (
        f"curl -F file=@{FILES[file]} http://HOST/predict"
        if (file := _file(core))
        else "curl -H 'content-type: application/json' -d '{\"items\": [...]}' http://HOST/predict"
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(', '.join(core.models))}</title><style>{STYLE}</style><main>"
        f"<h1>{escape(', '.join(core.models))}</h1><p>Takes {escape(takes(core))}.<pre>{escape(example)}</pre>"
        f"<h2>Models</h2><table><tr><th>model<th>version<th>run<th>share<th>answers with</tr>{models}</table>"
        f"<h2>Paths</h2><table>{rows}</table>"
        "<p><a href=openapi.json>OpenAPI document</a>, <a href=metrics>metrics</a></main>"
    )


def _model(name: str, core: Core) -> str:
    model = core.models[name]
    if not model.ready:
        return f"<tr><td>{escape(name)}<td colspan=4>not in service"
    cells = []
    for version in model.versions.values():
        share = model.route.shares.get(version.name, 0)
        word = "shadow" if version.name == model.route.shadow else f"{share:.0%}"
        kinds = "; ".join(kind.describe() for kind in version.predictor.signature.outputs.values())
        found = (name, version.name, version.run, word, kinds)
        cells.append("<tr>" + "".join(f"<td>{escape(str(text))}" for text in found))
    return "".join(cells)


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;margin:0}main{max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .8rem .3rem 0;"
    "border-bottom:1px solid #ddd;vertical-align:top}pre{background:#f4f4f4;padding:.8rem;overflow:auto}"
    "code{white-space:nowrap}@media(prefers-color-scheme:dark){body{color:#eee;background:#181818}pre{background:#262626}"
    "td,th{border-color:#444}a{color:#8bf}}"
)
