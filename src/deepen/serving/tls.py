"""A certificate is tried before it is used: a handshake in memory, so that a wrong or expired one is told at the start."""

from __future__ import annotations

import ssl
from pathlib import Path

from deepen.errors import DeepenError


def check(cert: str, key: str) -> None:
    """DeepenError unless the key fits the certificate and its time has come and not passed."""
    for name, file in (("cert", cert), ("key", key)):
        if not Path(file).is_file():
            raise DeepenError("serve.tls", f"serve --{name} {file}", "not a file", "a PEM file")
    try:
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.load_cert_chain(cert, key)
        client.check_hostname = False
        client.verify_flags |= (
            ssl.VERIFY_X509_PARTIAL_CHAIN
        )  # the certificate itself is trusted here: only its dates count
        client.load_verify_locations(cert)
        _shake(server, client)
    except ssl.SSLCertVerificationError as problem:
        raise DeepenError(
            "serve.tls", f"serve --cert {cert}", problem.verify_message, "a certificate that is valid"
        ) from None
    except (ssl.SSLError, OSError) as problem:
        found = getattr(problem, "reason", None) or problem.strerror or str(problem)
        expected = "a certificate and its key, in PEM, without a password"
        raise DeepenError("serve.tls", f"serve --cert {cert}", str(found), expected) from None


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    for _ in range(6):  # a handshake takes fewer turns
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
