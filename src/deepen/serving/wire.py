"""An answer as the bytes of HTTP/1.1."""

from __future__ import annotations

import functools
import http
import time
from collections.abc import Mapping

LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n" for one in http.HTTPStatus}


def head(status: int, headers: Mapping[str, str], length: int) -> bytes:
    """All of an answer before its body."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    framing = f"date: {_date(int(time.time()))}\r\ncontent-length: {length}\r\n"
    return f"{LINES[status]}{framing}{lines}\r\n".encode("latin-1")


@functools.lru_cache(1)
def _date(second: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))
