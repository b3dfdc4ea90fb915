"""The service described for people: one page without scripts. For programs: serving/openapi.py."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from deepen.serving.bodies import FILES
from deepen.serving.openapi import file_for, takes
from deepen.serving.routes import ROUTES

if TYPE_CHECKING:
    from deepen.serving.core import Core

HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
}


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
        if (file := file_for(core))
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
