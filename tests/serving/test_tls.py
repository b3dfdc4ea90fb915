"""TLS: tried before it is used, told in words, spoken over the wire."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from deepen.cli import main
from deepen.errors import DeepenError
from deepen.serving import tls
from tests.serving.test_http import PICTURES, Server, answer, post

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl to make certificates with")


def openssl(*words: str, place: Path) -> None:
    subprocess.run([OPENSSL, *words], cwd=place, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """cert.pem with key.pem; old.pem, expired, and signed.pem, by a house of its own, of the same key; other.pem, another key."""
    place = tmp_path_factory.mktemp("tls")
    curve = ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out")
    openssl(*curve, "key.pem", place=place)
    openssl(*curve, "other.pem", place=place)
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl("req", "-x509", "-key", "key.pem", "-out", "cert.pem", "-days", "2", *name, place=place)
    openssl("req", "-new", "-key", "key.pem", "-out", "request.pem", *name, place=place)
    openssl("req", "-x509", "-key", "other.pem", "-out", "house.pem", "-days", "2", "-subj", "/CN=house", place=place)
    by = ("-CA", "house.pem", "-CAkey", "other.pem", "-CAcreateserial")
    openssl("x509", "-req", "-in", "request.pem", *by, "-days", "2", "-out", "signed.pem", place=place)
    openssl("x509", "-req", "-in", "request.pem", "-signkey", "key.pem", "-days", "-1", "-out", "old.pem", place=place)
    return place


def test_requests_over_tls(digits_bundle, certificates):
    one = Server(digits_bundle, f"cert={certificates / 'cert.pem'}", f"key={certificates / 'key.pem'}")
    assert one.address.startswith("https://")
    trust = ssl.create_default_context(cafile=str(certificates / "cert.pem"))
    with one.connect() as bare, trust.wrap_socket(bare, server_hostname="localhost") as link:
        link.sendall(post(PICTURES[0]))
        status, _, body = answer(link)
    assert (status, len(json.loads(body)["answers"])) == (200, 1)
    with one.connect() as bare:
        bare.sendall(post(PICTURES[0]))
        with pytest.raises(OSError):
            answer(bare)
    assert one.stop()[0] == 0


def test_calls_over_tls(digits_bundle, certificates):
    grpc = pytest.importorskip("grpc")
    pb = pytest.importorskip("deepen.serving.rpc").pb
    words = (f"cert={certificates / 'cert.pem'}", f"key={certificates / 'key.pem'}", "grpc=0")
    one = Server(digits_bundle, *words)
    trust = grpc.ssl_channel_credentials((certificates / "cert.pem").read_bytes())
    for channel, fine in ((grpc.secure_channel(one.grpc, trust), True), (grpc.insecure_channel(one.grpc), False)):
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerReady",
            pb.ServerReadyRequest.SerializeToString, pb.ServerReadyResponse.FromString,
        )  # fmt: skip
        with channel:
            if fine:
                assert ask(pb.ServerReadyRequest(), timeout=20, wait_for_ready=True).ready
            else:
                with pytest.raises(grpc.RpcError):
                    ask(pb.ServerReadyRequest(), timeout=5)
    assert one.stop()[0] == 0


@pytest.mark.parametrize(
    ("cert", "key", "text"),
    [
        ("old.pem", "key.pem", "certificate has expired"),
        ("cert.pem", "other.pem", "KEY_VALUES_MISMATCH"),
        ("cert.pem", "none.pem", "not a file"),
        ("none.pem", "key.pem", "not a file"),
        ("key.pem", "key.pem", "a certificate and its key, in PEM"),
        (".", "key.pem", "not a file"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_starts(certificates, cert, key, text):
    with pytest.raises(DeepenError) as told:
        tls.check(str(certificates / cert), str(certificates / key))
    assert text in str(told.value)


@pytest.mark.parametrize("name", ["cert.pem", "signed.pem"])
def test_a_good_one_passes(certificates, name):
    tls.check(str(certificates / name), str(certificates / "key.pem"))


def test_half_of_it_is_told(digits_bundle, certificates, capsys):
    assert main(["serve", str(digits_bundle), f"cert={certificates / 'cert.pem'}"]) == 2
    assert "one of cert and key" in capsys.readouterr().err
