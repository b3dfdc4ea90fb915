"""Telling others: an address that takes JSON, and a text file for Prometheus. What cannot be told stops nothing."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from deepen.errors import DeepenError
from deepen.store import durable
from deepen.store.live import Live

PATIENCE = 5.0  # seconds for an address to answer


class _Stay(urllib.request.HTTPRedirectHandler):
    """An alert goes to the address that was given and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_address(url: str) -> None:
    """DeepenError unless it is an http or https address."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not match
        known = False
    if not known:
        raise DeepenError("monitor.webhook", "webhook", f"got {url!r}", "http://... or https://...")


def post(url: str, document: Mapping[str, Any]) -> str:
    """Send a document; returns what went wrong, nothing where it was taken."""
    data = json.dumps(document, ensure_ascii=False).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method="POST")  # noqa: S310
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=PATIENCE) as answer:
            answer.read(1 << 16)
    except urllib.error.HTTPError as problem:
        problem.close()
        return f"{problem.code} {problem.reason}"
    except (OSError, ValueError, http.client.HTTPException) as problem:
        return str(getattr(problem, "reason", problem)) or type(problem).__name__
    return ""


Sample = tuple[str, Mapping[str, str], float]  # name, labels, value


def exposition(meanings: Mapping[str, str], samples: Iterable[Sample]) -> str:
    """Gauges in Prometheus' text format 0.0.4, each name once with its meaning."""
    lines: dict[str, list[str]] = {
        name: [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"] for name, meaning in meanings.items()
    }
    for name, labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines[name].append(f"{name}{{{inner}}} {value:.10g}")
    return "\n".join(line for block in lines.values() if len(block) > 2 for line in block) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def raised(live: Live, version: str, since: float) -> str:
    """An alarm deepen monitor raised since then about the service or how right the version is, in words.

    That the items have changed speaks against no version: the one before would be given the same.
    """
    for alert in durable.lines(live.path / "alerts.jsonl")[0]:
        about = alert["alarm"].startswith("service ") or alert["alarm"] == f"quality {version}"
        if alert["time"] >= since and alert["what"] == "raised" and about:
            return str(alert["says"])
    return ""
