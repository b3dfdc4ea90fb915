"""What a request line and headers say about a request, or why it is refused before anything else of it is read."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping

import httptools

from deepen.serving.refusal import SHOWN, Refusal


def target(url: bytes) -> tuple[str, str | None]:
    """The path a request line names, without its query, and the host where it names that too (RFC 9112, 3.2)."""
    found = httptools.parse_url(url)
    path = (found.path or b"/").decode("ascii")
    host = re.split(rb"[/?]", url, maxsplit=3)[2].decode("ascii") if found.schema else None
    return urllib.parse.unquote(path) if "%" in path else path, host


def check(version: str, headers: Mapping[str, str]) -> None:
    """Raise a Refusal where a request cannot be understood as HTTP/1."""
    if version not in {"1.0", "1.1"}:
        raise Refusal(505, "request.http", f"HTTP/{version}: this is HTTP/1.1")
    if version == "1.1" and "host" not in headers:
        raise Refusal(400, "request.http", "the header 'host' is missing")
    coding = headers.get("transfer-encoding", "chunked")
    if coding.strip().lower() != "chunked":
        raise Refusal(501, "request.encoding", f"transfer encoding {coding[:SHOWN]!r}: send chunked or none")
