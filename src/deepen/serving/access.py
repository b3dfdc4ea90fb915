"""Who may ask: whoever brings the token; without one, programs of this machine, but not pages open in its browser."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence

from deepen.serving.refusal import SHOWN, Refusal


def loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which no other machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bearer(given: str, token: str) -> bool:
    """Whether an authorization header brings the token. Takes the same time however much of it is right."""
    return hmac.compare_digest(given.encode("latin-1", "replace"), f"Bearer {token}".encode())


def authorise(headers: Mapping[str, str], tokens: Sequence[str]) -> None:
    """Raise a Refusal unless a request with these headers may be answered: it brings one of the tokens, if there are any."""
    if tokens:
        given = headers.get("authorization", "")
        if not any(bearer(given, token) for token in tokens):
            text = "no or wrong token: send 'Authorization: Bearer ...'"
            raise Refusal(401, "request.token", text, www_authenticate="Bearer")
        return
    host = headers.get("host", "localhost")
    if host not in _own and not _is_own(host):
        raise Refusal(403, "request.host", f"host {host[:SHOWN]!r} is not this machine's own name")
    origin = headers.get("origin")
    if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
        raise Refusal(403, "request.origin", "pages of other sites are not answered without a token")


_own: set[str] = set()


def _is_own(host: str) -> bool:
    found = loopback(re.sub(r":\d+$", "", host).strip("[]"))
    if found and len(_own) < 100:
        _own.add(host)
    return found
