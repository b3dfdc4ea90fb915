"""The service by its own OpenAPI document, asked by a fuzzer that is not ours: schemathesis, where it is installed.

What is left out: a request may be as the document says and yet not be right (bytes that are no picture, more
numbers than the shape has): the document cannot say that. And unloading, behind which all else is 503 and 404, as it
should be.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.serving.test_http import Server

COMMAND = os.environ.get("DEEPEN_SCHEMATHESIS") or shutil.which("schemathesis")
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422]
"""  # its own list lacks 413: more items than a request may hold


def table(draw: random.Random) -> str:
    rows = [(draw.random(), draw.choice(["red", "blue"])) for _ in range(200)]
    return "size,colour,kind\n" + "".join(f"{size:.3f},{colour},{'ab'[size > 0.5]}\n" for size, colour in rows)


def texts(draw: random.Random) -> str:
    said = [
        draw.choices(["good", "fine", "bad", "poor", "it", "is", "was", "so", "very", "a"], k=9) for _ in range(200)
    ]
    return "words,kind\n" + "".join(f"{' '.join(words)},{'ab'['good' in words]}\n" for words in said)


@pytest.mark.proof
@pytest.mark.skipif(not COMMAND, reason="no schemathesis here, nor $DEEPEN_SCHEMATHESIS")
@pytest.mark.parametrize("data", [None, table, texts], ids=["pictures", "table", "texts"])
def test_a_foreign_fuzzer_finds_nothing(digits_bundle, tmp_path, data):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    one = Server(bundle_of(data, tmp_path) if data else digits_bundle, "name=m", "threads=1")
    try:
        done = subprocess.run(
            [COMMAND, "run", f"{one.address}/openapi.json", "--checks=all", "--exclude-checks=positive_data_acceptance",
             "--exclude-path-regex=unload$", "--max-examples=50", "--seed=0", "--continue-on-failure", "--no-color",
             "--max-response-time=5"],
            capture_output=True, text=True, timeout=1200, cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )  # fmt: skip
    finally:
        code, told = one.stop()
    print(done.stdout[-2000:])
    assert (done.returncode, code, "Traceback" in told) == (0, 0, False), done.stdout


def bundle_of(data, place: Path) -> Path:
    import deepen

    (place / "data.csv").write_text(data(random.Random(0)))
    run = deepen.train(str(place / "data.csv"), target="kind", epochs=2, threads=1, output=str(place / "runs"))
    return Path(deepen.export(str(run.path))["bundle"])
