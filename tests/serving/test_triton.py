"""The unmodified real client, in a Python of its own ($DEEPEN_TRITON: one with tritonclient[http,grpc])."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepen import bundle

pytestmark = pytest.mark.slow
PYTHON = os.environ.get("DEEPEN_TRITON", "")
MANY = 5000  # pictures over each of both ways


@pytest.mark.skipif(not PYTHON, reason="no $DEEPEN_TRITON: a Python with tritonclient[http,grpc]")
def test_the_real_client_finds_nothing_wrong(digits_bundle, tmp_path):
    pytest.importorskip("grpc")
    x = np.random.default_rng(0).integers(0, 17, (40, 8, 8, 1), np.uint8)
    y = bundle.predictor(digits_bundle, 1).run({"image": x})["probabilities"]
    np.savez(tmp_path / "data.npz", x=x, y=y)
    server = subprocess.Popen(
        [sys.executable, "-m", "deepen", "serve", str(digits_bundle), "port=0", "grpc=0", "name=digits"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ports = {}
        while len(ports) < 2:
            word, _, address = server.stdout.readline().partition(" ")
            if word in {"ready", "grpc"}:
                ports[word] = address.strip().rsplit(":", 1)[1]
        done = subprocess.run(
            [PYTHON, str(Path(__file__).with_name("triton_client.py")), ports["ready"], ports["grpc"], "digits",
             str(tmp_path / "data.npz"), str(MANY)],
            capture_output=True, text=True, timeout=300, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0
    for way in ("http", "grpc"):
        found = report[way]
        assert found["life"] == [True, True, True, True, False, True]
        assert (found["asked"] >= MANY, found["wrong"]) == (True, 0)
        for told, text in zip(found["errors"], ("no model 'none' here", "no version '9'", "unknown input 'picture'")):
            assert text in told
        assert len(found["errors"]) == 3
    first = [text for text, name in report["http"]["forms"] if name == "7"]
    assert len(first) == 24
    best = int(y[0].argmax())
    for text in first:
        assert text == f"{y[0, best]:f}:{best}:{best}" if ":" in text else abs(float(text) - y[0, 0]) < 1e-6
